"""What is installed here, built as packages.

A package may bring a driver and a numeric library with it, and is imported for its manifest whether anybody runs it or
not. So a host has its packages built by a process of its own (:func:`built_aside`), which ends when they are built:
what stays in memory is the code that runs. A package whose import ends that process takes no service with it.
"""

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

from upcall.service import package
from upcall.service.attempts import in_words


@dataclass(frozen=True)
class Refused:
    """What cannot be offered, and why, in words."""

    what: str
    why: str


Offer = package.Built | Refused


def built_here() -> Iterator[Offer]:
    """One after the other, each in all its versions; one that cannot be built keeps no other from it."""
    for entry in package.installed():
        try:
            versions = package.load(entry).versions()
        except Exception as error:
            yield Refused(entry, in_words(error))
            continue
        for version in versions:
            try:
                yield package.build_installed(entry, version)
            except Exception as error:
                yield Refused(f"{entry} {version}", in_words(error))


def built_aside() -> Iterator[Offer]:
    """The same, by another process, which has begun when this returns. Blocks for each.

    To be called before there is a second thread: the process is a fork of this one, so what both need is imported once.
    """
    context = multiprocessing.get_context("fork")
    receives, sends = context.Pipe(duplex=False)
    process = context.Process(target=_send_all, args=(sends, receives), name="packages", daemon=True)
    process.start()
    sends.close()
    return _received(receives, process)


def _send_all(sends: Connection, receives: Connection) -> None:
    receives.close()  # Else nobody's end would break the pipe.
    try:
        for offer in built_here():
            sends.send(offer)
        sends.send(None)
    except BrokenPipeError:
        pass  # The host has ended.


def _received(receives: Connection, process: multiprocessing.process.BaseProcess) -> Iterator[Offer]:
    with receives:
        try:
            while (offer := receives.recv()) is not None:
                yield offer
        except EOFError:
            process.join()
            yield Refused("what is left of the packages", f"who builds them ended with code {process.exitcode}")
    process.join()

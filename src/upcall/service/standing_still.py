"""Whose code stopped a whole host: found in the stacks of a process that did not turn and was ended.

Code in C keeps the interpreter to itself while it runs, unless it lets go of it. Nothing in a stack says who has it. So
those are left out who surely have not: threads that are in no service's code; that wait in Python's own library, which
lets go (a lock, a socket, an event loop); and that looked for the interpreter again and again, as who waits for it
does. Of who is left, one that computed all the time is it; else each of them, for nobody can say which.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from upcall.service.blame import is_experts
from upcall.service.hanging import Frame, stand_of

SEEN_BYTES_MAX: Final = 4 << 20

_HEAD: Final = re.compile(r"(?:Current thread|Thread) 0x[0-9a-f]+")
_FRAME: Final = re.compile(r'  File "(.*)", line (\d+|\?\?\?) in (.*)')
_MARK: Final = re.compile(r"<thread (\d+)>")
_WAITING: Final = frozenset(
    ("connection", "queue", "selectors", "socket", "socketserver", "ssl", "subprocess", "synchronize", "threading")
)
"""Modules of Python's own library whose calls let go of the interpreter while they wait."""
_LIBRARY: Final = Path(json.__file__).resolve().parent.parent

LOOKS_FOR_IT_A_SECOND: Final = 1.0
"""Sleeps of a thread. Who waits for the interpreter wakes 200 times a second to look for it, on a busy machine less
often; who has it and waits for something in the system does not wake."""
COMPUTED: Final = 0.5
"""Part of the time for which it had a processor."""


@dataclass(frozen=True)
class Culprit:
    """Code that may have kept the interpreter to itself."""

    service: str
    """Whose thread it was; empty: a thread that the code made itself."""
    files: tuple[str, ...]
    """Of the expert's code that is on the stack."""
    words: str
    """What stood there, in the expert's own file and line."""


@dataclass(frozen=True)
class _Stack:
    frames: tuple[Frame, ...]
    """The innermost first."""
    service: str
    thread: str
    """Its number, as the system knows it; empty: unknown."""


def taken(seen: Path) -> list[Culprit]:
    """Who is it, of what was seen there; what nobody can read says nothing. It stays until :func:`forget`."""
    try:
        value = json.loads(seen.read_bytes()[:SEEN_BYTES_MAX])
        return culprits(str(value["stacks"]), value["threads"], float(value["still_s"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def forget(seen: Path) -> None:
    seen.unlink(missing_ok=True)


def culprits(stacks: str, did: Mapping[str, Mapping[str, Any]], still_s: float) -> list[Culprit]:
    """``did``: of each thread by its number, how long it had a processor (``ran_s``) and how often it went to sleep
    (``sleeps``) meanwhile."""
    inside = [stack for stack in _stacks(stacks) if stand_of(stack.frames) is not None and not _waits(stack.frames)]
    still = [each for each in inside if _sleeps(each, did) < LOOKS_FOR_IT_A_SECOND * still_s]
    if not still and len(inside) == 1:
        still = inside  # It waited for something in C, many times, and never let go.
    computed = [each for each in still if float(did.get(each.thread, {}).get("ran_s", 0.0)) >= COMPUTED * still_s]
    return [_culprit(each) for each in computed or still]


def _sleeps(stack: _Stack, did: Mapping[str, Mapping[str, Any]]) -> float:
    return float(did.get(stack.thread, {}).get("sleeps", 0))


def _culprit(stack: _Stack) -> Culprit:
    files = tuple(dict.fromkeys(frame.file for frame in stack.frames if is_experts(frame.file)))
    return Culprit(stack.service, files, str(stand_of(stack.frames)))


def _waits(frames: Sequence[Frame]) -> bool:
    file = Path(frames[0].file)
    return file.stem in _WAITING and _LIBRARY in file.resolve().parents and "site-packages" not in file.parts


def _stacks(text: str) -> Iterator[_Stack]:
    """What ``faulthandler`` writes. Beside a thread's own calls it has what :func:`upcall.service.hanging.marked` put
    there."""
    frames: list[Frame] | None = None
    for line in [*text.splitlines(), "Thread 0x0"]:
        if _HEAD.match(line):
            if frames:
                yield _stack(frames)
            frames = []
        elif frames is not None and (found := _FRAME.match(line)):
            file, number, called = found.groups()
            frames.append(Frame(file, int(number) if number.isdigit() else 0, called))


def _stack(frames: list[Frame]) -> _Stack:
    for frame in frames:
        if mark := _MARK.fullmatch(frame.file):
            return _Stack(tuple(frames), "" if frame.called == "none" else frame.called, mark[1])
    return _Stack(tuple(frames), "", "")

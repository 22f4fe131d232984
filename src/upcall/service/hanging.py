"""An expert's code that does not return: where it stands, in the expert's own file and line.

What blocks (``time.sleep`` in ``pods()``, a client that waits for a machine that is gone) holds the thread that it runs
in, and nobody can end it there: the thread is left behind.
"""

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, FunctionType
from typing import Final, NamedTuple, TypeVar

from upcall.protocol.errors import Invalid
from upcall.service.blame import is_experts

R = TypeVar("R")

LEFT_MAX: Final = 8
"""Calls of one service's code that hang at the same time, each in a thread that cannot be ended. With so many, none of
it is called any more until one of them has returned."""


class Hangs(Invalid):
    """What the expert's code was called for has not returned."""


class Abandoned(SystemExit):
    """Raised in a thread that nobody waits for any more."""


class Frame(NamedTuple):
    """One call on a stack."""

    file: str
    line: int
    called: str


@dataclass(frozen=True)
class Stand:
    """Where a thread is in an expert's code."""

    called: str
    """What the system called: ``pods``."""
    line: str
    """Where that stands: ``hello.py:12``."""
    within: str = ""
    """The line that hangs, where it is another method's: ``hello.py:30 in fetch``."""

    def __str__(self) -> str:
        called = f"importing {self.line}" if self.called == "<module>" else f"{self.called}() of {self.line}"
        return f"{called}, at {self.within}," if self.within else called


def stand(thread: threading.Thread) -> Stand | None:
    """None: it is in no expert's code at the moment."""
    return stand_of([*_outwards(sys._current_frames().get(thread.ident or 0))])


def stand_of(stack: Sequence[Frame]) -> Stand | None:
    """Of the calls of one thread, the innermost first."""
    experts = [each for each in stack if is_experts(each.file)]
    if not experts:
        return None
    inner, outer = experts[0], experts[-1]
    within = f"{_line(inner)} in {inner.called}" if inner is not outer else ""
    return Stand(outer.called, _line(outer), within)


def _outwards(frame: FrameType | None) -> Iterator[Frame]:
    while frame is not None:
        yield Frame(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        frame = frame.f_back


def _line(frame: Frame) -> str:
    return f"{Path(frame.file).name}:{frame.line}"


def marked(service: str, run: Callable[[], R]) -> Callable[[], R]:
    """``run``, so that the stack itself says whose thread it is, and which: what reads it may have nothing else, for
    the process is dead (:mod:`upcall.service.standing_still`)."""

    def begin() -> R:
        code = _calls.__code__.replace(co_filename=f"<thread {threading.get_native_id()}>", co_name=service or "none")
        called: R = FunctionType(code, {})(run)
        return called

    return begin


def _calls(run: Callable[[], R]) -> R:
    return run()


def waited_s(thread: threading.Thread) -> float:
    """For so long, since it began, a thread could have run and the machine gave it no processor. 0: nobody can say."""
    try:
        _, waited_ns, _ = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text().split()
        return int(waited_ns) / 1e9
    except (OSError, ValueError):
        return 0.0


def abandon(thread: threading.Thread) -> None:
    """Nobody wants what it does any more. What computes ends at its next line; what waits for something, once that has
    returned."""
    if thread.is_alive() and thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Abandoned))

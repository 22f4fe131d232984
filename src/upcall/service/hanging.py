"""An expert's code that does not return: where it stands, in the expert's own file and line.

What blocks (``time.sleep`` in ``pods()``, a client that waits for a machine that is gone) holds the thread that it runs
in, and nobody can end it there: the thread is left behind.
"""

import ctypes
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from upcall.protocol.errors import Invalid
from upcall.service.blame import is_experts

LEFT_MAX: Final = 8
"""Calls of one service's code that hang at the same time, each in a thread that cannot be ended. With so many, none of
it is called any more until one of them has returned."""


class Hangs(Invalid):
    """What the expert's code was called for has not returned."""


class Abandoned(SystemExit):
    """Raised in a thread that nobody waits for any more."""


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
    frame = sys._current_frames().get(thread.ident or 0)
    experts = [each for each in _outwards(frame) if is_experts(each.f_code.co_filename)]
    if not experts:
        return None
    inner, outer = experts[0], experts[-1]
    within = f"{_line(inner)} in {inner.f_code.co_name}" if inner is not outer else ""
    return Stand(outer.f_code.co_name, _line(outer), within)


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _line(frame: FrameType) -> str:
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


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

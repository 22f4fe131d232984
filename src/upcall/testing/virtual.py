"""Virtual time: an event loop whose clock jumps to the next timer when there is nothing else to do.

A test of ten minutes of deferrals takes milliseconds, and takes the same course each time. What really waits (a
socket, a thread) is waited for; only a wait for nothing but time is skipped.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

R = TypeVar("R")

REAL_WAIT_MAX_S: Final = 10.0
"""With no timer left, something outside must come; after this nothing will."""


class Stuck(AssertionError):
    """Everything waits, and nothing will ever happen."""


class _Jumping(selectors.DefaultSelector):
    """Moves the clock instead of waiting for it."""

    jumped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            ready = super().select(REAL_WAIT_MAX_S)
            if not ready:
                raise Stuck(f"all tasks wait, with no timer, and nothing came for {REAL_WAIT_MAX_S:g} s")
            return ready
        self.jumped_s += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, which begins at 0."""

    in_virtual_time = True

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.jumped_s


def run(main: Coroutine[Any, Any, R]) -> R:
    """Like ``asyncio.run``, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)

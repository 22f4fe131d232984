"""Where the process begins: Ctrl-C ends it at once, with one word, until there is something to put away.

While Python imports, an interrupt is an exception in whatever module is half-way in: a traceback that is nobody's
mistake. So until the command is loaded nothing is raised, and the process is over. From there on it is the exception
that commands answer; when they are done, the signal does what it does to any program.
"""

import contextlib
import os
import signal
from collections.abc import Callable
from types import FrameType

INTERRUPTED_EXIT = 130
"""As :mod:`upcall.cli.exits` has it: nothing of ours is imported yet."""
INTERRUPTED = b"interrupted\n"


def _end(_number: int, _frame: FrameType | None) -> None:
    try:
        os.write(2, INTERRUPTED)
    finally:
        os._exit(INTERRUPTED_EXIT)


_ANSWERED = signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""Else somebody (a shell that put us in the background) wants interrupts ignored."""
if _ANSWERED:
    signal.signal(signal.SIGINT, _end)


def run() -> int:
    """``upcall``."""

    def upcall(loaded: Callable[[], None]) -> int:
        from upcall.cli import main

        return main.run(loaded=loaded)

    return _interruptible(upcall)


def by_kubectl() -> int:
    """``kubectl upcall``, by the name ``kubectl-upcall``."""

    def plugin(loaded: Callable[[], None]) -> int:
        from upcall.cli import kubectl

        return kubectl.run(loaded=loaded)

    return _interruptible(plugin)


def _interruptible(command: Callable[[Callable[[], None]], int]) -> int:
    try:
        return command(lambda: _answer(signal.default_int_handler))
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            os.write(2, INTERRUPTED)
        return INTERRUPTED_EXIT
    finally:
        _answer(signal.SIG_DFL)


def _answer(how: "signal._HANDLER") -> None:
    if _ANSWERED:
        signal.signal(signal.SIGINT, how)

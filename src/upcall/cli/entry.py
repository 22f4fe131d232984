"""Where the process begins: Ctrl-C ends it at once, and without a word, until there is something to put away.

While Python imports, an interrupt is an exception in whatever module is half-way in: a traceback that is nobody's
mistake. So until the command is loaded, and again when it is done, the signal does what it does to any program. In
between it is the exception that commands answer.
"""

import signal
from collections.abc import Callable

_ANSWERED = signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""Else somebody (a shell that put us in the background) wants interrupts ignored."""
if _ANSWERED:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


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
    from upcall.cli import exits

    try:
        return command(lambda: _answer(signal.default_int_handler))
    except KeyboardInterrupt:
        return exits.INTERRUPTED_EXIT
    finally:
        _answer(signal.SIG_DFL)


def _answer(how: "signal._HANDLER") -> None:
    if _ANSWERED:
        signal.signal(signal.SIGINT, how)

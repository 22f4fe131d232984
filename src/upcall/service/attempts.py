"""Trying again: what is worth it, how slowly, and how loudly.

One place for the rule, so that a host that lost its master neither floods it nor the log: pauses double, a long time
that went well starts them anew, and the same failure is told once.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from upcall.protocol.errors import UpcallError

PAUSE_MIN_S: Final = 0.2
PAUSE_MAX_S: Final = 10.0
QUICK_S: Final = 3.0
"""For so long the pauses do not grow: a master that starts beside us, or again, is a moment away."""

STEADY_S: Final = 30.0
"""After this long without failure the next one is a new one, and not the same again."""


async def persistently(
    what: str,
    attempt: Callable[[], Awaitable[None]],
    *,
    on: tuple[type[Exception], ...],
    log: logging.Logger,
) -> None:
    """Calls ``attempt`` until it returns. Failures other than ``on`` are the caller's."""
    loop = asyncio.get_running_loop()
    pause_s, told = PAUSE_MIN_S, ""
    failing_since_s: float | None = None
    while True:
        began_s = loop.time()
        try:
            await attempt()
            return
        except on as error:
            if loop.time() - began_s > STEADY_S:
                pause_s, told = PAUSE_MIN_S, ""
                failing_since_s = None
            if (words := in_words(error)) != told:
                expected = isinstance(error, UpcallError | ConnectionError)
                log.log(logging.WARNING, "%s: %s; tried again", what, words, exc_info=None if expected else error)
                told = words
        # Some disorder, or all services would come back in the same millisecond.
        await asyncio.sleep(pause_s * random.uniform(0.7, 1.3))
        failing_since_s = began_s if failing_since_s is None else failing_since_s
        if loop.time() - failing_since_s > QUICK_S:
            pause_s = min(2 * pause_s, PAUSE_MAX_S)


@contextlib.contextmanager
def as_an_error() -> Iterator[None]:
    """A cancellation that nobody asked of this task came out of the code that it calls: an error of that code, like any
    other. Let through, it would end the task as if somebody had wanted that, and nobody would hear of it."""
    try:
        yield
    except asyncio.CancelledError as cancelled:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        error = RuntimeError("CancelledError: what it waited for was cancelled")
        raise error.with_traceback(cancelled.__traceback__) from cancelled


def in_words(error: BaseException) -> str:
    """An error in one line for a person."""
    if isinstance(error, UpcallError):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__

"""Calling a hook until it has returned once: one that raises, or is late, is called again, ever more slowly."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from upcall.protocol.errors import UpcallError
from upcall.service.attempts import as_an_error
from upcall.service.service import Service
from upcall.service.telling import Tell, while_it_moves

BACKOFF_MAX_S: Final = 30.0


async def until_done(
    service: Service,
    what: str,
    call: Callable[[], Awaitable[None]],
    still: Callable[[], bool],
    *,
    failed: Callable[[str], Awaitable[None]] | None = None,
    tell: Tell | None = None,
) -> bool:
    """Whether it has returned: ``still`` says whether anybody wants it. It is late when it makes no progress."""
    pause_s = 1.0
    while still():
        try:
            async with while_it_moves(service.hook_timeout_s, tell or (lambda text, _: service.log.info("%s", text))):
                with as_an_error():
                    await call()
            return True
        except Exception as error:
            words = service.raised(what, error)
            service.log.warning("%s: %s; it is called again in %g s", what, words, pause_s)
            if failed is not None:
                with contextlib.suppress(UpcallError, ConnectionError):  # Who was not told is told the next time.
                    await failed(words)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, BACKOFF_MAX_S)
    return False

"""Waiting for what tells nobody: it is looked at, again and again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

LOOK_EVERY_S: Final = 1.0


async def until(holds: Callable[[], Awaitable[bool]], every_s: float = LOOK_EVERY_S) -> None:
    """Returns once it holds. Has no end of its own: who asked for what waits can call it off."""
    while not await holds():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(every_s)

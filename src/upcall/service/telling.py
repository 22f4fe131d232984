"""How far something is that takes long: told as it comes, heard as fast as a person reads.

What takes long is late only when it makes no progress: each word that is not the one before gives it its time anew.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any, Final

from upcall.protocol.errors import UpcallError
from upcall.service.link import MasterAway

Tell = Callable[[str, float | None], None]

PAUSE_S: Final = 0.5
"""Between two words on one thing: a person reads no faster."""
CHARS_MAX: Final = 300

telling: ContextVar[Tell | None] = ContextVar("telling", default=None)
"""Who hears of what is being done here; none: the log."""
asked: ContextVar[str] = ContextVar("asked", default="")
"""Which action is being answered here, by its id."""


def percent(text: str, share: float | None) -> str:
    """``12 of 340 MiB (4 %)``."""
    return text if share is None else f"{text} ({share * 100:.0f} %)"


@contextlib.asynccontextmanager
async def while_it_moves(limit_s: float, tell: Tell) -> AsyncIterator[None]:
    """Raises ``TimeoutError`` when ``limit_s`` have passed without a new word of how far it is."""
    loop = asyncio.get_running_loop()
    last: tuple[str, float | None] | None = None
    async with asyncio.timeout(limit_s) as late:

        def heard(text: str, share: float | None) -> None:
            nonlocal last
            if last != (text, share):
                last = (text, share)
                if not late.expired():
                    late.reschedule(loop.time() + limit_s)
            tell(text, share)

        before = telling.set(heard)
        try:
            yield
        finally:
            telling.reset(before)


class Words:
    """What is to be said next of each thing; the newest word is what counts."""

    def __init__(
        self,
        say: Callable[[str, str, float | None], Awaitable[None]],
        spawn: Callable[[Coroutine[Any, Any, object], str], object],
    ) -> None:
        self._say_one = say
        self._spawn = spawn
        self._next: dict[str, tuple[str, float | None]] = {}
        self._saying: set[str] = set()

    def tell(self, what: str, text: str, share: float | None) -> None:
        within = None if share is None else min(max(share, 0.0), 1.0)
        self._next[what] = (text[:CHARS_MAX], within)
        if what not in self._saying:
            self._saying.add(what)
            self._spawn(self._say(what), f"progress of {what}")

    async def _say(self, what: str) -> None:
        try:
            while (said := self._next.pop(what, None)) is not None:
                with contextlib.suppress(UpcallError, MasterAway):  # The next word makes up for a lost one.
                    await self._say_one(what, *said)
                await asyncio.sleep(PAUSE_S)
        finally:
            self._saying.discard(what)

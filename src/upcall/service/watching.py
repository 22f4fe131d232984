"""Watching what a deferral waits for.

An answer often depends on something that the system does not see: which replicas are in sync, which ranges stream. A
service that writes ``watched()`` gives just that, as a value. While something of it is put off, the value is looked at
every ``watch_every_s``, and when it is another one than before, the question is asked again at once. So what waits for
the last partition in sync goes ahead within a second of it, and nothing is watched while nobody waits.

That it cannot be seen (what is asked does not answer) passes in a moment as a rule, and is told in the host's log;
what lasts is told to a person, with the service's health, and so is its end.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from upcall.service.blame import in_words_with_line
from upcall.service.service import Service, overridden

PAUSE_MAX_S: Final = 30.0
"""Between two looks of which each fails: what is looked at may be down for hours."""

LASTS: Final = 3
"""So many looks in a row that fail are told."""

_NOTHING: Final = object()


class Watch:
    """One service's; it ends with the subscription."""

    def __init__(
        self,
        service: Service,
        puts_off: asyncio.Event,
        ask_again: Callable[[], None],
        seen: Callable[[str], None],
    ) -> None:
        """``seen`` is told why what is waited for cannot be seen, and by an empty text that it can."""
        self._service = service
        self._puts_off = puts_off
        self._ask_again = ask_again
        self._seen = seen
        self._failed = ""
        self._failed_times = 0

    async def run(self) -> None:
        if not overridden(self._service, "watched"):
            return
        before: Any = _NOTHING
        pause_s = every_s = self._service.watch_every_s
        while True:
            if not self._puts_off.is_set():
                self._seen("")
                self._failed_times = 0
                await self._puts_off.wait()
                before = _NOTHING  # What was seen for an earlier question says nothing about this one.
            seen = await self._look()
            if seen is _NOTHING:
                pause_s = min(2 * pause_s, PAUSE_MAX_S)
            else:
                # The first look of a stretch may already differ from what the question saw.
                if seen != before:
                    self._ask_again()
                before, pause_s = seen, every_s
            await asyncio.sleep(pause_s)

    async def _look(self) -> Any:
        """What is watched; told once for each reason where it cannot be seen."""
        service = self._service
        try:
            async with asyncio.timeout(service.answer_timeout_s):
                seen = await service.watched()
        except TimeoutError:
            why = f"late, after {service.answer_timeout_s:g} s"
        except Exception as error:
            why = in_words_with_line(error)
        else:
            self._failed, self._failed_times = "", 0
            self._seen("")
            return seen
        if why != self._failed:
            self._failed = why
            service.log.warning("watched(): %s; what is put off is asked about at its own times until then", why)
        self._failed_times += 1
        if self._failed_times >= LASTS:
            self._seen(why)
        return _NOTHING

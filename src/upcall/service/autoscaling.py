"""A service that scales itself: it looks at what matters to it, and asks for another size as a person would.

Its wish is a revision like any other, asked for by the service, with what it looked at as the reason; so it is asked
about, shown, cancelled, rolled back like any other. What it would decline itself, it does not ask for. A host that
starts anew looks for as long as a wish has to hold before it decides anything.

Where the service has maintenance windows, it asks within them alone: until then nothing stands in anybody's way, and
what it asks for is what it needs by then.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from upcall.protocol import service as wire
from upcall.protocol.errors import Closed, NotNow, UpcallError
from upcall.service.changing import between
from upcall.service.deciding import Deciding
from upcall.service.link import Fenced, Link, MasterAway
from upcall.service.options import validated
from upcall.service.previewing import preview
from upcall.service.questions import CHANGES
from upcall.service.scaling import OPTION, Autoscale, Size, size_option
from upcall.service.service import Service, overridden

PLAN: Final = "scale"
UNDER_WAY: Final = (*CHANGES, "finalize", "uninstall", "rebalance")


@dataclass(frozen=True)
class Waits:
    """For a window, as the master last said."""

    until_s: float = 0.0
    windows: tuple[object, ...] = ()
    """As they were then."""
    words: str = ""


class Autoscaling:
    """Of one service."""

    def __init__(self, service: Service, link: Link, now: Callable[[], float], changed: Callable[[], None]) -> None:
        self._service = service
        self._link = link
        self._now = now
        self._changed = changed
        self._deciding = Deciding()
        self._asked = ""
        """The change that it asked for last."""
        self._words = ""
        self._wants = False
        self._closed = Waits()

    @property
    def bounds(self) -> Autoscale | None:
        found: Autoscale | None = getattr(self._service.options, OPTION, None)
        return found

    def view(self) -> wire.PlanView | None:
        if self.bounds is None or not self._words:
            return None
        state = "waiting" if self._wants else "done"
        step = wire.StepView(name="size", state="waiting" if self._wants else "done", reason=self._words)
        phase = wire.PhaseView(name="members", strategy="serial", state=state, steps=(step,))
        return wire.PlanView(name=PLAN, state=state, reason=self._words, phases=(phase,))

    def hear(self, told: wire.Told) -> None:
        """What it asked for came to nothing: it is not asked for again at once."""
        if told.operation.id == self._asked and told.what in ("declined", "failed", "withdrawn"):
            self._deciding = self._deciding.came_to_nothing(self._now())
            self._asked = ""

    async def run(self, revision: Callable[[], int]) -> None:
        """For as long as the subscription lasts. ``revision``: the one that stands."""
        if not overridden(self._service, "desired_size") or size_option(type(self._service.options)) is None:
            return
        while True:
            if self.bounds is not None:
                await self._look(self.bounds, revision())
            else:
                self._deciding, self._words, self._wants = Deciding(), "", False
            await asyncio.sleep(self._service.scale_every_s)

    async def _look(self, bounds: Autoscale, revision: int) -> None:
        service, now_s = self._service, self._now()
        found = size_option(type(service.options))
        assert found is not None
        option, _ = found
        under_way = next((op for op in service.operations if op.kind in UNDER_WAY), None)
        if under_way is not None:
            self._deciding = self._deciding.changing(now_s)
            self._say(f"after {under_way.id} ({under_way.kind})", wants=self._wants)
            return
        if any(not member.started for member in service.members if member.pod):
            return  # it is being deployed
        wants = await self._desired()
        if wants is None:
            return
        has = getattr(service.options, option)
        self._deciding, decision = self._deciding.look(now_s, has, wants, bounds)
        if decision.to is not None:
            await self._ask(option, decision.to, decision.words, revision)
        else:
            self._say(decision.words, wants=not decision.is_right)

    async def _desired(self) -> Size | None:
        service = self._service
        try:
            async with asyncio.timeout(service.answer_timeout_s):
                return await service.desired_size()
        except TimeoutError:
            self._say(f"desired_size gave no answer within {service.answer_timeout_s:g} s", wants=True)
        except Exception as error:
            self._say(service.raised("desired_size", error), wants=True)
        return None

    async def _ask(self, option: str, to: int, words: str, revision: int) -> None:
        """Where its own code would decline that, it is no valid size, or no window is open, nobody is asked."""
        service = self._service
        now_s, windows = self._now(), (service.options.windows, service.options.time_zone)
        if now_s < self._closed.until_s and windows == self._closed.windows:
            self._say(f"{words}; {self._closed.words}", wants=True)
            return
        options = {**service._context.options, option: to}
        try:
            wanted = validated(type(service.options), options, where=service.name)
            would = wire.Revision(
                number=revision + 1,
                version=service._context.version,
                kind="scale_out" if to > getattr(service.options, option) else "update",
                options=options,
            )
            declined = (await preview(service, would)).declined if between(service.options, wanted) else ""
            if declined:
                self._deciding = self._deciding.came_to_nothing(self._now())
                self._say(f"{words}, which it would refuse itself: {declined}", wants=True)
                return
            asked = wire.Rescale(option=option, size=to, reason=words, made_from=revision)
            self._asked = await self._link.rescale(asked)
            self._say(words, wants=True)
        except (Fenced, NotNow, MasterAway):
            raise
        except Closed as error:
            opens_s = now_s + float(error.problem.details.get("opens_in_s", 0.0))
            self._closed = Waits(opens_s, windows, error.problem.message)
            self._say(f"{words}; {self._closed.words}", wants=True)
        except UpcallError as error:
            self._deciding = self._deciding.came_to_nothing(self._now())
            self._say(f"{words}, which was refused: {error}", wants=True)

    def _say(self, words: str, *, wants: bool) -> None:
        if (words, wants) != (self._words, self._wants):
            self._words, self._wants = words, wants
            self._changed()

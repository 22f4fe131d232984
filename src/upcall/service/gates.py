"""The gates of an update: between the member that is changed first and the others.

The one that was changed has to stay as it is for the settle time, and its expert has to agree, before anybody else is
touched. One that ends again and again, or whose expert declines, ends the update.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from upcall.protocol import service as wire
from upcall.service.consent import Verdict
from upcall.service.course import Course
from upcall.service.member import Member
from upcall.service.moving import ENDS_MAX
from upcall.service.questions import NoAnswer, checked
from upcall.service.service import Service
from upcall.service.steps import GaveUp, Later
from upcall.service.while_running import WhileRunning

LOOK_S: Final = 1.0
"""How often a gate is looked at that is not open yet."""
ASK_AGAIN_S: Final = 5.0
"""After a question that was not answered."""


class Gates:
    """Of one update."""

    def __init__(
        self,
        service: Service,
        now: Callable[[], float],
        course: Callable[[], Course | None],
        operation: Callable[[], wire.Operation | None],
        while_running: Callable[[], WhileRunning],
    ) -> None:
        self._service = service
        self._now = now
        self._course = course
        self._operation = operation
        self._while = while_running
        self._ready_since: tuple[int, float] = (0, 0.0)
        """Of the canary: its incarnation."""
        self._gated = 0
        """Incarnation of the canary that came to the gate."""

    def begins(self) -> None:
        """Another update."""
        self._gated = 0

    async def settled(self) -> None:
        """All that were told something live stay well."""
        await self._while().stays_well(self._now())

    async def told(self) -> None:
        """The one that was told first stays well, and the expert says that the others may follow."""
        await self.settled()
        course, operation = self._course(), self._operation()
        member = self._service.members.get((course.live_canary if course is not None else None) or "")
        if member is not None and operation is not None:
            await self._agreed(member, operation)

    async def restarted(self) -> None:
        """The canary stays ready, and the expert says that the others may follow."""
        service, course, operation = self._service, self._course(), self._operation()
        member = service.members.get(course.canary or "") if course is not None else None
        if member is None or operation is None:
            return
        self._gated = self._gated or member.incarnation
        if member.incarnation > self._gated and member.ended_times >= ENDS_MAX:
            raise GaveUp(f"{member.name} does not stay ready: {member.seen.exit_reason or member.seen.reason}")
        if not member.back:
            self._ready_since = (0, 0.0)
            raise Later(f"{member.name} is {member.state}", LOOK_S)
        if self._ready_since[0] != member.incarnation:
            self._ready_since = (member.incarnation, self._now())
        left_s = self._ready_since[1] + service.settle_s - self._now()
        if left_s > 0:
            raise Later(f"{member.name} has to stay ready for {service.settle_s:g} s", left_s)
        await self._agreed(member, operation)

    async def _agreed(self, member: Member, operation: wire.Operation) -> None:
        verdict = await self._may_go_on(member, operation)
        if verdict.word == "decline":
            raise GaveUp(f"{member.name}: {verdict.reason}")
        if verdict.word == "defer":
            raise Later(verdict.reason, min(verdict.retry_after_s, LOOK_S))

    async def _may_go_on(self, member: Member, operation: wire.Operation) -> Verdict:
        """One that is late or raises says nothing: it is asked again."""
        service = self._service
        try:
            async with asyncio.timeout(service.answer_timeout_s):
                given = await service.may_go_on(member, operation)
            return checked(type(service), "update", "may_go_on", given)
        except TimeoutError:
            raise Later(f"may_go_on gave no answer within {service.answer_timeout_s:g} s", ASK_AGAIN_S) from None
        except NoAnswer as error:
            raise Later(str(error), ASK_AGAIN_S) from error
        except Exception as error:
            raise Later(service.raised(f"may_go_on({member.name})", error), ASK_AGAIN_S) from error

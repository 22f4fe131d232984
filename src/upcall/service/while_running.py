"""What an update changes while members run: one member first, a gate, then the others; and back where it fails.

A value that a member cannot live with ends it, and where it is written down beside the member it ends it again at every
start. So a change that can be told member by member is told to one alone at first. That one has to stay as it is for
the settle time, and its expert has to agree; only then the others are told, one after the other. What has no value of
a member's own is told at once, and all members are watched.

Who was told is written down before it is told. When the update fails, all of them are given back what they had: by
whichever host comes, as often as it takes, and before the update is over. What an update that was cancelled or replaced
has left is taken along by the next one; a member that is down by then is given back first what it had.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec.structs import replace

from upcall.protocol import service as wire
from upcall.protocol.errors import Invalid
from upcall.service.changing import OptionChange, named
from upcall.service.comparing import with_options
from upcall.service.course import Course, Live
from upcall.service.giving import apart, given, given_back
from upcall.service.member import Member
from upcall.service.moving import AWAY, how_it_ended
from upcall.service.options import ServiceOptions
from upcall.service.service import Service, overridden
from upcall.service.steps import GaveUp, Later

LOOK_S: Final = 1.0
STARTS: Final = ("pending", "fetching", "starting", "running")
"""States of a member that has read what it works with, and cannot be told anything yet."""
BY_ITSELF: Final = ("lost", "cure")
"""A kind, and a class, of operations that follow from how a member is. Any other that ends it was wished by
somebody."""


class WhileRunning:
    """The live changes of one update."""

    def __init__(
        self,
        service: Service,
        course: Callable[[], Course | None],
        keep: Callable[[Course], Awaitable[None]],
        options: Callable[[dict[str, Any]], ServiceOptions | None],
    ) -> None:
        """``options``: as the service reads them, of what is written down; None where they are of other code."""
        self._service = service
        self._course = course
        self._keep = keep
        self._options = options
        self.changes = Live()
        self._done: dict[str, int] = {}
        """Members that were told here -> their incarnation."""
        self._wished: dict[str, int] = {}
        """Members that somebody ended -> the incarnation that it was."""
        self._ill: dict[str, str] = {}
        """Members that fail their health check -> in words."""
        self._well_since: tuple[dict[str, int], float] = ({}, 0.0)

    def hear(self, operations: tuple[wire.Operation, ...]) -> None:
        """All operations, as they stand: which ends somebody wished."""
        course = self._course()
        for operation in operations:
            name = operation.member
            if course is None or name not in course.told or operation.state not in ("executing", "preparing"):
                continue
            if operation.klass == "cure":
                self._ill[name] = operation.reason
            elif operation.kind not in BY_ITSELF:
                self._wished[name] = operation.incarnation or course.told[name]

    # -- telling ----------------------------------------------------------------------------------------------------

    async def to_one(self) -> None:
        """The canary. Nobody is ready: nobody is told, and who comes back has it."""
        course = self._standing()
        for name in course.left_told:
            member = self._service.members.get(name)
            if member is not None and not member.ready:
                await self._back_at(name, self._changes_back(course))
        if course.left_told:
            await self._keep(course := replace(self._standing(), left_told=()))
        self._or_gives_up()
        member = self._service.members.get(course.live_canary or "")
        if member is None or not (member.ready or member.name in course.told):
            fit = [each for each in self._fit() if each.back]
            if not fit:
                return
            member = self._service.canary(fit)
            await self._keep(replace(course, live_canary=member.name))
        if not member.ready:
            raise Later(f"{member.name} is {member.state}", LOOK_S)
        self._service.progress(f"at {member.name}")
        await self._tell(member)

    async def to_the_others(self) -> None:
        """One after the other, while all that were told stay well."""
        while True:
            self._or_gives_up()
            if starting := [each for each in self._fit() if each.state in STARTS and not each.ended_times]:
                raise Later(f"{starting[0].name} is starting", LOOK_S)
            ready = [each for each in self._fit() if each.ready]
            left = [each for each in ready if self._done.get(each.name) != each.incarnation]
            if not left:
                return
            self._service.progress(f"at {left[0].name}", 1 - len(left) / len(ready))
            await self._tell(left[0])

    async def to_all(self) -> None:
        """What has no value of a member's own."""
        ready = {each.name: each.incarnation for each in self._fit() if each.ready}
        course = self._standing()
        await self._keep(replace(course, told={**ready, **course.told}, told_all=True))
        self._done = {**ready, **self._done}
        await self._carefully(self._service.apply_live(self.changes.at_once))

    async def _tell(self, member: Member) -> None:
        course = self._standing()
        await self._keep(replace(course, told={**course.told, member.name: member.incarnation}))
        await self._carefully(self._change(member))
        self._done[member.name] = member.incarnation

    async def _change(self, member: Member) -> None:
        """More is there before its system is told of anything, less when it has been."""
        service = self._service
        amounts, told = apart(service, self.changes.each)
        less = amounts and not any(change.wanted > change.was for change in amounts)
        if amounts and not less:
            await given(service, member)
        if told:
            await service.apply_live_at(member, told)
        if less:
            await given(service, member)

    async def _carefully(self, change: Awaitable[None]) -> None:
        """What cannot be right the next time has failed at once, and so has what ended the member."""
        try:
            await change
        except (Invalid, NotImplementedError) as error:
            raise GaveUp(str(error)) from error
        except Exception:
            self._or_gives_up()
            raise

    # -- the gate ---------------------------------------------------------------------------------------------------

    async def stays_well(self, now_s: float) -> None:
        """All that were told are ready, as they were, for the settle time."""
        self._or_gives_up()
        service = self._service
        for name, incarnation in self._standing().told.items():
            member = service.members.get(name)
            if member is None or (member.state in AWAY and name != self._standing().live_canary):
                continue
            if not member.back:
                raise Later(f"{name} is {member.state}", LOOK_S)
            if member.incarnation != incarnation or name not in self._done:  # Somebody restarted it, or our host.
                if self.changes.each:
                    await self._tell(member)
                else:
                    course = self._standing()
                    await self._keep(replace(course, told={**course.told, name: member.incarnation}))
                    self._done[name] = member.incarnation
        told = dict(self._standing().told)
        if self._well_since[0] != told:
            self._well_since = (told, now_s)
        left_s = self._well_since[1] + service.settle_s - now_s
        if told and left_s > 0:
            who = next(iter(told)) if len(told) == 1 else "all"
            raise Later(f"{who} {'has' if len(told) == 1 else 'have'} to stay ready for {service.settle_s:g} s", left_s)

    def _or_gives_up(self) -> None:
        if why := self._harmed():
            raise GaveUp(why)

    def _harmed(self) -> str:
        """Which of those that were told did not stay well, and how it ended; empty: none."""
        for name, incarnation in self._standing().told.items():
            member = self._service.members.get(name)
            if member is None or self._wished.get(name) == incarnation:
                continue
            if member.state == "lost":
                self._wished[name] = incarnation  # Its node does not answer: that tells nothing of the value.
            elif name in self._ill:
                return f"{name} does not stay well with it: {self._ill[name]}"
            elif member.incarnation != incarnation or member.state in ("ended", "failed"):
                return f"{name} does not stay up with it: {how_it_ended(member.seen)}"
        return ""

    # -- back -------------------------------------------------------------------------------------------------------

    async def back(self) -> None:
        """Everybody that was told has what it had."""
        course = self._standing()
        changes = self._changes_back(course)
        if course.told_all and changes.at_once:
            await self._before(course).apply_live(changes.at_once)
            await self._keep(replace(self._standing(), told_all=False))
        for name in course.told:
            self._service.progress(f"at {name}")
            await self._back_at(name, changes)
            left = {other: at for other, at in self._standing().told.items() if other != name}
            await self._keep(replace(self._standing(), told=left))

    async def _back_at(self, name: str, changes: Live) -> None:
        before = self._before(self._standing())
        member = before.members.get(name)
        amounts, told = apart(before, changes.each)
        if member is not None and told:
            await before.take_live_back(member, told)
        if member is not None and amounts:
            await given_back(before, member)

    def _before(self, course: Course) -> Service:
        """The service as it was, with the members as they are now."""
        base = self._options(course.base)
        return with_options(self._service, base) if base is not None else self._service

    def _changes_back(self, course: Course) -> Live:
        """To what they were."""
        base = self._options(course.base)
        if base is None:
            return Live()
        found = {change.name: change for change in named(self._service.options, base, course.live)}
        return sorted_out(self._service, tuple(found[name] for name in course.live))

    # -- who ----------------------------------------------------------------------------------------------------------

    def _fit(self) -> list[Member]:
        """Those that are told, or start with it."""
        brings = self._standing().brings
        return [member for member in self._service.members if member.pod and member.name not in brings]

    def _standing(self) -> Course:
        course = self._course()
        assert course is not None
        return course


def sorted_out(service: Service, changes: tuple[OptionChange, ...]) -> Live:
    """Which are told member by member, where its expert can, and which at once."""
    each = overridden(service, "apply_live_at")
    hows = {change.name: service.how(change) for change in changes}
    by_member = tuple(
        change for change in changes if hows[change.name].in_place or (each and not hows[change.name].at_once)
    )
    return Live(by_member, tuple(change for change in changes if change not in by_member))

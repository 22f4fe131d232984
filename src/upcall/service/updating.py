"""Carries an update out: drives its plan (:mod:`upcall.service.course`), and performs what follows from it.

What is decided is written down before it is done, so a host that dies at any point, or is replaced because the version
changed, goes on from there. The update itself is an operation of the master: it is confirmed when all of it is done,
and has failed when a step of it has.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict, Invalid, NotNow, UpcallError
from upcall.service import course as courses
from upcall.service import plans, wanted
from upcall.service.bases import base_of, looked_at, options_of
from upcall.service.changing import OptionChange, before, named
from upcall.service.comparing import compare, declarations, with_options
from upcall.service.course import Course
from upcall.service.gates import Gates
from upcall.service.leaving import Spawn
from upcall.service.link import Fenced, Link
from upcall.service.plan_inputs import (
    Control,
    Effect,
    Input,
    Keep,
    Observed,
    ProposeLeave,
    ProposeRestart,
    Retarget,
    RunStep,
    StartMember,
    Verb,
)
from upcall.service.proposing import Proposing
from upcall.service.questions import CHANGES
from upcall.service.repeating import until_done
from upcall.service.service import Service, overridden
from upcall.service.state import State
from upcall.service.steps import GaveUp
from upcall.service.stranger import BEGUN
from upcall.service.telling import Words
from upcall.service.while_running import WhileRunning, sorted_out

KEY: Final = "update"


class Updating:
    """The update of one service that is under way, or was the last."""

    def __init__(
        self,
        service: Service,
        link: Link,
        memory: State,
        now: Callable[[], float],
        spawn: Spawn,
        leaving: Callable[[str], str],
    ) -> None:
        """``leaving``: how far the removal of this id is."""
        self._running: set[asyncio.Task[object]] = set()
        """Its steps that are carried out here."""
        self._words = Words(self._working, spawn)
        self._service = service
        self._link = link
        self._memory = memory
        self._now = now
        self.plan = plans.Plan(KEY)
        self._course: Course | None = None
        self._kept: Course | None = None
        self._looked = False
        """What is changed while the members run was looked at here."""
        self._while = WhileRunning(service, lambda: self._course, self._now_is, partial(options_of, service))
        self._spawn = spawn
        self._back: asyncio.Task[object] | None = None
        """Takes back what was changed live."""
        self._back_said = ""
        self._writing = asyncio.Lock()
        self._operation: wire.Operation | None = None
        self._effects: list[Effect] = []
        self._proposing = Proposing(service, link, now, lambda: self._operation, leaving)
        self._gates = Gates(service, now, lambda: self._course, lambda: self._operation, lambda: self._while)
        self._master_start = ""
        """The first part of an epoch."""
        self._said = ""
        """What this subscription has said of the operation."""

    @property
    def last(self) -> Course | None:
        """The update that is under way, or was the last, as it is written down."""
        return self._course

    # -- what the deployment has to know ----------------------------------------------------------------------------

    def brings(self, revision: int) -> frozenset[str]:
        """Members that nobody starts before their turn."""
        course = self._course
        return course.brings if course is not None and course.revision == revision else frozenset()

    def before(self) -> Service | None:
        """The service as it was before members came that are not there yet."""
        course = self._course
        base = base_of(self._service, course) if course is not None and self._service._context.coming else None
        return with_options(self._service, base) if base is not None else None

    def stays(self, revision: int) -> wire.Declare | None:
        """What members are, and what holds, that an update was to remove which went no further: they are members like
        the others until another one removes them."""
        course = self._course
        if course is None or course.revision != revision or self._operation is not None or course.outcome == "done":
            return None
        base = base_of(self._service, course)
        if base is None or not set(course.base_names) - set(declarations(self._service)):
            return None
        before = with_options(self._service, base)
        there = {name for name, member in self._service._context.members.items() if member.starts > 0}
        with before._context.one_look(wanted.checked(before)):
            found = wanted.declared(before)
        members = {name: each for name, each in found.members.items() if name in there}
        return msgspec.structs.replace(found, members=members)

    def view(self) -> wire.PlanView | None:
        if self._course is None or not (self.plan.phases or self._course.failing or self._course.outcome):
            return None
        view = msgspec.structs.replace(self.plan.view(), revision=self._course.revision)
        outcome = self._course.outcome
        if why := self._course.failing:
            step = wire.StepView(name="live values", state="done" if outcome else "running", reason=self._back_said)
            phase = wire.PhaseView(name="taken back", strategy="serial", state=step.state, steps=(step,))
            return msgspec.structs.replace(view, state="failed", reason=why, phases=(*view.phases, phase))
        if outcome and outcome != "done":
            return msgspec.structs.replace(view, state="failed", reason=outcome)
        if outcome != "done" and self._operation is None:
            return msgspec.structs.replace(view, state="failed", reason="was ended before it was over")
        return view

    @property
    def deadline_s(self) -> float | None:
        if self._operation is None or self._course is None or self._course.outcome or self._course.failing:
            return None
        times = self._proposing.looks_s
        if self.plan.deadline_s is not None:
            times.append(self.plan.deadline_s)
        now_s = self._now()
        return min((each for each in times if each > now_s), default=None)

    def control(self, verb: Verb, path: str) -> None:
        if self._operation is None or self._course is None or self._course.outcome:
            raise Conflict("no update is under way", where="plan update", expected="`upcall update` begins one")
        if why := self._course.failing:
            raise Conflict(
                f"the update has failed, and what it changed is being taken back: {why}", where="plan update"
            )
        self.move(Control(verb, path, self._now()))

    def subscribed(self) -> None:
        """On a new subscription the master may not have heard what was said on the one before."""
        self._said = ""

    def shown(self, pending: wire.Operations) -> None:
        """All operations, as they stand."""
        self._master_start = pending.epoch.partition(".")[0]
        self._while.hear(pending.operations)

    def hear(self, told: wire.Told) -> None:
        self._proposing.hear(told)

    # -- beginning --------------------------------------------------------------------------------------------------

    async def load(self, life: float) -> None:
        """What an earlier host wrote down."""
        kept = await self._memory.get(KEY)
        found = msgspec.convert(kept, Course) if kept else None
        self._course = self._kept = found if found is not None and found.life == life else None
        self._service._context.chosen = self._course.chosen if self._course is not None else ()
        if self._course is not None:
            self._restored(self._course)

    def _restored(self, course: Course) -> None:
        self.plan = plans.Plan(KEY, marks=dict(course.marks), paused=frozenset(course.paused))

    async def begin(self, revision: int, life: float, options: Mapping[str, Any]) -> None:
        """Before anything is declared under a revision that an update brings, what was before it is written down.
        The service has its options already."""
        operation = self._under_way(revision)
        if self._operation is not None and (operation is None or operation.id != self._operation.id):
            for step in self._running:
                step.cancel()  # It goes no further: what it had begun here neither.
        self._operation = operation
        if operation is None or operation.revision is None:
            self._take_back()
            return
        if self._course is None or (self._course.revision, self._course.life) != (revision, life):
            upgrade = operation.revision.other_code
            was = before(options, operation.revision.changed)
            last = self._course
            # Whole or not at all: what raises here is tried again.
            self._course = await looked_at(
                self._service,
                courses.next_course(last, life=life, revision=revision, was=was, options=options, upgrade=upgrade),
                last,
            )
            self._service._context.chosen = self._course.chosen
            self._restored(self._course)
            self._effects, self._back_said = [], ""
            self._gates.begins()
            self._proposing.begins()
            if self._back is not None:
                self._back.cancel()  # This one takes along what is left of it.
                self._back = None
            self._looked, self._while = (
                False,
                WhileRunning(self._service, lambda: self._course, self._now_is, partial(options_of, self._service)),
            )
        await self._write()
        self._take_back()

    async def fail(self, revision: int, why: str) -> None:
        """What this revision wants cannot be said: it goes no further. Nothing follows where it does not go on."""
        operation, course = self._under_way(revision), self._course
        if operation is None or operation.state not in BEGUN:
            return
        if course is not None and course.revision == revision:
            if not course.outcome and not course.failing:
                self._course = replace(course, failing=why) if course.owes else replace(course, outcome=why)
                await self._write()
            self._take_back()
            if not self._course or not self._course.outcome:
                return  # What members were told is taken back first.
            why = self._course.outcome
        await self._say_over(why, operation)

    def _under_way(self, revision: int) -> wire.Operation | None:
        """The operation that brings this revision, once it has begun."""
        for operation in self._service.operations:
            brought = operation.revision
            if operation.kind in CHANGES and brought is not None and brought.number == revision:
                return operation
        return None

    # -- moving -----------------------------------------------------------------------------------------------------

    def look(self, members: wire.Members, settling: frozenset[str]) -> None:
        """The world as it is. Within one look at the service, in which its members were declared."""
        course, operation = self._course, self._operation
        if course is None or operation is None or course.outcome or course.failing:
            return
        self._while.hear(self._service.operations)
        seen = {member.name: member for member in members.members}
        declared = self._service._context.built or {}
        if operation.state not in BEGUN or any(
            name not in seen or seen[name].revision < course.revision for name in declared or course.names
        ):
            return  # the master has not taken the declarations of this revision yet
        course = self._chosen(course, seen)
        pods = wanted.checked(self._service)
        timeout_s, live = self._service.hook_timeout_s, self._while.changes
        self.plan = self.plan.with_phases(courses.phases(course, pods, seen, live, self._works(), timeout_s))
        held = "paused by a person" if operation.paused else ""
        world = Observed(
            seen,
            self._now(),
            members.unplaced,
            settling,
            course.revision,
            held,
            self._proposing.asked(),
            dict(self._proposing.refused),
            self._master_start,
        )
        self._course = course
        self.move(world)

    @property
    def starts(self) -> set[str]:
        """Members whose turn it is to start."""
        return {effect.member for effect in self._effects if isinstance(effect, StartMember)}

    def _works(self) -> courses.Works:
        changes, gates = self._while, self._gates
        spread = self._spread if overridden(self._service, "spread") else None
        return courses.Works(
            changes.to_one, gates.told, changes.to_the_others, changes.to_all, gates.settled, gates.restarted, spread
        )

    def _chosen(self, course: Course, members: Mapping[str, wire.Member]) -> Course:
        """Who restarts, and who of them first: decided once. And what is changed while they run."""
        service = self._service
        if course.canary is not None and self._looked:
            return course
        base = options_of(self._service, course.base)
        differ: tuple[str, ...] = ()
        live: tuple[OptionChange, ...] = ()
        if base is not None and not course.upgrade:
            found = compare(service, base, service.options, named(base, service.options, course.touched))
            live, differ = found.live, found.differ
        self._looked, self._while.changes = True, sorted_out(service, live)
        if course.canary is not None:
            return course
        restarts = courses.who_restarts(course, differ, members)
        fit = courses.may_be_canary(restarts, members)
        canary = service.canary([service.members[name] for name in fit]).name if fit else ""
        return replace(course, restarts=restarts, canary=canary, live=tuple(change.name for change in live))

    def move(self, given: Input) -> None:
        """One input into the plan; what follows is performed by the next reconciling, in order."""
        self.plan, effects = self.plan.handle(given)
        self._effects += effects

    # -- performing -------------------------------------------------------------------------------------------------

    async def perform(self, run: Callable[[RunStep], "asyncio.Task[object]"]) -> None:
        """What follows, in order: first it is written down. What was not performed because the master was away is still
        to be: a step is told to run only once."""
        course, operation = self._course, self._operation
        if course is None or operation is None:
            return
        effects = tuple(self._effects)
        for effect in effects:
            if isinstance(effect, Keep):
                course = replace(course, marks=dict(effect.marks), paused=effect.paused)
        over = course.outcome or course.failing
        if not over and course.canary is not None and self.plan.world.revision == course.revision:
            if why := self.plan.failure:
                course = replace(course, failing=why) if course.owes else replace(course, outcome=why)
            elif self.plan.over:
                course = replace(course, outcome="done")
        self._course = course
        await self._write()
        self._take_back()
        turns = {effect.member for effect in effects if isinstance(effect, ProposeRestart | ProposeLeave)}
        if effects:
            self._proposing.turns(turns)
        for effect in effects:
            match effect:
                case ProposeRestart():
                    await self._proposing.propose("restart", effect.member, effect.reason, effect.key, operation)
                case ProposeLeave():
                    await self._proposing.propose("scale_in", effect.member, effect.reason, effect.key, operation)
                case Retarget():
                    await self._link.retarget(*effect.members)
                case RunStep():
                    self._running.add(task := run(effect))
                    task.add_done_callback(self._running.discard)
            del self._effects[0]
        if course.outcome:
            await self._say_over(course.outcome, operation)

    async def _say_over(self, outcome: str, operation: wire.Operation) -> None:
        """Once on each subscription: the master may not have heard it on the one before."""
        if self._said == operation.id:
            return
        try:
            if outcome == "done":
                left = [name for name, member in self.plan.world.members.items() if member.behind]
                if left:  # a person said that their steps count as done
                    await self._link.retarget(*left)
                await self._link.confirm(operation.id)
            else:
                await self._link.fail(operation.id, outcome)
        except (Fenced, NotNow):
            raise
        except UpcallError as error:
            self._service.log.info("%s is over for the master: %s", operation.id, error)
        self._said = operation.id

    async def _write(self) -> None:
        """One after the other: its steps write too."""
        async with self._writing:
            course = self._course
            if course is not None and course != self._kept:
                await self._memory.set(KEY, msgspec.to_builtins(course))
                self._kept = course

    async def _now_is(self, course: Course) -> None:
        self._course = course
        await self._write()

    # -- what its steps do ------------------------------------------------------------------------------------------

    def _take_back(self) -> None:
        """What a course that is failing has changed live: also when its operation is over already, until it is done."""
        course = self._course
        if course is None or not course.failing or course.outcome or (self._back and not self._back.done()):
            return
        revision = course.revision

        def still() -> bool:
            course = self._course
            return course is not None and course.revision == revision and not course.outcome

        async def go() -> None:
            await self._while.back()
            if still() and self._course is not None:
                await self._now_is(replace(self._course, told={}, outcome=self._course.failing))
                self._service.refresh()

        async def failed(error: str) -> None:
            self._told_back(error, None)

        call = until_done(self._service, "take_live_back", go, still, failed=failed, tell=self._told_back)
        self._back = self._spawn(call, "what was changed live is taken back")

    def _told_back(self, text: str, share: float | None) -> None:
        self._back_said = text
        self._service.refresh()
        self.tell(f"what was changed live is taken back: {text}", share)

    async def _spread(self) -> None:
        """Those that came are there: load moves onto them."""
        service, course, operation = self._service, self._course, self._operation
        if course is None or operation is None:
            return
        came = tuple(member for member in service.members if member.name in course.brings)
        try:
            await service.spread(came, operation)
        except Invalid as error:
            raise GaveUp(str(error)) from error

    def tell(self, text: str, share: float | None) -> None:
        """One of its steps says how far it is."""
        if self._operation is not None:
            self._words.tell(self._operation.id, text, share)

    async def _working(self, operation: str, text: str, share: float | None) -> None:
        await self._link.working(operation, wire.Working(text=text, share=share))

"""Runs one service: hears what the master says, and lets the pure parts and the expert decide what to do.

Everything is level-triggered. Each event holds a whole set; after it the runner makes anew what the service wants
(:mod:`upcall.service.wanted`), moves the plan (:mod:`upcall.service.plans`), asks the expert
(:mod:`upcall.service.asking`), and sends only what differs from what this subscription has sent. So a lost event, a
repeated one, a new subscription or a new host all lead to the same place, and nothing is ever launched twice.

What belongs to a subscription (reading, reconciling, asking) ends with it. What the expert began (steps, hooks,
actions) goes on beside it: the master may be away for a moment.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol

import msgspec

from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict, NotNow, UpcallError
from upcall.protocol.nearest import choice
from upcall.protocol.releases import released
from upcall.service import derived, faults, plans, troubles, wanted
from upcall.service.apart import Apart
from upcall.service.asking import Clerk
from upcall.service.attempts import as_an_error
from upcall.service.autoscaling import Autoscaling
from upcall.service.backup.trials import Clearing
from upcall.service.carrying_out import CarryingOut
from upcall.service.context import Context
from upcall.service.desk import PREVIEW, Desk
from upcall.service.health import Health
from upcall.service.hooks import Hooks
from upcall.service.leaving import Leaving
from upcall.service.link import Fenced, Link, MasterAway, Transport, WholeSet, encoded
from upcall.service.options import validated
from upcall.service.plan_inputs import (
    Control,
    Effect,
    Input,
    Keep,
    Observed,
    ProposeRestart,
    RunStep,
    StartMember,
    StepEnded,
    StepSaid,
    Verb,
)
from upcall.service.relieving import Relieving
from upcall.service.roles import Roles
from upcall.service.service import Service
from upcall.service.state import State
from upcall.service.steps import Do, GaveUp, Later
from upcall.service.telling import percent, while_it_moves
from upcall.service.updating import Updating
from upcall.service.watching import Watch

OWN_KEYS: Final = "sdk."
"""Prefix of what the SDK itself keeps in the service's memory."""

PLAN_KEY: Final = "deploy"
UNEXPLAINED_S: Final = 1.0
_OVER: Final = ("done", "forced", "failed")
TROUBLE_PAUSE_S: Final = 5.0
"""Before an expert's code that raised is called again although nothing changed."""


def _from_any_thread(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # The loop has ended: nobody is asked any more.
        loop.call_soon_threadsafe(call)


class Moved(Protocol):
    """Who has a plan, and moves it."""

    plan: plans.Plan

    def move(self, given: Input) -> None: ...

    def tell(self, text: str, share: float | None) -> None:
        """One of its steps says how far it is."""


class StreamEnded(MasterAway):
    """The master closed the stream."""


class Runner:
    """One service in this process. ``run`` is one subscription; state that is worth it survives to the next."""

    def __init__(
        self,
        service_class: type[Service],
        name: str,
        transport: Transport,
        *,
        version: str = "",
        wall: Callable[[], float] = time.time,
        load: Callable[[wire.Revision], Awaitable[type[Service] | None]] | None = None,
    ) -> None:
        """``load``: the code of a revision that is made of other files."""
        self.link = Link(transport, name)
        self.context = Context(
            name=name,
            state=State(self.link),
            run_tool=self.link.run,
            propose=self.link.propose,
            credentials=self.link.credentials,
            fits=self.link.fits,
            differ=self.link.differ,
            resize=self.link.resize,
            granted=self.link.granted,
            apart=Apart(name),
            started=False,
        )
        if load is not None:
            self.context.load = load
        self.context.note = self._noted
        self.context.refresh = self._look
        self.service = service_class(self.context)
        self.plan = plans.Plan("deploy")
        self._view = self.plan.view()
        self._wall = wall
        self._version = version
        self._memory = State(self.link, OWN_KEYS)
        self.context.roles = Roles(self._memory, self._look)
        self._tasks: set[asyncio.Task[object]] = set()
        self._clerk = Clerk(self.service, self.link, self._spawn)
        self._hooks = Hooks(self.service, self.link, self._spawn, self._look)
        self._leaving = Leaving(self.service, self.link, self._memory, self._spawn)
        self._carrying_out = CarryingOut(self.service, self.link, self._spawn)
        self._autoscaling = Autoscaling(self.service, self.link, wall, self._look)
        self._updating = Updating(self.service, self.link, self._memory, wall, self._spawn, self._leaving.said)
        self._health = Health(self.service, self.link)
        self._watch = Watch(self.service, self._clerk.puts_off, self._clerk.ask_again, self._health.watched)
        self._relieving = Relieving(self.service, self._spawn)
        self._clearing = Clearing(self.service, self._spawn)
        self._dirty = asyncio.Event()
        self._subscribed = asyncio.Event()
        self._wanted: wire.Wanted | None = None
        self._members: wire.Members | None = None
        self._starts: set[str] = set()
        self._begun = False
        self._started = asyncio.Event()
        """``on_start`` has returned."""
        self._answers = asyncio.Event()
        """It has, or has made a mistake: what mends it can be asked about."""
        self._life = 0.0
        self._options_revision = 0
        self._operations_heard = False
        self._unexplained_until = 0.0
        """A new revision was heard, and nothing of the update that brings it: that is on its way."""
        self._effects: list[Effect] = []
        self._unkept: Keep | None = None
        self._proposed: set[str] = set()
        self._to_propose: list[ProposeRestart] = []
        self._sent: dict[str, bytes] = {}
        self._checked = wanted.Checked()
        self._desk = Desk(self.service, self.link, self._control, self._look, self._spawn, lambda: self._updating.last)
        self._trouble: troubles.Trouble | None = None
        self._spawn(self._hooks.telling(), "on_told")

    # -- life -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """One subscription, from its opening to its end; raises what ended it."""
        self._sent = {}
        self._operations_heard = False
        self._subscribed.clear()
        self._updating.subscribed()
        loop = asyncio.get_running_loop()
        self.context.ask_again = lambda: _from_any_thread(loop, self._clerk.ask_again)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._reading())
                for part in (self._reconciling, self._asking, self._watch.run, self._scaling, self._looking):
                    group.create_task(self._once_subscribed(part))
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from several

    async def _once_subscribed(self, part: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """What is said before the new stream has its name is said in the name of the one before, and fenced off: that
        would end this subscription at its beginning."""
        await self._subscribed.wait()
        await part()

    async def close(self) -> None:
        """Ends what the expert began here. What it had asked of the master stands."""
        self.end()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def end(self) -> None:
        """As :meth:`close`, without waiting for it."""
        for task in self._tasks:
            task.cancel()
        self.context.close()

    @property
    def heard_options(self) -> dict[str, Any] | None:
        """Those of the revision that was heard last."""
        return dict(self._wanted.options) if self._wanted is not None else None

    def _noted(self, operation: str, text: str) -> None:
        self._spawn(self._note(operation, text), f"note {operation}")

    async def _note(self, operation: str, text: str) -> None:
        with contextlib.suppress(UpcallError, ConnectionError):  # A note that is lost costs nothing.
            await self.link.note(wire.Note(operation=operation, text=text[: wire.NOTE_CHARS_MAX]))

    def _spawn(self, work: Coroutine[Any, Any, object], what: str) -> "asyncio.Task[object]":
        task = asyncio.get_running_loop().create_task(work, name=f"{self.context.name}: {what}")
        self._tasks.add(task)
        task.add_done_callback(self._spent)
        return task

    def _spent(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.context.log.error("%s: %s", task.get_name(), error, exc_info=error)

    # -- hearing ----------------------------------------------------------------------------------------------------

    async def _reading(self) -> None:
        async for event in self.link.events():
            self._hear(event)
        raise StreamEnded(f"the stream of {self.context.name} ended")

    def _hear(self, event: wire.StreamEvent) -> None:
        match event:
            case wire.Subscribed():
                self._subscribed.set()
            case wire.Wanted():
                if self._begun and not self._updated_by(event.revision):
                    self._unexplained_until = self._wall() + UNEXPLAINED_S
                self._wanted = event
                self.context.version = event.version
                self.context.bindings = event.bindings
                self.context.nodes, self.context.in_place = event.nodes, event.in_place
                self.context.left_behind, self.context.lost_behind = event.left_behind, event.lost_behind
                self._look()
            case wire.Members():
                self._members = event
                self.context.members = {member.name: member for member in event.members}
                if self._begun:
                    self._hooks.ending(self.context.operations)
                self._clerk.wake()
                self._health.heard()
                self._look()
            case wire.Operations():
                self.context.operations = event.operations
                self._updating.shown(event)
                self._operations_heard = True
                if self._begun:
                    self._hooks.ending(event.operations)
                self._clerk.show(event)
                self._health.heard()
                self._look()
            case wire.Told():
                self._hooks.tell(event)
                self._leaving.hear(event)
                self._autoscaling.hear(event)
                self._updating.hear(event)
                self._look()
            case wire.Action():
                self._spawn(self._act(event), f"action {event.name}")
            case wire.CancelAction():
                self._desk.cancel(event.id)

    def _updated_by(self, revision: int) -> bool:
        """Whether it is known how this revision came."""
        brought = (operation.revision for operation in self.context.operations if operation.revision is not None)
        return revision == self._options_revision or any(each.number == revision for each in brought)

    def _look(self) -> None:
        self._dirty.set()

    async def _scaling(self) -> None:
        await self._started.wait()
        await self._autoscaling.run(lambda: self._options_revision)

    async def _looking(self) -> None:
        await self._started.wait()
        await self._health.run()

    def _deployed(self) -> bool:
        """It is to run, all of its plan has been carried out once, and this is the code that is to look at it."""
        wanted, view = self._wanted, self._view
        if wanted is None or wanted.desired != "running" or (self._version and wanted.version != self._version):
            return False
        return all(step.state in _OVER for phase in view.phases for step in phase.steps) and bool(view.phases)

    async def _asking(self) -> None:
        await self._answers.wait()
        await self._clerk.run()

    async def _act(self, action: wire.Action) -> None:
        await self._answers.wait()
        if self._started.is_set() or action.name == PREVIEW:
            await self._desk.act(action)
            return
        why = self._trouble.fault.words if self._trouble else "it has not started"
        await self._desk.refuse(action, f"{self.context.name} cannot be asked: its code does not start: {why}")

    # -- reconciling ------------------------------------------------------------------------------------------------

    async def _reconciling(self) -> None:
        while True:
            deadlines = (self.plan.deadline_s, self._updating.deadline_s, self._unexplained_until or None)
            deadline_s = min((each for each in deadlines if each is not None), default=None)
            timeout_s = max(deadline_s - self._wall(), 0.01) if deadline_s is not None else None
            if self._trouble:
                timeout_s = min(timeout_s or TROUBLE_PAUSE_S, TROUBLE_PAUSE_S)
            try:
                async with asyncio.timeout(timeout_s):
                    await self._dirty.wait()
            except TimeoutError:
                pass
            self._dirty.clear()
            await self._reconcile()

    async def _reconcile(self) -> None:
        if self._wanted is None or self._members is None or not self._operations_heard:
            return
        if self._unexplained_until:
            if not self._updated_by(self._wanted.revision) and self._wall() < self._unexplained_until:
                return
            self._unexplained_until = 0.0
        if self._begun and self._wanted.installed_at != self._life:
            return  # It was taken back under its name: that life is its own assignment, which is on its way.
        if self._version and self._wanted.version != self._version:
            return  # Other code is to run it from now on: that too is an assignment of its own.
        revision = self._wanted.revision
        """Another one may be heard while this one is looked at: what is wrong with this one is not said of that."""
        try:
            await self._begin()
            await self._leaving.look(self.context.operations, self.context.members)
            self._hooks.ending(self.context.operations)
            self._carrying_out.look(self.context.operations)
            if self._wanted.desired == "running":
                self._check_version()
                await self._deploy(self._members)
            self._trouble = None
        except (Fenced, MasterAway, NotNow):
            raise
        except Exception as error:
            await self._in_trouble(error, revision)
        self._health.let(deployed := self._deployed())
        if deployed:
            self._relieving.look(self.context.members)
            self._clearing.look()
        try:
            await self._show()
        except (Fenced, NotNow):
            raise
        except UpcallError as error:
            self.context.log.warning("the plans of %s cannot be shown: %s", self.context.name, error)

    async def _in_trouble(self, error: Exception, revision: int) -> None:
        now_s = self._wall()
        trouble = self._trouble = troubles.met(error, type(self.service), self._trouble, now_s)
        if trouble.news:
            level = self.context.log.warning if isinstance(error, UpcallError) else self.context.log.exception
            level("%s cannot say what it wants: %s", self.context.name, trouble.fault.words)
        self.context.fault(trouble.fault)
        if trouble.fault.mistake:  # What may pass is waited for, and then it is asked.
            self._answers.set()
        if trouble.stays(now_s):
            await self._updating.fail(revision, f"its code cannot say what it wants: {trouble.fault.words}")

    def _check_version(self) -> None:
        """Code of another version answers for what runs, and declares nothing of it: that would be an upgrade that
        nobody asked for, by the next restart of each member."""
        if self._version and released(self._version) != self.service.version:
            package, known = self.service.package, choice(self.service.versions(), "VERSION")
            raise Conflict(
                f"{package} {released(self._version)} is not here any more: what runs stays as it was declared",
                where=self.context.name,
                expected=f"`upcall upgrade {self.context.name} --to`: {known}",
            )

    async def _begin(self) -> None:
        """Options first, then once what was written down, then the expert's own start."""
        assert self._wanted is not None
        if self._options_revision != self._wanted.revision:
            self.service.options = validated(self.service.Options, self._wanted.options, where=self.context.name)
            self.context.options, self.context.derived = self._wanted.options, self._wanted.derived
            self._options_revision = self._wanted.revision
            self._trouble = None  # What was said of the one before is not said of this one.
        if self._begun:
            return
        self._life = self.context.life = self._wanted.installed_at
        kept = await self._memory.get(PLAN_KEY, {})
        if kept.get("installed_at") != self._life:
            kept = {}  # Done for an earlier life of this name: its members are gone, and its steps run again.
        self.plan = plans.Plan("deploy", marks=kept.get("marks", {}), paused=frozenset(kept.get("paused", ())))
        await self._updating.load(self._life)
        await self._leaving.load()
        await self.context.roles.load()
        async with asyncio.timeout(self.service.hook_timeout_s):
            await self.service.on_start()
        self._begun = self.context.started = True
        self._started.set()
        self._answers.set()
        self._clerk.wake()

    async def _deploy(self, members: wire.Members) -> None:
        assert self._wanted is not None
        revision = self._options_revision
        await self._updating.begin(revision, self._life, self._wanted.options)
        brings = self._updating.brings(revision)
        started = {member.name for member in members.members if member.starts > 0}
        self.context.coming = brings - started - self._updating.starts
        before = self._updating.before()
        with self.context.one_look(wanted.checked(self.service)):
            self.plan = self.plan.with_phases(wanted.without(wanted.phases(self.service), brings))
            settling = self._hooks.settling(self.context.members)
            self.move(Observed(self.context.members, self._wall(), members.unplaced, settling))
            self._perform()
            view = self.plan.view()
            declared = wanted.declared(self.service, self._checked, before=before)
            declared = wanted.with_those_who_stay(declared, self._updating.stays(revision))
            declared = msgspec.structs.replace(declared, revision=revision)
            self._updating.look(members, settling)
            starts = wanted.starts(self.service, self._starts | self._updating.starts)
            endpoints = wanted.endpoints(self.service)
        await self._send("members", declared)
        await self._send("starts", starts)
        await self._send("endpoints", endpoints)
        if self._unkept is not None:
            kept = self._unkept
            plan = {"marks": dict(kept.marks), "paused": list(kept.paused), "installed_at": self._life}
            await self._memory.set(PLAN_KEY, plan)
            self._unkept = None
        while self._to_propose:  # Each until it was heard: this subscription may end before.
            proposal = self._to_propose[0]
            if proposal.key not in self._proposed:
                await self.service.propose("restart", proposal.member, reason=proposal.reason, key=proposal.key)
                self._proposed.add(proposal.key)
            del self._to_propose[0]
        await self._updating.perform(lambda run: self._run(run, self._updating))
        self._view = view  # shown once it is written down; the plan itself may have moved on meanwhile

    def _control(self, plan: str, verb: Verb, path: str) -> None:
        if plan == "update":
            self._updating.control(verb, path)
        else:
            self.move(Control(verb, path, self._wall()))

    def move(self, given: Input) -> None:
        """One input into the plan; what follows is performed by the next reconciling, in order."""
        self.plan, effects = self.plan.handle(given)
        self._effects += effects

    def tell(self, text: str, share: float | None) -> None:
        self.context.log.info("%s", percent(text, share))

    def _perform(self) -> None:
        effects, self._effects = self._effects, []
        for effect in effects:
            match effect:
                case StartMember():
                    self._starts.add(effect.member)
                case RunStep():
                    self._run(effect, self)
                case Keep():
                    self._unkept = effect
                case ProposeRestart():
                    self._to_propose.append(effect)

    def _run(self, run: RunStep, owner: "Moved") -> "asyncio.Task[object]":
        return self._spawn(self._run_step(run, owner), f"step {run.path}")

    async def _run_step(self, run: RunStep, owner: "Moved") -> None:
        error, later_s, gave_up = "", 0.0, False

        def tell(text: str, share: float | None) -> None:
            owner.move(StepSaid(run.path, run.attempt, self._wall(), percent(text, share)))
            owner.tell(text, share)
            self._look()

        try:
            step = owner.plan.step_at(run.path)
            assert isinstance(step, Do)
            async with while_it_moves(step.timeout_s, tell):
                with as_an_error():
                    await step.work()
        except TimeoutError:
            error = "did not end in its time"
        except Later as early:
            error, later_s = str(early), early.retry_after_s
        except GaveUp as final:
            error, gave_up = str(final), True
        except Exception as raised:
            error = faults.words(raised, type(self.service))
            self.context.log.info("step %s, attempt %d: %s", run.path, run.attempt, error)
        owner.move(StepEnded(run.path, run.attempt, self._wall(), error, later_s, gave_up))
        self._look()

    async def _show(self) -> None:
        deploy = self._view
        if self._trouble:
            said = self._trouble.fault.words
            deploy = msgspec.structs.replace(deploy, state="failed", reason=said, since=self._trouble.since_s)
        over = {path for path, mark in self.plan.marks.items() if mark == "done"}
        once_ready = frozenset(path.split("/", 1)[1] for path in over)
        shown = [deploy, derived.recovery(self.context.members, self.context.operations, once_ready)]
        if updating := self._updating.view():
            shown.insert(1, updating)
        if (scaling := self._autoscaling.view()) is not None:
            shown.append(scaling)
        shown += self._carrying_out.plans(self.context.operations)
        if leaving := derived.uninstall(self.context.members, self.context.operations):
            shown.append(leaving)
        await self._send("plans", wire.Plans(plans=tuple(shown)))

    async def _send(self, what: WholeSet, body: msgspec.Struct) -> None:
        """Sends a whole set, unless this subscription has sent exactly this one."""
        data = encoded(body)
        if self._sent.get(what) != data:
            await self.link.show(what, data)
            self._sent[what] = data

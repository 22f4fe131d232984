"""The real ledger and the simulated cluster behind the service API, for one service, in virtual time.

The world (:mod:`upcall.substrate.world`) knows no clock; a task here moves it along with the event loop's virtual one,
and shows the service what changed, as the master does.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import msgspec

from upcall.operations import effects as fx
from upcall.operations import inputs as given
from upcall.operations.records import Epoch, Policy
from upcall.operations.views import MemberView, PendingOperation
from upcall.protocol import service as wire
from upcall.protocol.declaration import Declaration
from upcall.protocol.errors import Conflict, Invalid, NotFound, Stale
from upcall.service.link import STREAM_HEADER
from upcall.substrate.interface import Observed, Placed, TaskId, Up
from upcall.substrate.simulated import SimulatedKind, Timing
from upcall.substrate.world import World

CHOICES = {"wait": "wait", "restart": "in_place", "replace": "elsewhere"}
WORDS = {"declared": "wanted", "held": "held", "unknown": "lost", "finished": "finished", "gone": "gone"}
LIVE = ("open", "preparing", "executing")


class Seen(World):
    """A world that remembers where things are and what was launched."""

    def __post_init__(self) -> None:
        self.places: dict[str, tuple[str, str]] = {}
        self.exits: dict[str, int | None] = {}
        self.launched: list[TaskId] = []
        super().__post_init__()

    def _hear(self, up: Up) -> None:
        match up:
            case Placed():
                self.places[up.member_id] = (up.node, up.address)
            case Observed():
                self.places[up.task.member_id] = (up.node, up.address)
                self.exits[up.task.member_id] = up.exit.code if up.exit else None
        super()._hear(up)

    def _perform(self, effect: fx.Effect) -> None:
        if isinstance(effect, fx.Launch):
            self.launched.append(TaskId(effect.service, effect.member, effect.incarnation))
        super()._perform(effect)


@dataclass
class WorldMaster:
    """A :class:`upcall.service.link.Transport` to a world."""

    service: str
    kind: SimulatedKind
    options: Mapping[str, Any] = field(default_factory=dict)
    node_count: int = 3
    timing: Timing = field(default_factory=Timing)
    desired: str = "running"

    def __post_init__(self) -> None:
        self.world = Seen(kind=self.kind, node_count=self.node_count, timing=self.timing)
        self.world.watchers.append(self._watch)
        self.world.send(given.DeclareService(name=self.service))
        self.memory: dict[str, tuple[Any, int]] = {}
        self.plans: dict[str, wire.PlanView] = {}
        self.declared: wire.Declare | None = None
        self.generations: dict[str, list[Declaration]] = {}
        self.answers: list[wire.Answer] = []
        self.unplaced = ""
        self._stream = 0
        self._version = 0
        self._shown: dict[str, Any] = {}
        self._queue: asyncio.Queue[wire.StreamEvent | None] = asyncio.Queue()
        self._kick = asyncio.Event()
        self._changed = asyncio.Event()

    # -- what a test does -------------------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], object], *, within_s: float = 3600.0) -> None:
        async with asyncio.timeout(within_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def propose(self, kind: str, member: str = "", **more: Any) -> str:
        outcome = self.send(
            given.Propose(
                kind=kind,  # type: ignore[arg-type]
                asked_by="a person",
                reason="a test wants it",
                service="" if kind == "maintenance" else self.service,
                members=(member,) if member else (),
                **more,
            )
        )
        return outcome.operation

    def drain(self, node: str, **more: Any) -> str:
        return self.propose("maintenance", node=node, window_s=600.0, **more)

    def send(self, item: given.Input) -> fx.Outcome:
        outcome = self.world.send(item)
        self._kick.set()
        return outcome

    def crash(self, member: str) -> None:
        self._observe(self.world.substrate.crash(f"{self.service}.{member}", self.world.now_s))

    def silence(self, node: str) -> None:
        self._observe(self.world.substrate.silence(node, self.world.now_s, dies=True))

    def state(self, member: str) -> str:
        return next((m.state for m in self._members().members if m.name == member), "")

    def operation(self, operation: str) -> str:
        found = self.world.ledger.operation(operation)
        return found.state if found else "forgotten"

    def node_of(self, member: str) -> str:
        return self.world.places.get(f"{self.service}.{member}", ("", ""))[0]

    @property
    def launches(self) -> list[str]:
        return [f"{task.member}.{task.incarnation}" for task in self.world.launched]

    def _observe(self, output: Any) -> None:
        self.world.observe(output)
        self._kick.set()

    # -- time -------------------------------------------------------------------------------------------------------

    async def live(self) -> None:
        """Moves the world along with the loop's clock, and shows what changed. For as long as the test runs."""
        clock = asyncio.get_running_loop().time
        while True:
            self.world.advance(clock() - self.world.now_s)
            self._tell()
            dues = [due for due in (self.world.ledger.deadline(), self.world.substrate.deadline()) if due is not None]
            timeout_s = max(min(dues) - clock(), 0.01) if dues else None
            try:
                async with asyncio.timeout(timeout_s):
                    await self._kick.wait()
            except TimeoutError:
                pass
            self._kick.clear()

    # -- the transport ----------------------------------------------------------------------------------------------

    async def events(self, path: str) -> AsyncIterator[wire.StreamEvent]:
        self._queue.put_nowait(None)
        self._stream += 1
        queue = self._queue = asyncio.Queue()
        yield wire.Subscribed(stream=str(self._stream), wire=1)
        self._shown = {}
        queue.put_nowait(
            wire.Wanted(
                name=self.service,
                package=self.service,
                version="1",
                revision=1,
                options=dict(self.options),
                desired=self.desired,  # type: ignore[arg-type]
            )
        )
        self.send(given.HostSubscribed(service=self.service))
        self._show_set()
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self.send(given.HostUnsubscribed(service=self.service))

    async def call(
        self, method: str, path: str, body: bytes = b"", *, stream: str = "", timeout_s: float = 30.0
    ) -> bytes:
        if stream != str(self._stream):
            raise Stale("this is not the current stream", where=STREAM_HEADER)
        await asyncio.sleep(0)
        what = unquote(path.split("?")[0]).removeprefix(f"/v1/service/{self.service}/")
        reply = self._routed(method, what, body)
        self._kick.set()
        return msgspec.json.encode(reply)

    def _routed(self, method: str, what: str, body: bytes) -> msgspec.Struct:
        head, _, rest = what.partition("/")
        match head:
            case "members":
                self._declare(msgspec.json.decode(body, type=wire.Declare))
            case "endpoints":
                pass
            case "plans":
                self.plans = {plan.name: plan for plan in msgspec.json.decode(body, type=wire.Plans).plans}
            case "answers":
                self._answered(msgspec.json.decode(body, type=wire.Answers))
            case "confirm":
                self._checked(self.world.send(given.Confirm(service=self.service, operation=rest)))
            case "state":
                return self._remember(method, rest, body)
            case _:
                raise NotFound(f"no call {method} {what}")
        return wire.Accepted()

    def _declare(self, declare: wire.Declare) -> None:
        self.declared = declare
        policy = declare.policy
        ledger_policy = msgspec.convert(
            {f: getattr(policy, f) for f in Policy.__struct_fields__ if hasattr(policy, f)}, Policy
        )
        self.world.send(
            given.DeclareService(
                name=self.service, minimum=policy.minimum, stateful=policy.holds_data, policy=ledger_policy
            )
        )
        for name, wanted in declare.members.items():
            known = self.generations.setdefault(name, [])
            if not known or known[-1] != wanted.declaration:
                known.append(wanted.declaration)
            self.world.declarations[f"{self.service}.{name}"] = wanted.declaration
        before = len(self.world.unplaced)
        members = tuple(
            given.MemberDeclaration(
                name=name, generation=len(self.generations[name]), restart=wanted.declaration.restart
            )
            for name, wanted in declare.members.items()
        )
        self.world.send(given.DeclareMembers(service=self.service, members=members))
        self.unplaced = self.world.unplaced[-1].reason if len(self.world.unplaced) > before else ""
        if starting := tuple(name for name, wanted in declare.members.items() if wanted.start):
            self.world.send(given.StartMembers(service=self.service, members=starting))

    def _answered(self, answers: wire.Answers) -> None:
        start, _, number = answers.epoch.partition(".")
        self.answers += answers.answers
        outcome = self.world.send(
            given.Answers(
                service=self.service,
                epoch=Epoch(int(start), int(number)),
                answers={answer.operation: _ledger_answer(answer) for answer in answers.answers},
            )
        )
        if outcome.refused is not None:
            self._show_set()
        self._checked(outcome)

    def _checked(self, outcome: fx.Outcome) -> None:
        if outcome.refused is not None:
            kind = Stale if outcome.refused.code == "stale" else Invalid
            raise kind(outcome.refused.text, where="epoch")

    def _remember(self, method: str, key: str, body: bytes) -> msgspec.Struct:
        value, version = self.memory.get(key, (None, 0))
        if method == "GET":
            if not version:
                raise NotFound(f"no key {key!r}")
            return wire.StateEntry(value=value, version=version)
        write = msgspec.json.decode(body, type=wire.StateWrite)
        if write.version != version:
            raise Conflict(f"key {key!r} has version {version}")
        self.memory[key] = (write.value, version + 1)
        return wire.StateEntry(value=write.value, version=version + 1)

    # -- telling ----------------------------------------------------------------------------------------------------

    def _watch(self, _world: World, effect: fx.Effect) -> None:
        match effect:
            case fx.Show():
                self._show_set()
            case fx.Told(service=self.service):
                found = self.world.ledger.operation(effect.operation)
                if found is not None:
                    pending = PendingOperation(operation=found, asked=False, asked_times=0)
                    self._queue.put_nowait(wire.Told(what=effect.what, operation=_wire_operation(pending)))

    def _show_set(self) -> None:
        self._shown.pop("operations", None)
        self._kick.set()

    def _tell(self) -> None:
        pending = self.world.ledger.pending(self.service)
        operations = tuple(_wire_operation(each) for each in pending.operations)
        epoch = str(pending.epoch)
        self._say("operations", wire.Operations(epoch=epoch, version=pending.version, operations=operations))
        self._say("members", self._members())
        self._changed.set()

    def _say(self, what: str, event: Any) -> None:
        plain = msgspec.structs.replace(event, version=0)
        if self._shown.get(what) != plain:
            self._shown[what] = plain
            self._version += 1
            self._queue.put_nowait(
                event if what == "operations" else msgspec.structs.replace(event, version=self._version)
            )

    def _members(self) -> wire.Members:
        views = self.world.ledger.members(self.service)
        return wire.Members(version=0, members=tuple(self._member(view) for view in views), unplaced=self.unplaced)

    def _member(self, view: MemberView) -> wire.Member:
        member_id = f"{view.service}.{view.name}"
        node, address = self.world.places.get(member_id, (view.node, ""))
        state = WORDS.get(view.status) or view.observed or {"launching": "pending"}.get(view.status, view.status)
        return wire.Member(
            name=view.name,
            incarnation=view.incarnation,
            place=view.place,
            state=state,
            generation=view.generation,
            declared_generation=len(self.generations.get(view.name, ())),
            node=node,
            address=address,
            reason=view.reason,
            exit_code=self.world.exits.get(member_id),
            starts=view.incarnation,
        )


def _ledger_answer(answer: wire.Answer) -> given.Answer:
    common = {"reason": answer.reason, "retry_after_s": answer.retry_after_s, "progress": answer.progress}
    if choice := CHOICES.get(answer.verdict):
        return given.Answer(verdict="prefer", choice=choice, **common)  # type: ignore[arg-type]
    return given.Answer(verdict=answer.verdict, valid_s=answer.valid_s, counts_on=answer.counts_on, **common)  # type: ignore[arg-type]


def _wire_operation(pending: PendingOperation) -> wire.Operation:
    op = pending.operation
    member = op.target.members[0] if len(op.target.members) == 1 and op.kind != "uninstall" else ""
    return wire.Operation(
        id=op.id,
        kind=op.kind,
        klass=op.class_,
        state=op.state,
        reason=op.reason,
        asked_by=op.asked_by,
        member=member,
        incarnation=op.target.incarnation_of(member) if member else 0,
        parent=op.parent,
        origin=op.origin,
        firmness=op.firmness,
        on_deadline=op.on_deadline or "",
        comes_back=op.kind not in ("uninstall", "scale_in"),
        answer=pending.answer.verdict if pending.answer and not pending.asked else "",
    )

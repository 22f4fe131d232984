"""A whole small world in virtual time: the ledger, a simulated cluster, a clock, and scripted services.

It drives the ledger as the master does (commit the record changes, then perform the effects, then feed back what the
substrate observed), and it can die: after any record write, or before any effect, everything in memory is thrown
away and the ledger is built again from its records. Tests of the operations and of the SDK share it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from upcall.operations import effects as fx
from upcall.operations import inputs as given
from upcall.operations.ledger import Ledger
from upcall.operations.news import News
from upcall.operations.recording import Began, Line, Took
from upcall.operations.records import Delete, Policy, Put, Record, RecordChange, Restart, decode, encode, kind_of
from upcall.operations.views import PendingSet
from upcall.protocol.declaration import Constraints, Declaration, Resources
from upcall.substrate.interface import (
    Disruption,
    DisruptionOver,
    Disruptions,
    NodeObserved,
    Observed,
    Output,
    Placed,
    Promised,
    TaskId,
    Unplaced,
    Unpromised,
    Up,
    Wanted,
)
from upcall.testing.simulated import SimulatedKind, SimulatedSubstrate, Timing, small_nodes

STEPS_MAX: Final = 100_000
WALL_S: Final = 1_700_000_000.0
"""Wall time at the beginning of every world."""

Script = Callable[[PendingSet], dict[str, given.Answer]]
"""What a service answers when it is shown its set; empty: nothing."""


class MasterDied(Exception):
    """Raised inside a world at the planned moment, and caught by it."""


@dataclass
class World:
    kind: SimulatedKind
    """Without a default: what is tried on one kind only has not been tried."""
    node_count: int = 3
    seed: int = 0
    loss: float = 0.0
    repeat: float = 0.0
    timing: Timing = field(default_factory=Timing)
    now_s: float = 0.0
    die_after: int | None = None
    """The master dies after so many more durable writes and effects (each counts one)."""
    master_up: bool = True

    def __post_init__(self) -> None:
        self.substrate = SimulatedSubstrate(
            self.kind,
            small_nodes(self.node_count),
            seed=self.seed,
            loss=self.loss,
            repeat=self.repeat,
            timing=self.timing,
        )
        self.stored: dict[tuple[str, str], bytes] = {}
        self.start = 0
        self.wall_offset_s = WALL_S
        self.scripts: dict[str, Script] = {}
        self.declarations: dict[str, Declaration] = {}
        self.recording: list[Line] = []
        """Everything the ledgers were given: replays this world."""
        self.written = 0
        self.log: list[fx.Effect] = []
        self.news: list[News] = []
        self.alerts: list[fx.Alert] = []
        self.unplaced: list[Unplaced] = []
        self.deaths = 0
        self.watchers: list[Callable[[World, fx.Effect], None]] = []
        self._answering: dict[str, bool] = {}
        self._queue: deque[fx.Effect | Up] = deque()
        self.boot()

    # -- the master's life ------------------------------------------------------------------------------------------

    @property
    def wall_s(self) -> float:
        return self.now_s + self.wall_offset_s

    def records(self) -> list[Record]:
        return [decode(data) for _, data in sorted(self.stored.items())]

    def boot(self) -> None:
        """A new start of the master on the same records and the same cluster."""
        self.start += 1
        self.recording.append(Began(start=self.start, written=self.written))
        self.ledger = Ledger(self.records(), start=self.start)
        self.master_up = True
        capabilities = self.substrate.capabilities
        self._guarded(lambda: self._first_turn(capabilities.firmness, bound=capabilities.volumes_bound_to_node))

    def _first_turn(self, firmness: object, *, bound: bool) -> None:
        assert isinstance(firmness, dict)
        self._take(given.Started(firmness=firmness, volumes_bound_to_node=bound, places=dict(self.substrate.places())))
        wanted = [
            self._wanted(TaskId(w.service, w.member, w.incarnation), w.generation, w.place)
            for w in self.ledger.wanted()
        ]
        self._settle()
        self._observe(self.substrate.wanted(wanted, self.now_s))
        for service in list(self.scripts):
            self._take(given.HostSubscribed(service=service))
        self._settle()

    def die(self) -> None:
        """SIGKILL of the master: memory is lost; the cluster goes on."""
        self.deaths += 1
        self.master_up = False
        self._queue.clear()
        self._answering.clear()

    def _guarded(self, turn: Callable[[], None]) -> None:
        try:
            turn()
        except MasterDied:
            self.die()
            self.boot()

    # -- inputs -----------------------------------------------------------------------------------------------------

    def send(self, item: given.Input) -> fx.Outcome:
        """One input and all that follows from it at this moment."""
        outcome = fx.Outcome()

        def turn() -> None:
            nonlocal outcome
            outcome = self._take(item)
            self._settle()

        self._guarded(turn)
        return outcome

    def observe(self, output: Output) -> None:
        """Feeds what a call of the substrate gave."""

        def turn() -> None:
            self._observe(output)
            self._settle()

        self._guarded(turn)

    def _take(self, item: given.Input) -> fx.Outcome:
        self.recording.append(Took(input=item, now_s=self.now_s, wall_s=self.wall_s))
        outcome = self.ledger.handle(item, self.now_s, self.wall_s)
        for change in outcome.changes:
            self._write(change)
        self._queue.extend(outcome.effects)
        return outcome

    def _settle(self) -> None:
        """Effects and observations in order, until nothing follows any more."""
        for _ in range(STEPS_MAX):
            if not self._queue:
                return
            item = self._queue.popleft()
            if isinstance(item, Up):
                self._hear(item)
            else:
                self._perform(item)
        raise AssertionError("effects feed themselves")

    def _write(self, change: RecordChange) -> None:
        """Each record is written alone, and the master may die after any of them."""
        match change:
            case Put(record=record):
                key = (kind_of(record), record.key)
                before = self.stored.get(key)
                expected = (decode(before).version if before else 0) + 1
                assert record.version == expected, f"{key} is written as version {record.version}, not {expected}"
                self.stored[key] = encode(record)
            case Delete(kind=kind, key=name):
                self.stored.pop((kind, name), None)
        self.written += 1
        self._count_down()

    def _count_down(self) -> None:
        if self.die_after is not None:
            self.die_after -= 1
            if self.die_after < 0:
                self.die_after = None
                raise MasterDied

    # -- effects ----------------------------------------------------------------------------------------------------

    def _perform(self, effect: fx.Effect) -> None:
        if not isinstance(effect, News):
            self._count_down()
        self.log.append(effect)
        for watch in self.watchers:
            watch(self, effect)
        substrate, now_s = self.substrate, self.now_s
        match effect:
            case fx.Reserve(service=service, places=places):
                wanted = {name: self.declaration(service, name) for name in places}
                self._observe(substrate.reserve(service, wanted, now_s, places=places))
            case fx.HoldPlace(service=service, member=name):
                wanted_there = self.declaration(service, name)
                self._observe(
                    substrate.hold_place(
                        f"{service}.{name}", wanted_there, effect.place, now_s, here=effect.here, takes=effect.takes
                    )
                )
            case fx.CallOffPlace(service=service, member=name):
                self._observe(substrate.call_off_place(f"{service}.{name}", now_s))
            case fx.Launch():
                task = TaskId(effect.service, effect.member, effect.incarnation)
                self._observe(substrate.launch(self._wanted(task, effect.generation, effect.place), now_s))
            case fx.EndTask():
                task = TaskId(effect.service, effect.member, effect.incarnation)
                self._observe(substrate.end(task, effect.grace_s, now_s))
            case fx.Release(service=service, member=member):
                self._observe(substrate.release(f"{service}.{member}", now_s, keep_volumes_s=effect.keep_volumes_s))
            case fx.Cordon():
                self._observe(substrate.cordon(effect.node, now_s, closed=effect.closed))
            case fx.HoldDisruption():
                self._observe(substrate.hold_disruption(effect.id, now_s, hold=effect.hold))
            case fx.Show(service=service):
                self._answering[service] = True
            case News():
                self.news.append(effect)
            case fx.Alert():
                self.alerts.append(effect)
            case fx.ProveDeath(node=node):
                self._observe(substrate.prove_death(node, now_s))
            case fx.Told():
                pass

    def _wanted(self, task: TaskId, generation: int, place: int) -> Wanted:
        declaration = self.declaration(task.service, task.member)
        return Wanted(task=task, declaration=declaration, generation=generation, place=place)

    def declaration(self, service: str, member: str) -> Declaration:
        known = self.declarations.get(f"{service}.{member}")
        return known or Declaration(
            command=("run", service), resources=Resources(memory_mib=512), constraints=Constraints(apart=service)
        )

    # -- what the substrate observed --------------------------------------------------------------------------------

    def _observe(self, output: Output) -> None:
        self._queue.extend(output.up)

    def _hear(self, up: Up) -> None:
        item = as_input(up)
        if item is not None:
            self._take(item)
        elif isinstance(up, Unplaced):
            self.unplaced.append(up)

    # -- services ---------------------------------------------------------------------------------------------------

    def host(self, service: str, script: Script) -> None:
        """A service whose host is up and answers by a script whenever it is shown its set."""
        self.scripts[service] = script
        self.send(given.HostSubscribed(service=service))
        self.answer()

    def answer(self) -> None:
        """Lets every service that was shown its set answer it, until nobody has anything to say."""
        for _ in range(STEPS_MAX):
            waiting = sorted(s for s, shown in self._answering.items() if shown and s in self.scripts)
            if not waiting:
                return
            service = waiting[0]
            self._answering[service] = False
            pending = self.ledger.pending(service)
            answers = self.scripts[service](pending)
            if answers:
                self.send(given.Answers(service=service, epoch=pending.epoch, answers=answers))
        raise AssertionError("services and ledger keep talking for ever")

    # -- time -------------------------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Lets virtual time pass, from deadline to deadline."""
        until_s = self.now_s + seconds
        self.answer()
        for _ in range(STEPS_MAX):
            due = [d for d in (self.ledger.deadline(), self.substrate.deadline()) if d is not None]
            next_s = min(due, default=until_s)
            if next_s > until_s:
                break
            self.now_s = max(self.now_s, next_s)
            self.observe(self.substrate.tick(self.now_s))
            ledger_s = self.ledger.deadline()
            if ledger_s is not None and ledger_s <= self.now_s:
                self.send(given.Tick())
            self.answer()
            if not due:
                break
        else:
            raise AssertionError("virtual time does not pass: a deadline is set again and again")
        self.now_s = until_s

    def sleep(self, seconds: float) -> None:
        """The machine is suspended: time passes for every clock, nothing else does."""
        self.now_s += seconds
        self.send(given.ClockJumped(slept_s=seconds))

    # -- the usual beginning ----------------------------------------------------------------------------------------

    def install(
        self,
        service: str,
        members: Sequence[str],
        *,
        minimum: int = 0,
        stateful: bool = True,
        needs: tuple[str, ...] = (),
        policy: Policy | None = None,
        restart: Restart = "always",
        restarts_max: int = 0,
        hooks: bool = False,
    ) -> None:
        """Declares a service with its members and starts them; time must pass until they are ready."""
        self.send(
            given.DeclareService(
                name=service, minimum=minimum, stateful=stateful, needs=needs, policy=policy or Policy()
            )
        )
        declared = tuple(
            given.MemberDeclaration(name=name, restart=restart, restarts_max=restarts_max, hooks=hooks)
            for name in members
        )
        self.send(given.DeclareMembers(service=service, members=declared))
        self.send(given.StartMembers(service=service, members=tuple(members)))

    def ready(self, service: str) -> list[str]:
        """Members that really are ready, whatever the ledger knows."""
        return [m.name for m in self.ledger.members(service) if m.status == "ready"]


def place_input(up: Placed | Promised | Unpromised) -> given.Input:
    service, _, member = up.member_id.partition(".")
    if isinstance(up, Placed):
        return given.PlaceObserved(service=service, member=member, node=up.node)
    if isinstance(up, Promised):
        return given.PlaceHeld(service=service, member=member, place=up.place, node=up.node)
    return given.PlaceRefused(service=service, member=member, place=up.place, reason=up.reason)


def as_input(up: Up) -> given.Input | None:
    """What the substrate observed, in the ledger's words; ``None`` for what only the driver needs."""
    match up:
        case Observed(task=task):
            return given.TaskObserved(
                service=task.service,
                member=task.member,
                incarnation=task.incarnation,
                state=up.state,
                node=up.node,
                reason=(up.exit.reason if up.exit else "") or up.reason,
                exit_code=up.exit.number if up.exit else None,
                generation=up.generation,
                progress=up.progress,
            )
        case NodeObserved():
            return given.NodeObserved(node=up.node, state=up.state, reason=up.reason)
        case Placed() | Promised() | Unpromised():
            return place_input(up)
        case Disruption(task=task):
            return given.DisruptionBegan(
                id=up.id,
                service=task.service,
                member=task.member,
                incarnation=task.incarnation,
                verb=up.verb,
                firmness=up.firmness,
                reason=up.reason,
                who=up.who,
                deadline_s=up.deadline_s,
            )
        case DisruptionOver():
            return given.DisruptionEnded(id=up.id, happened=up.happened)
        case Disruptions():
            return given.DisruptionsListed(ids=up.ids)
        case _:
            return None

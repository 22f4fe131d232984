"""A whole small world in virtual time: the master's cores on a simulated cluster, a clock, and scripted services.

It is the other driver of the cores, beside :class:`upcall.master.driver.Driver`: turns, effects and observations are
the master's own code (:mod:`upcall.master.turning`, :mod:`upcall.master.transaction`), only the edges are played. Time
passes when it is told to, the machines are simulated, the store is in memory.

Each record is written alone and at once, and the world can die: after any record write, or before any effect,
everything in memory is thrown away and built again from the records. Tests of the operations and of the SDK share it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from upcall.master import state as states
from upcall.master.commit import Turn
from upcall.master.core import Core, Listener
from upcall.master.events import Journal
from upcall.master.transaction import Transaction
from upcall.master.turning import Turning
from upcall.operations import effects as fx
from upcall.operations import inputs as given
from upcall.operations.ledger import Ledger
from upcall.operations.news import News
from upcall.operations.recording import Began, Line, Took
from upcall.operations.records import Policy, Restart, decode
from upcall.operations.views import PendingSet
from upcall.protocol.declaration import Constraints, Declaration, Resources
from upcall.protocol.errors import NotNow, UpcallError
from upcall.store.interface import Change, Delete, Put
from upcall.substrate.interface import Output, Send, Unplaced, Up
from upcall.testing.simulated import SimulatedKind, SimulatedSubstrate, Timing, small_nodes
from upcall.testing.store import MemoryStore

T = TypeVar("T")

STEPS_MAX: Final = 100_000
WALL_S: Final = 1_700_000_000.0
"""Wall time at the beginning of every world."""

Script = Callable[[PendingSet], dict[str, given.Answer]]
"""What a service answers when it is shown its set; empty: nothing."""


class MasterDied(Exception):
    """Raised inside a world at the planned moment, and caught by it."""


class Reborn(NotNow):
    """The master died in the middle of this turn, and has started again."""


class Nobody:
    """Implements :class:`upcall.master.core.Listener` where nobody listens."""

    def show(self, core: Core, service: str) -> None: ...
    def members(self, core: Core, service: str) -> None: ...
    def wanted(self, core: Core, service: str) -> None: ...
    def told(self, core: Core, told: fx.Told) -> None: ...
    def send(self, send: Send) -> None: ...


class World(Turning):
    """Without a default for the kind: what is tried on one kind only has not been tried."""

    substrate: SimulatedSubstrate
    store: MemoryStore

    def __init__(
        self,
        kind: SimulatedKind,
        *,
        node_count: int = 3,
        seed: int = 0,
        loss: float = 0.0,
        repeat: float = 0.0,
        timing: Timing | None = None,
        listener: Listener | None = None,
    ) -> None:
        self.kind = kind
        self.now_s = 0.0
        self.wall_offset_s = WALL_S
        self.die_after: int | None = None
        """The master dies after so many more durable writes and effects (each counts one)."""
        self.deaths = 0
        self.written = 0
        """Record writes of the ledger's."""
        self.recording: list[Line] = []
        """Everything the ledgers were given: replays this world."""
        self.log: list[fx.Effect] = []
        self.news: list[News] = []
        self.alerts: list[fx.Alert] = []
        self.unplaced: list[Unplaced] = []
        self.scripts: dict[str, Script] = {}
        self.declarations: dict[str, Declaration] = {}
        """Of members that no service declared on the wire."""
        self.watchers: list[Callable[[World, fx.Effect], None]] = []
        self.after: list[Callable[[], None]] = []
        """Called when a turn is over."""
        self._answering: dict[str, bool] = {}
        nodes = small_nodes(node_count)
        cluster = SimulatedSubstrate(kind, nodes, seed=seed, loss=loss, repeat=repeat, timing=timing or Timing())
        super().__init__(
            MemoryStore(),
            Journal("a world"),
            lambda _: cluster,
            listener or Nobody(),
            monotonic=lambda: self.now_s,
            wall=lambda: self.wall_s,
        )
        self._begin()

    # -- the master's life ------------------------------------------------------------------------------------------

    @property
    def wall_s(self) -> float:
        return self.now_s + self.wall_offset_s

    @property
    def ledger(self) -> Ledger:
        return self.state.ledger

    @property
    def start(self) -> int:
        """How often the master has started."""
        return self.state.start

    @property
    def stored(self) -> Mapping[tuple[str, str], bytes]:
        """The ledger's records, by kind and key."""
        kinds = ((kind, states.LEDGER_PREFIX + kind) for kind in states.LEDGER_KINDS)
        return {(kind, record.key): record.value for kind, full in kinds for record in self.store.load(full)}

    def boot(self) -> None:
        """A new start of the master on the same records and the same cluster."""
        self.load_again(self.store.begin())
        self._begin()

    def _begin(self) -> None:
        self.recording.append(Began(start=self.start, written=self.written))

        def first(tx: Transaction) -> None:
            self.repeat_what_stands(tx)
            for service in self.scripts:
                tx.ledger(given.HostSubscribed(service=service))

        self._survive(first)

    def die(self) -> None:
        """SIGKILL of the master: memory is lost; the cluster goes on."""
        self.deaths += 1
        self.journal.forget_unreleased()
        self._answering.clear()

    # -- turns ------------------------------------------------------------------------------------------------------

    def run(self, work: Callable[[Transaction], T]) -> T:
        """One turn, and all that follows from it at this moment."""
        tx = _WorldTurn(self)
        try:
            try:
                result = work(tx)
            except UpcallError:
                self._finish(tx)
                raise
            self._finish(tx)
        except MasterDied:
            self.die()
            self.boot()
            raise Reborn("the master died") from None
        return result

    def _finish(self, tx: Transaction) -> None:
        self.follow(tx)
        turn = tx.finish()
        self.journal.release(turn.events)
        for act in (*turn.after, *self.after):
            act()

    def _survive(self, work: Callable[[Transaction], T]) -> T | None:
        try:
            return self.run(work)
        except Reborn:
            return None

    def turn(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        result = self.run(work)

        async def wait() -> T:
            return result

        return wait()

    def post(self, work: Callable[[Transaction], object]) -> None:
        self._survive(work)

    async def durable(self) -> None:
        """Everything is at once."""

    def send(self, item: given.Input) -> fx.Outcome:
        """One input, and all that follows from it; what is refused is in what it gives."""

        def take(tx: Transaction) -> fx.Outcome:
            outcome = tx.hand_to_ledger(item)
            tx.settle()
            return outcome

        return self._survive(take) or fx.Outcome()

    def observe(self, output: Output) -> None:
        """Takes in what a call of the substrate gave."""
        self._survive(lambda tx: tx.substrate(output))

    def write(self, change: Put | Delete) -> None:
        """Each record is written alone, and the master may die after any of them."""
        of_ledger = change.kind.startswith(states.LEDGER_PREFIX)
        if of_ledger and isinstance(change, Put):
            before = self.store.get(change.kind, change.key)
            expected = (decode(before.value).version if before else 0) + 1
            version = decode(change.value).version
            assert version == expected, f"{change.key} is written as version {version}, not {expected}"
        changes: list[Change] = self.state.versions.expecting([change])
        self.state.versions.written(changes, self.store.commit(changes))
        self.written += of_ledger
        self.count_down()

    def count_down(self) -> None:
        if self.die_after is not None:
            self.die_after -= 1
            if self.die_after < 0:
                self.die_after = None
                raise MasterDied

    def saw(self, effect: fx.Effect) -> None:
        """An effect is about to be performed."""
        self.log.append(effect)
        match effect:
            case fx.Show(service=service):
                self._answering[service] = True
            case News():
                self.news.append(effect)
            case fx.Alert():
                self.alerts.append(effect)
            case _:
                pass
        for watch in self.watchers:
            watch(self, effect)

    def declaration(self, service: str, member: str, place: int, generation: int = 0) -> Declaration | None:
        """What nobody declared is some program."""
        declared = super().declaration(service, member, place, generation)
        return declared or self.declarations.get(f"{service}.{member}") or _some_program(service)

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
            due_s = self.deadline()
            if due_s is None or due_s > until_s:
                break
            self.now_s = max(self.now_s, due_s)
            self._survive(self.tick)
            self.answer()
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


class _Written(Turn):
    """A turn whose changes are durable one by one, while it runs."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def put(self, kind: str, key: str, value: Any) -> None:
        self._world.write(Put(kind, key, value if isinstance(value, bytes) else msgspec.json.encode(value)))

    def delete(self, kind: str, key: str) -> None:
        self._world.write(Delete(kind, key))


class _WorldTurn(Transaction):
    """A turn of the master, watched."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._world = world
        self.turn = _Written(world)

    def hand_to_ledger(self, item: given.Input) -> fx.Outcome:
        self._world.recording.append(Took(input=item, now_s=self.now_s, wall_s=self.wall_s))
        return super().hand_to_ledger(item)

    def perform(self, effect: fx.Effect) -> None:
        if not isinstance(effect, News):
            self._world.count_down()
        self._world.saw(effect)
        super().perform(effect)

    def observe(self, up: Up) -> None:
        if isinstance(up, Unplaced):
            self._world.unplaced.append(up)
        super().observe(up)


def _some_program(service: str) -> Declaration:
    return Declaration(
        command=("run", service), resources=Resources(memory_mib=512), constraints=Constraints(apart=service)
    )

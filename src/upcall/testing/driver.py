"""The other driver of the cores, beside :class:`upcall.master.driver.Driver`: in virtual time, in memory, and mortal.

Turns, effects and observations are the master's own code (:mod:`upcall.master.turning`,
:mod:`upcall.master.transaction`); only the edges are played. The clock stands until it is moved, the machines are
simulated, the store is in memory.

Each record is written alone and at once, and the master can die: after any record write, or before any effect,
everything in memory is thrown away and built again from the records.
"""

from collections.abc import Awaitable, Callable, Mapping
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
from upcall.operations.records import decode
from upcall.protocol.declaration import Constraints, Declaration, Resources
from upcall.protocol.errors import NotNow, UpcallError
from upcall.store.interface import Change, Delete, Put
from upcall.substrate.interface import Output, Send, Unplaced, Up
from upcall.testing.clusters import Cluster, Delivering, begun, cluster_of
from upcall.testing.kubernetes import PlayedKubernetes
from upcall.testing.simulated import SimulatedKind, Timing, small_nodes
from upcall.testing.store import MemoryStore

T = TypeVar("T")

ANSWERS_MAX: Final = 10_000
WALL_S: Final = 1_700_000_000.0
"""Wall time at the beginning of every world."""


class MasterDied(Exception):
    """Raised inside a world at the planned moment, and caught by it."""


class Reborn(NotNow):
    """The master died in the middle of this turn, and has started again."""


class Nobody:
    """Implements :class:`upcall.master.core.Listener` where nobody listens."""

    def show(self, core: Core, service: str) -> None: ...
    def members(self, core: Core, service: str) -> None: ...
    def wanted(self, core: Core, service: str) -> None: ...
    def news(self, core: Core, told: fx.Tell) -> None: ...
    def send(self, send: Send) -> None: ...


class VirtualDriver(Turning):
    """Without a default for the kind: what is tried on one kind only has not been tried."""

    substrate: Cluster
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
        self.points = 0
        """Durable writes and effects so far: it may die before each."""
        self.died: list[Callable[[], None]] = []
        """Called at a death, when nothing in memory counts any more."""
        self.deaths = 0
        self.written = 0
        """Record writes of the ledger's."""
        self.recording: list[Line] = []
        """Everything the ledgers were given: replays this world."""
        self.log: list[fx.Effect] = []
        self.news: list[News] = []
        self.alerts: list[fx.Alert] = []
        self.unplaced: list[Unplaced] = []
        self.declarations: dict[str, Declaration] = {}
        """Of members that no service declared on the wire."""
        self.after: list[Callable[[], None]] = []
        """Called when a turn is over."""
        self._hearing = False
        nodes = small_nodes(node_count)
        cluster = cluster_of(kind, nodes, seed=seed, loss=loss, repeat=repeat, timing=timing, wall=lambda: self.wall_s)
        super().__init__(
            MemoryStore(),
            Journal("a world"),
            lambda _: begun(cluster),
            Delivering(listener or Nobody(), self.deliver),
            monotonic=lambda: self.now_s,
            wall=lambda: self.wall_s,
        )
        self.prepare()
        self._begin()

    def prepare(self) -> None:
        """What else there has to be before the first turn."""

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

        self.survive(self.first)

    def first(self, tx: Transaction) -> None:
        """The first turn of a start."""
        self.repeat_what_stands(tx)

    def die(self) -> None:
        """SIGKILL of the master: memory is lost; the cluster goes on."""
        self.deaths += 1
        self.journal.forget_unreleased()
        for hear in self.died:
            hear()

    # -- turns ------------------------------------------------------------------------------------------------------

    def run(self, work: Callable[[Transaction], T]) -> T:
        """One turn, and all that follows from it at this moment."""
        try:
            return self._run(work)
        finally:
            self._hear()

    def _hear(self) -> None:
        """What machines answer at once to what they were told is heard at once."""
        cluster = self.substrate
        if self._hearing or not isinstance(cluster, PlayedKubernetes):
            return
        self._hearing = True
        try:
            for _ in range(ANSWERS_MAX):
                if not cluster.speaks(self.now_s):
                    return
                self.survive(lambda tx: tx.substrate(cluster.heard(tx.now_s)))
            raise AssertionError("the machines and the substrate keep talking for ever")
        finally:
            self._hearing = False

    def deliver(self, send: Send) -> None:
        """After the commit; the master may die before any of it."""
        if isinstance(self.substrate, PlayedKubernetes):
            self.count_down()
            self.substrate.perform(send)

    def _run(self, work: Callable[[Transaction], T]) -> T:
        tx = _WatchedTurn(self)
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

    def survive(self, work: Callable[[Transaction], T]) -> T | None:
        """As :meth:`run`; None when the master died in it."""
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
        self.survive(work)

    async def durable(self) -> None:
        """Everything is at once."""

    def send(self, item: given.Input) -> fx.Outcome:
        """One input, and all that follows from it; what is refused is in what it gives."""

        def take(tx: Transaction) -> fx.Outcome:
            outcome = tx.hand_to_ledger(item)
            tx.settle()
            return outcome

        return self.survive(take) or fx.Outcome()

    def observe(self, output: Output) -> None:
        """Takes in what a call of the substrate gave."""
        self.survive(lambda tx: tx.substrate(output))

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
        self.points += 1
        if self.die_after is not None:
            self.die_after -= 1
            if self.die_after < 0:
                self.die_after = None
                raise MasterDied

    def saw(self, effect: fx.Effect) -> None:
        """An effect is about to be performed."""
        self.log.append(effect)
        match effect:
            case News():
                self.news.append(effect)
            case fx.Alert():
                self.alerts.append(effect)
            case _:
                pass

    def declaration(self, service: str, member: str, place: int, generation: int = 0) -> Declaration | None:
        """What nobody declared is some program."""
        declared = super().declaration(service, member, place, generation)
        return declared or self.declarations.get(f"{service}.{member}") or _some_program(service)


class _Written(Turn):
    """A turn whose changes are durable one by one, while it runs."""

    def __init__(self, driver: VirtualDriver) -> None:
        super().__init__()
        self._driver = driver

    def put(self, kind: str, key: str, value: Any) -> None:
        self._driver.write(Put(kind, key, value if isinstance(value, bytes) else msgspec.json.encode(value)))

    def delete(self, kind: str, key: str) -> None:
        self._driver.write(Delete(kind, key))


class _WatchedTurn(Transaction):
    """A turn of the master, watched."""

    def __init__(self, driver: VirtualDriver) -> None:
        super().__init__(driver)
        self._driver = driver
        self.turn = _Written(driver)

    def hand_to_ledger(self, item: given.Input) -> fx.Outcome:
        self._driver.recording.append(Took(input=item, now_s=self.now_s, wall_s=self.wall_s))
        return super().hand_to_ledger(item)

    def perform(self, effect: fx.Effect) -> None:
        if not isinstance(effect, News):
            self._driver.count_down()
        self._driver.saw(effect)
        super().perform(effect)

    def observe(self, up: Up) -> None:
        if isinstance(up, Unplaced):
            self._driver.unplaced.append(up)
        super().observe(up)


def _some_program(service: str) -> Declaration:
    return Declaration(
        command=("run", service), resources=Resources(memory_mib=512), constraints=Constraints(apart=service)
    )

"""The ledger is driven alike wherever it is driven: on a disk in real time, in memory in virtual time; and the small
world of the explorer, which knows the ledger alone, says of its tasks what a substrate says of them."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from upcall.master import from_wire, notify, services, to_wire
from upcall.master.driver import Driver
from upcall.master.events import Journal
from upcall.master.notify import Notifier
from upcall.master.streams import Streams
from upcall.master.transaction import Transaction
from upcall.master.turning import Turning
from upcall.operations import inputs as given
from upcall.operations.checking import small_steps, small_world
from upcall.operations.checking.small_world import Budget, State
from upcall.operations.recording import Took
from upcall.operations.views import PendingSet
from upcall.protocol import service as wire
from upcall.protocol.declaration import Constraints, Declaration, Port, Resources, Volume
from upcall.protocol.operator import Install
from upcall.store.sqlite import SqliteStore
from upcall.testing import KINDS, SimulatedKind, Timing
from upcall.testing.clusters import Cluster, begun, cluster_of, delivered, speaks
from upcall.testing.driver import WALL_S
from upcall.testing.simulated import small_nodes
from upcall.testing.world import World

both_kinds = pytest.mark.parametrize("kind", KINDS)
TIMING = Timing(prove_s=5)
SERVES = Declaration(
    command=("serve",),
    ports=(Port(name="client", number=9092),),
    volumes=(Volume(name="data", size_mib=10),),
    resources=Resources(memory_mib=64),
    constraints=Constraints(apart="log"),
)
Do = Callable[[Turning, Cluster, Transaction], object]


# -- two drivers ----------------------------------------------------------------------------------------------------


def ledger(item: given.Input) -> Do:
    return lambda core, cluster, tx: tx.ledger(item)


def cluster(act: Callable[[Cluster, float], Any]) -> Do:
    return lambda core, cluster, tx: tx.substrate(act(cluster, tx.now_s))


def installed(core: Turning, _: Cluster, tx: Transaction) -> None:
    core.state.packages.put(wire.Package(name="log", version="1"))
    services.install(tx, Install(package="log"), "ann")


def declared(core: Turning, _: Cluster, tx: Transaction) -> None:
    members = {name: wire.MemberWanted(declaration=SERVES, start=True) for name in ("b0", "b1", "b2")}
    services.declare(tx, "log", wire.Declare(members=members, policy=wire.Policy(minimum=2, holds_data=True)))


def accepted(core: Turning, _: Cluster, tx: Transaction) -> None:
    pending = core.state.ledger.pending("log", core.monotonic(), core.wall())
    answers = tuple(wire.Answer(operation=one.operation.id, verdict="accept") for one in pending.operations)
    tx.ledger(from_wire.answers("log", wire.Answers(epoch=str(pending.epoch), answers=answers)))


def asked_for(kind: Any, **more: Any) -> Do:
    return ledger(given.Propose(kind=kind, asked_by="ann", reason="a test", **more))


COURSE: list[tuple[Do, float]] = [
    (installed, 0.0),
    (declared, 10.0),
    (ledger(given.HostSubscribed(service="log")), 1.0),
    (cluster(lambda them, now_s: them.crash("log.b0", now_s, code=3, reason="out of memory")), 0.3),
    (ledger(given.Tick()), 20.0),
    (asked_for("maintenance", node="n1", window_s=60.0), 1.0),
    (accepted, 0.1),
    (ledger(given.Tick()), 10.0),
    (asked_for("restart", service="log", members=("b2",)), 5.0),
    (ledger(given.Undrain(node="n1", who="ann")), 20.0),
    (accepted, 20.0),
    (cluster(lambda them, now_s: them.silence("n2", now_s, dies=True)), 40.0),
    (cluster(lambda them, now_s: them.recover("n2", now_s)), 60.0),
    (asked_for("shutdown"), 0.1),
    (asked_for("uninstall", service="log"), 0.1),
    (ledger(given.Tick()), 60.0),
    (ledger(given.Up(who="ann")), 60.0),
]


@dataclass
class Played:
    """One of the drivers, and how it is moved."""

    core: Turning
    cluster: Cluster
    act: Callable[[Callable[[Transaction], object]], Awaitable[object]]
    wait: Callable[[float], Awaitable[None]]

    def heard(self) -> bytes:
        """All that the service would hear now."""
        known = self.core.state.services["log"]
        return b"\n".join(
            msgspec.json.encode(event)
            for event in (
                notify.wanted_event(self.core, known),
                notify.members_event(self.core, known),
                notify.operations_event(self.core, "log"),
            )
        )


def in_memory(kind: SimulatedKind) -> Played:
    world = World(kind, timing=TIMING, listener=Notifier(Streams(), lambda send: None))

    async def act(work: Callable[[Transaction], object]) -> None:
        world.run(work)

    async def wait(seconds: float) -> None:
        world.advance(seconds)

    return Played(world, world.substrate, act, wait)


def on_a_disk(kind: SimulatedKind, store: SqliteStore) -> Played:
    now = [0.0]
    made = cluster_of(kind, small_nodes(3), timing=TIMING, wall=lambda: now[0] + WALL_S)
    core = Driver(
        store,
        Journal("on a disk"),
        lambda _: begun(made),
        Notifier(Streams(), lambda send: delivered(made, send)),
        monotonic=lambda: now[0],
        wall=lambda: now[0] + WALL_S,
    )

    async def act(work: Callable[[Transaction], object]) -> None:
        await core.turn(work)
        while speaks(made, now[0]):
            await core.turn(core.tick)

    async def wait(seconds: float) -> None:
        until_s = now[0] + seconds
        while (due_s := core.deadline()) is not None and due_s <= until_s:
            now[0] = max(now[0], due_s)
            await core.turn(core.tick)
        now[0] = until_s

    return Played(core, made, act, wait)


@both_kinds
async def test_the_same_course_gives_the_same_words_through_both_drivers(kind: SimulatedKind, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    one, other = in_memory(kind), on_a_disk(kind, store)
    assert isinstance(other.core, Driver)
    other.core.start()
    heard = set()
    try:
        for step, (do, wait_s) in enumerate(COURSE):
            for played in (one, other):
                await played.act(lambda tx, do=do, played=played: do(played.core, played.cluster, tx))  # type: ignore[misc]
                await played.wait(wait_s)
            assert one.heard() == other.heard(), f"after step {step}"
            heard.add(one.heard())
    finally:
        await other.core.close()
        store.close()
    assert len(heard) > 12, "a course on which hardly anything happens"
    assert any(b'"desired":"shut_down"' in each for each in heard)
    assert b'"exit_code":3' in b"".join(heard)


@both_kinds
@pytest.mark.parametrize(
    ("kinds", "desired"), [(("shutdown", "uninstall"), "shut_down"), (("uninstall", "shutdown"), "uninstalling")]
)
def test_of_a_shutdown_and_an_uninstall_a_service_hears_the_one_that_was_asked_for_first(
    kind: SimulatedKind, kinds: tuple[Any, Any], desired: str
) -> None:
    world = a_world(kind)
    for each in kinds:
        of = "" if each == "shutdown" else "log"
        assert not world.send(given.Propose(kind=each, asked_by="ann", service=of, force=True, reason="a test")).refused
    assert to_wire.desired(world.ledger, "log") == desired


# -- the small world ------------------------------------------------------------------------------------------------


def walked(state: State, *names: str) -> given.Input:
    """The item of the last of these steps, each taken where it is possible (a name may end in ``...``)."""
    for name in names:
        step = next(each for each in small_steps.steps(state) if each.name.startswith(name.removesuffix("...")))
        state = small_world.applied(msgspec.structs.replace(state, budget=step.budget), step.item, ())
    return step.item


def ends(world: World) -> Iterator[given.TaskObserved]:
    for line in world.recording:
        if isinstance(line, Took) and isinstance(line.input, given.TaskObserved) and line.input.state == "ended":
            yield line.input


def accept_all(pending: PendingSet) -> dict[str, given.Answer]:
    return {one.operation.id: given.Answer(verdict="accept") for one in pending.operations if one.asked}


def a_world(kind: SimulatedKind, timing: Timing = TIMING) -> World:
    world = World(kind, node_count=4, timing=timing)
    world.host("log", accept_all)
    world.install("log", ("b0", "b1", "b2"), policy=small_world.POLICY)
    world.advance(10)
    return world


STOP = given.Propose(kind="stop", asked_by="ann", service="log", members=("b0",))


@both_kinds
def test_what_is_told_to_end_ends_alike(kind: SimulatedKind) -> None:
    small = walked(small_world.beginning(Budget(wishes=(STOP,)), minimum=2), "wish 0...", "accept op-1", "b0 ended")
    world = a_world(kind)
    world.send(STOP)
    world.advance(10)
    assert (small.exit_code, small.state) == [(end.exit_code, end.state) for end in ends(world)][-1]  # type: ignore[union-attr]


@both_kinds
def test_what_ends_by_itself_ends_alike(kind: SimulatedKind) -> None:
    small = walked(small_world.beginning(Budget(failures=1), minimum=2), "b0 fails: ended")
    world = a_world(kind)
    world.observe(world.substrate.crash("log.b0", world.now_s))
    assert (small.exit_code, small.state) == [(end.exit_code, end.state) for end in ends(world)][-1]  # type: ignore[union-attr]


@both_kinds
def test_what_is_proven_dead_ended_alike_and_only_when_the_proof_was_asked_for(kind: SimulatedKind) -> None:
    state = small_world.beginning(Budget(silences=1, falls="n0", returns=False), minimum=2)
    assert not any("proven dead" in step.name for step in small_steps.steps(state))
    small = walked(state, "n0 falls silent", "time passes", "time passes", "b0 is proven dead")
    world = a_world(kind, Timing(prove_s=5, asked=True))
    world.observe(world.substrate.silence("n0", world.now_s, dies=True))
    node = world.ledger.members("log")[0].node
    world.observe(world.substrate.silence(node, world.now_s, dies=True))
    world.advance(small_world.POLICY.replace_after_s + 60)
    found = [end for end in ends(world) if end.member == "b0"]
    assert (small.exit_code, small.state) == (found[-1].exit_code, found[-1].state)  # type: ignore[union-attr]

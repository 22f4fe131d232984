"""The master over a played cluster, on which we place or somebody else does: what it makes of places."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from upcall.master import services
from upcall.master.driver import Driver
from upcall.master.events import Journal, kept_events
from upcall.master.notify import Notifier, members_event
from upcall.master.streams import Streams
from upcall.operations import inputs as given
from upcall.operations.words import span
from upcall.protocol import service as wire
from upcall.protocol.declaration import Constraints, Declaration, Port, Resources
from upcall.protocol.operator import Install
from upcall.store.sqlite import SqliteStore
from upcall.substrate.interface import Node, Send
from upcall.testing import KINDS
from upcall.testing.clusters import Cluster, begun, cluster_of, delivered
from upcall.testing.simulated import SimulatedKind, Timing, small_nodes

QUICK = Timing(place_s=0.02, start_s=0.02, ready_s=0.02, end_s=0.02, liveness_s=0.1, prove_s=1.0)
"""These are lived in real time."""
FIRST = Declaration(
    command=("serve",),
    ports=(Port(name="client", number=9092),),
    resources=Resources(memory_mib=64),
    constraints=Constraints(apart="b"),
)
AGAIN = Declaration(
    command=("serve", "--replaces", "{{replaced.address}}"),
    ports=FIRST.ports,
    resources=FIRST.resources,
    constraints=FIRST.constraints,
)
both_kinds = pytest.mark.parametrize("kind", KINDS)


@asynccontextmanager
async def master(
    folder: Path, kind: SimulatedKind, nodes: Sequence[Node] = (), *, cluster: Cluster | None = None
) -> AsyncIterator[tuple[Driver, Cluster]]:
    """``cluster``: one that has outlived another master."""
    made = cluster or cluster_of(kind, nodes or small_nodes(3), timing=QUICK)
    store = SqliteStore(folder / "state.db")
    journal = Journal("test", kept_events(store, "test"))

    def deliver(send: Send) -> None:
        """What comes of it is heard in a turn of its own."""
        delivered(made, send)
        core.post(core.tick)

    core = Driver(store, journal, lambda _: begun(made), Notifier(Streams(), deliver))
    core.start()
    core.post(lambda tx: tx.substrate(made.say_nodes()))
    try:
        yield core, made
    finally:
        await core.close()
        store.close()


def install(core: Driver, *members: str) -> None:
    core.state.packages.put(wire.Package(name="log", version="1"))
    wanted = {m: wire.MemberWanted(declaration=FIRST, replacement=AGAIN, start=True) for m in members}
    core.post(lambda tx: services.install(tx, Install(package="log"), "ann"))
    core.post(lambda tx: services.declare(tx, "log", wire.Declare(members=wanted)))


def shown(core: Driver) -> wire.Members:
    return members_event(core, core.state.services["log"])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(180):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def ready(core: Driver, count: int) -> Callable[[], bool]:
    return lambda: [member.state for member in shown(core).members] == ["ready"] * count


@both_kinds
async def test_a_plan_that_did_not_fit_is_shown_as_fitting_once_it_does(tmp_path: Path, kind: SimulatedKind) -> None:
    async with master(tmp_path, kind) as (core, cluster):
        install(core, "b0", "b1", "b2", "b3")
        if kind == "kernel":
            await until(lambda: shown(core).unplaced.startswith("needs 4 nodes with 0.1 cpus, 64 MiB memory free"))
        else:
            reason = "0 of 3 nodes will do: 3 with one that it keeps apart from"
            await until(lambda: reason in [member.reason for member in shown(core).members])
        core.post(lambda tx: tx.substrate(cluster.join(small_nodes(4)[3], tx.now_s)))
        await until(ready(core, 4))
        assert shown(core).unplaced == ""


@both_kinds
async def test_whoever_is_placed_anew_knows_the_address_of_the_place_before(
    tmp_path: Path, kind: SimulatedKind
) -> None:
    async with master(tmp_path, kind, small_nodes(4)) as (core, _):
        install(core, "b0", "b1", "b2")
        await until(ready(core, 3))
        before = address(core, "b1")
        replace(core)
        await until(lambda: replaced(core) == before)
        await until(ready(core, 3))
        assert address(core, "b1") != before


@both_kinds
async def test_that_address_is_known_after_a_restart_too_although_nothing_says_it_any_more(
    tmp_path: Path, kind: SimulatedKind
) -> None:
    async with master(tmp_path, kind, small_nodes(4)) as (core, cluster):
        install(core, "b0", "b1", "b2")
        await until(ready(core, 3))
        before = address(core, "b1")
    cluster.silence(cluster.node_of("log.b1"), core.monotonic(), dies=True)
    async with master(tmp_path, kind, cluster=cluster) as (core, _):
        await until(lambda: any(member.state == "lost" for member in shown(core).members))
        replace(core)
        await until(lambda: bool(replaced(core)))
        # On ours it is told again with the place, which has an address of its own.
        assert kind == "kernel" or replaced(core) == before


def address(core: Driver, name: str) -> str:
    return next(member.address for member in shown(core).members if member.name == name)


def replaced(core: Driver) -> str:
    """What ``{{replaced.address}}`` is for b1."""
    return core.state.replaced.get("log.b1", "")


def replace(core: Driver) -> None:
    wish = given.Propose(kind="replace", service="log", members=("b1",), asked_by="ann", force=True, reason="a test")
    core.post(lambda tx: tx.ledger(wish))


async def test_that_the_master_slept_is_said_once(tmp_path: Path) -> None:
    async with master(tmp_path, "kernel") as (core, _):
        await core.turn(lambda tx: core.tick(tx, 90.0))
        said = [event.text for event in core.journal.newest(100) if "slept" in event.text]
        assert said == [f"the master slept for {span(90)}: every deadline starts anew"]

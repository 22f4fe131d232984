"""A node of another size lets a service declare its members anew; what runs goes on as it was launched."""

from pathlib import Path

from played_node import PlayedNode
from test_turns import master

from upcall.master import records as r
from upcall.master import services
from upcall.master.driver import Driver
from upcall.operations import inputs as given
from upcall.protocol import service as wire
from upcall.protocol.declaration import Declaration, Resources
from upcall.protocol.operator import Install

MEMBERS = ("a", "b")


async def declare(core: Driver, memory_mib: int) -> None:
    """As an expert's code does that sizes its members by the nodes it finds."""
    sized = Declaration(command=("run", f"-Xmx{memory_mib}m"), resources=Resources(memory_mib=memory_mib))
    members = {name: wire.MemberWanted(declaration=sized, start=True) for name in MEMBERS}
    await core.turn(lambda tx: services.declare(tx, "s", wire.Declare(members=members)))


def generations(core: Driver) -> list[tuple[int, int, int]]:
    """Incarnation, what it was launched with, and what the next one gets."""
    return [(m.incarnation, m.generation, m.wanted_generation) for m in core.state.ledger.members("s")]


async def test_a_larger_node_and_a_restart_of_the_master_launch_nothing_anew(tmp_path: Path) -> None:
    small, large = PlayedNode("node-1", memory_mib=4096), PlayedNode("node-2", memory_mib=32768)
    async with master(tmp_path) as made:
        core = made.core
        small.join(core)
        core.state.packages.put(wire.Package(name="package", version="1"))
        await core.turn(lambda tx: services.install(tx, Install(package="package", name="s"), "ann"))
        await declare(core, 256)
        await core.durable()
        large.join(core)
        await declare(core, 2048)
        await core.durable()
        assert generations(core) == [(1, 1, 2)] * 2
    for _ in range(2):
        async with master(tmp_path) as made:
            core = made.core
            small.join(core)
            large.join(core)
            await declare(core, 2048)
            await core.durable()
            assert generations(core) == [(1, 1, 2)] * 2
            kept = {record.key for record in core.store.load(r.DECLARATION)}
            assert kept == {f"s.{name}@{number}" for name in MEMBERS for number in (1, 2)}, "what runs stays on record"
            assert sorted(small.started + large.started) == [("s.a.1", 1), ("s.b.1", 1)]
            assert [m.status for m in core.state.ledger.members("s")] == ["ready"] * 2
    async with master(tmp_path) as made:
        core = made.core
        small.join(core)
        large.join(core)
        ask = given.Propose(kind="restart", service="s", members=("a",), asked_by="ann", force=True, reason="a test")
        await core.turn(lambda tx: tx.ledger(ask))
        while "s.a.2" not in small.running() + large.running():  # what is told follows each commit
            await core.durable()
        await core.durable()
        assert generations(core) == [(2, 2, 2), (1, 1, 2)], "the next incarnation gets the newest"
        assert sorted(small.started + large.started) == [("s.a.1", 1), ("s.a.2", 2), ("s.b.1", 1)]

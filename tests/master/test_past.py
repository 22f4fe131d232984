"""Members that have left: how they ended is remembered, within bounds."""

import time
from pathlib import Path

import msgspec
import pytest
from played_node import PlayedNode
from test_turns import master

from upcall.master import housekeeping, past, services
from upcall.master import records as r
from upcall.master.driver import Driver
from upcall.operations import inputs as given
from upcall.protocol import agent as agent_wire
from upcall.protocol import service as wire
from upcall.protocol.declaration import Declaration
from upcall.protocol.errors import NotFound
from upcall.protocol.operator import Install


async def install(core: Driver, name: str, *members: str, **declared: object) -> None:
    core.state.packages.put(wire.Package(name="package", version="1"))
    await core.turn(lambda tx: services.install(tx, Install(package="package", name=name), "ann"))
    await declare(core, name, *members, **declared)


async def declare(core: Driver, name: str, *members: str, **declared: object) -> None:
    wanted = wire.MemberWanted(declaration=Declaration(command=("run",), **declared), start=True)  # type: ignore[arg-type]
    await core.turn(lambda tx: services.declare(tx, name, wire.Declare(members=dict.fromkeys(members, wanted))))
    await settled(core)


async def uninstall(core: Driver, name: str) -> None:
    ask = given.Propose(kind="uninstall", service=name, asked_by="ann", force=True, reason="a test")
    await core.turn(lambda tx: tx.ledger(ask))
    await settled(core)
    assert name not in core.state.services


async def settled(core: Driver) -> None:
    """What is told follows each commit, and is answered with another."""
    for _ in range(20):
        await core.durable()


def remembered(core: Driver) -> list[str]:
    kept = sorted(record.key for record in core.store.load(r.PAST))
    assert kept == sorted(core.state.past)
    return kept


async def test_a_member_that_has_left_is_remembered_until_its_service_begins_anew(tmp_path: Path) -> None:
    node = PlayedNode("node-1")
    async with master(tmp_path) as made:
        core = made.core
        node.join(core)
        await install(core, "s", "a")
        await uninstall(core, "s")
        found = made.views.task_or_past("s.a")
        assert (found.task, found.node, found.state) == ("s.a.1", "node-1", "gone")
        assert core.store.load(r.SEEN) == []
    async with master(tmp_path) as made:
        core = made.core
        node.join(core)
        assert made.views.task_or_past("s.a.1").member == "s.a"
        await install(core, "s", "a")
        assert remembered(core) == []


async def test_who_asks_for_a_service_or_by_half_a_name_is_told_the_members(tmp_path: Path) -> None:
    async with master(tmp_path) as made:
        PlayedNode("node-1").join(made.core)
        await install(made.core, "s", "a", "b")
        for name, message, expected in (
            ("s", "'s' is a service, and what is asked for is a member", "s.a or s.b; "),
            ("b", "no member 'b'", "s.b; "),
            ("s.aa", "no member 's.aa', did you mean 's.a'?", "s.a or s.b; "),
        ):
            with pytest.raises(NotFound) as raised:
                made.views.with_logs(name)
            assert raised.value.problem.message == message
            assert raised.value.problem.expected.startswith(expected)


async def test_what_has_left_is_forgotten_after_a_week(tmp_path: Path) -> None:
    async with master(tmp_path) as made:
        core = made.core
        PlayedNode("node-1").join(core)
        await install(core, "s", "a")
        await uninstall(core, "s")
        core.wall = lambda: time.time() + 6.9 * 86400
        await core.turn(housekeeping.forget_the_past)
        assert remembered(core) == ["s.a"]
        core.wall = lambda: time.time() + 7.1 * 86400
        await core.turn(housekeeping.forget_the_past)
        assert remembered(core) == []


async def test_the_newest_of_what_has_left_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "MEMBERS_MAX", 3)
    async with master(tmp_path) as made:
        core = made.core
        PlayedNode("node-1").join(core)
        for name in ("s", "t"):
            await install(core, name, "a", "b")
            await uninstall(core, name)
        assert remembered(core) == ["s.b", "t.a", "t.b"]


async def test_jobs_that_are_over_and_named_no_more_leave_a_bounded_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past, "MEMBERS_MAX", 3)
    node = PlayedNode("node-1")
    async with master(tmp_path) as made:
        core = made.core
        node.join(core)
        await install(core, "s", "keeps")
        for number in range(8):
            await declare(core, "s", "keeps", f"job-{number}", restart="never")
            ran = node.tasks[f"s.job-{number}.1"]
            node._becomes(msgspec.structs.replace(ran, state="ended", exit=agent_wire.TaskExit(code=0)))
            await settled(core)
            await declare(core, "s", "keeps", restart="never")
        assert {record.key for record in core.store.load(r.SEEN)} == {"s.keeps"}
        assert remembered(core) == ["s.job-5", "s.job-6", "s.job-7"]

"""Where a member's newest incarnation is, while an older one that leaves still has its names."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from played_node import PlayedNode
from test_turns import declaration, master

from upcall.master import services
from upcall.master.driver import Driver
from upcall.master.records import SeenRecord
from upcall.master.whereabouts import of_newest
from upcall.operations import inputs as given
from upcall.protocol import agent as agent_wire
from upcall.protocol import service as wire
from upcall.protocol.operator import Install
from upcall.substrate import interface as sub

WEB: Any = SimpleNamespace(service="hello", name="web-1", incarnation=2, node="node-1")


def known(leaving: int, **more: Any) -> Any:
    ledger = SimpleNamespace(leaving=lambda service, member: leaving)
    state = {"places": {"hello.web-1": ("node-1", "127.0.0.1")}, "seen": {}, "next_nodes": {}}
    return SimpleNamespace(state=SimpleNamespace(ledger=ledger, **(state | more)))


def test_alone_it_is_at_its_place() -> None:
    assert of_newest(known(0), WEB) == ("node-1", "127.0.0.1")


def test_beside_one_that_leaves_it_is_where_it_was_seen_else_where_its_place_is_held() -> None:
    held = known(1, next_nodes={"hello.web-1": "node-2"})
    assert of_newest(held, WEB) == ("node-2", "")
    starts = SeenRecord(incarnation=2, state="starting", since=1.0, node="node-3", address="127.0.0.3")
    assert of_newest(known(1, seen={"hello.web-1": starts}), WEB) == ("node-3", "127.0.0.3")
    older = SeenRecord(incarnation=1, state="ready", since=1.0, node="node-1", address="127.0.0.1")
    assert of_newest(known(1, seen={"hello.web-1": older}, next_nodes={"hello.web-1": "node-2"}), WEB)[0] == "node-2"


# -- while two run ----------------------------------------------------------------------------------------------------


class Patient(PlayedNode):
    """One of it that has crashed is started again, and is not ready until the test says so."""

    def _becomes(self, status: agent_wire.TaskStatus) -> None:
        number = int(status.task.rpartition(".")[2])
        super()._becomes(msgspec.structs.replace(status, state="starting") if self.waits and number > 2 else status)

    waits = True

    def say(self, task: str, state: str) -> None:
        ended = agent_wire.TaskExit(code=1) if state == "ended" else None
        super()._becomes(msgspec.structs.replace(self.tasks[task], state=state, exit=ended))


async def until(core: Driver, holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(180):
        while not holds():
            await core.durable()
            await asyncio.sleep(0.01)


async def moved(core: Driver) -> None:
    """Proposed, and accepted by its service."""
    ledger = core.state.ledger
    await core.turn(lambda tx: tx.ledger(given.HostSubscribed(service="s")))
    wish = given.Propose(kind="move", service="s", members=("m",), asked_by="ann")
    op = (await core.turn(lambda tx: tx.ledger(wish))).operation
    answers = {op: given.Answer(verdict="accept")}
    epoch = ledger.pending("s").epoch
    await core.turn(lambda tx: tx.ledger(given.Answers(service="s", epoch=epoch, answers=answers)))


async def two(core: Driver, nodes: tuple[Patient, Patient]) -> tuple[Patient, Patient]:
    """``s.m.2`` is ready and not back yet, so ``s.m.1`` serves on. Gives the old one's node and the new one's."""
    for node in nodes:
        node.join(core)
    core.state.packages.put(wire.Package(name="package", version="1"))
    await core.turn(lambda tx: services.install(tx, Install(package="package", name="s"), "ann"))
    wanted = wire.MemberWanted(declaration=declaration(two_at_once=True), start=True, hooks=True)
    await core.turn(lambda tx: services.declare(tx, "s", wire.Declare(members={"m": wanted})))
    await until(core, lambda: core.node_of("s.m") != "" and any(node.running() for node in nodes))
    await core.turn(lambda tx: tx.ledger(given.Back(service="s", member="m", incarnation=1)))
    await moved(core)
    await until(core, lambda: sum(len(node.running()) for node in nodes) == 2)
    await core.durable()
    old, new = sorted(nodes, key=lambda node: node.running())
    assert (old.running(), new.running()) == (["s.m.1"], ["s.m.2"])
    assert (core.node_of("s.m"), core.state.ledger.leaving("s", "m")) == (new.name, 1)
    return old, new


async def test_names_lead_to_the_new_one_of_two_for_as_long_as_it_is_ready_and_back_to_the_old_one_otherwise(
    tmp_path: Path,
) -> None:
    nodes = Patient("node-1"), Patient("node-2")
    async with master(tmp_path) as made:
        core = made.core
        old, new = await two(core, nodes)
        at_new = core.state.places["s.m"]
        new.say("s.m.2", "unready")
        at_old = core.state.places["s.m"]
        assert at_old[0] == old.name
        assert at_old[1] not in ("", at_new[1])
        new.say("s.m.2", "ready")
        assert core.state.places["s.m"] == at_new
        new.say("s.m.2", "ended")
        assert core.state.places["s.m"] == at_old
        await until(core, lambda: "s.m.3" in new.tasks)
        assert core.state.places["s.m"] == at_old, "what is started again is not ready yet"
        new.say("s.m.3", "ready")
        assert core.state.places["s.m"] == at_new
        new.say("s.m.3", "ended")
        assert core.state.places["s.m"] == at_old, "each time that it crashes"
        assert core.state.ledger.leaving("s", "m") == 1


@pytest.mark.parametrize("state", ["ready", "ended"])
@pytest.mark.parametrize("first", [0, 1])
async def test_after_a_restart_names_lead_where_agents_say_that_one_is_ready(
    tmp_path: Path, state: str, first: int
) -> None:
    nodes = Patient("node-1"), Patient("node-2")
    async with master(tmp_path) as made:
        old, new = await two(made.core, nodes)
        places = {new.name: made.core.state.places["s.m"]}
        new.say("s.m.2", "unready")
        places[old.name] = made.core.state.places["s.m"]
        new.say("s.m.2", "ready")
        await made.core.durable()
    new.tasks["s.m.2"] = msgspec.structs.replace(new.tasks["s.m.2"], state=state)
    async with master(tmp_path) as made:
        core = made.core
        for node in ((old, new), (new, old))[first]:
            node.join(core)
        assert core.state.places["s.m"] == places[new.name if state == "ready" else old.name]
        if state == "ready":
            new.say("s.m.2", "ended")
        assert core.state.places["s.m"] == places[old.name]
        assert core.state.ledger.leaving("s", "m") == 1


async def test_what_was_kept_of_the_old_one_is_not_taken_for_the_old_one_of_the_next_move(tmp_path: Path) -> None:
    nodes = Patient("node-1"), Patient("node-2")
    async with master(tmp_path) as made:
        core = made.core
        old, _ = await two(core, nodes)
        at_new = core.state.places["s.m"]
        await core.turn(lambda tx: tx.ledger(given.Back(service="s", member="m", incarnation=2)))
        await until(core, lambda: core.state.ledger.leaving("s", "m") == 0)
        assert core.state.places["s.m"] == at_new
        await moved(core)
        await until(core, lambda: "s.m.3" in old.tasks)
        assert core.state.places["s.m"] == at_new
        old.say("s.m.3", "ready")
        assert core.node_of("s.m") == old.name
        old.say("s.m.3", "ended")
        assert core.state.places["s.m"] == at_new


async def test_where_the_new_one_s_node_falls_silent_names_lead_back_to_the_old_one(tmp_path: Path) -> None:
    nodes = Patient("node-1"), Patient("node-2")
    async with master(tmp_path) as made:
        core = made.core
        old, new = await two(core, nodes)
        at_new = core.state.places["s.m"]
        silent = sub.NodeObserved(node=new.name, state="silent", reason="a test")
        core.post(lambda tx: tx.substrate(sub.Output(up=[silent])))
        assert core.node_of("s.m") == old.name
        back = sub.NodeObserved(node=new.name, state="up")
        second = sub.TaskId("s", "m", 2)
        ready = sub.Observed(task=second, state="ready", node=new.name, address=at_new[1], generation=1)
        core.post(lambda tx: tx.substrate(sub.Output(up=[back, ready])))
        assert core.state.places["s.m"] == at_new

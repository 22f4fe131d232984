"""A Cassandra ring grows and shrinks: who bootstraps, who may leave, and how a leaving goes on after any death."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml

from upcall.catalog.cassandra import config, fitting
from upcall.catalog.cassandra.ranges import Range
from upcall.catalog.cassandra.service import Cassandra
from upcall.protocol import service as wire
from upcall.protocol.declaration import Declaration
from upcall.protocol.errors import NotNow
from upcall.service import Update
from upcall.service.context import Context
from upcall.service.telling import telling
from upcall.testing import Scenario, operation

ADDRESSES = tuple(f"127.1.1.{number}" for number in range(1, 5))


class Ring:
    """Four nodes, of which the last one leaves as its state says."""

    def __init__(self) -> None:
        self.words = {"NORMAL"}
        self.failed = False
        self.used = 100
        self.kept = {"fast": 3, "system_auth": 3}
        self.on_the_way: dict[str, str] = {}

    def moving(self) -> dict[str, str]:
        return self.on_the_way

    def ranges(self) -> list[Range]:
        return [Range("fast", ADDRESSES[:3])]

    def words_of(self, address: str) -> set[str]:
        return self.words

    def owns(self, address: str) -> bool:
        return self.words != {"LEFT"}

    def has_failed_to_leave(self, address: str) -> bool:
        return self.failed

    def streamed(self, address: str) -> tuple[int, int]:
        return 1 << 20, 4 << 20

    def rewritten(self, address: str, task: str) -> tuple[int, int]:
        return 1 << 20, 2 << 20

    def used_mib(self) -> int:
        return self.used

    def copies(self) -> dict[str, int]:
        return self.kept


class Kept:
    """The memory of a service."""

    def __init__(self, **values: Any) -> None:
        self.values = dict(values)

    async def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    async def update(self, key: str, change: Callable[[Any], Any], default: Any = None) -> Any:
        self.values[key] = change(self.values.get(key, default))
        return self.values[key]


class Played(Cassandra):
    package = "cassandra"
    ring = Ring()
    kept: Any = None

    @property
    def state(self) -> Any:
        return self.kept or super().state

    async def ask(self, question: Callable[[Any], Any], *, once: bool = False) -> Any:
        return question(self.ring)


def played(nodes: int = 4, **states: str) -> tuple[Played, list[tuple[str, str]], list[tuple[str, str]]]:
    """The service with four members; what tools ran, and what it proposed."""
    ran: list[tuple[str, str]] = []
    proposed: list[tuple[str, str]] = []

    async def run(tool: wire.RunTool) -> wire.ToolResult:
        ran.append((tool.member, next(word for word in reversed(tool.command) if not word.startswith("{{"))))
        return wire.ToolResult(code=0)

    async def propose(given: wire.Propose) -> str:
        proposed.append((given.kind, given.member))
        return "op-9"

    members = {
        f"node-{number}": wire.Member(
            name=f"node-{number}", state=states.get(f"node_{number}", "ready"), address=address, back=True, starts=1
        )
        for number, address in enumerate(ADDRESSES)
    }
    context = Context(name="cassandra", options={"nodes": nodes}, members=members, run_tool=run, propose=propose)
    service = Played(context)
    service.ring = Ring()
    service.kept = Kept(filled={f"node-{number}": 1 for number in range(4)}, founded=3)
    return service, ran, proposed


def settings(task: Declaration) -> dict[str, Any]:
    return config.written(task)


async def test_who_comes_to_a_ring_bootstraps_and_nobody_else_is_told_anything_new() -> None:
    service, _, _ = played(nodes=3)
    await service.on_start()
    before = [service.node(service.members[f"node-{number}"]) for number in range(3)]
    service.options = service.options.model_copy(update={"nodes": 4})
    assert [service.node(service.members[f"node-{number}"]) for number in range(3)] == before
    new = settings(service.node(service.members["node-3"]))
    assert (new["auto_bootstrap"], new.get("initial_token")) == (True, None)
    assert new["allocate_tokens_for_local_replication_factor"] == 3
    assert new["seed_provider"][0]["parameters"][0]["seeds"].count("address") == 3
    assert "{{address.node-3}}" not in yaml.safe_dump(new)


async def test_even_a_member_that_is_called_founding_bootstraps_where_the_ring_was_founded_without_it() -> None:
    service, _, _ = played()
    await service.on_start()
    assert settings(service.node(service.members["node-3"]))["auto_bootstrap"] is True
    assert settings(service.node(service.members["node-2"]))["auto_bootstrap"] is False


def test_new_nodes_join_one_by_one() -> None:
    (pod,) = Cassandra(Context(name="cassandra", options={"nodes": 5})).pods()
    assert pod.joins == "one by one"


@pytest.mark.parametrize(
    ("left", "copies", "used", "said"),
    [
        (3, {"fast": 3}, 100, ""),
        (2, {"fast": 3, "logs": 2}, 100, "2 nodes cannot keep as many copies as there are: 3 of fast"),
        (3, {"fast": 3}, 9000, "3 nodes cannot hold 9000 MiB: 3000 MiB on each, of 2048 MiB; 80% are the most"),
    ],
)
def test_fewer_nodes_than_copies_or_room_are_refused_with_the_numbers(
    left: int, copies: dict[str, int], used: int, said: str
) -> None:
    assert fitting.objection(left, copies, used, 2048) == said


async def test_a_node_may_leave_while_all_are_up_and_the_others_keep_everything() -> None:
    service, _, _ = played()
    node, why = service.members["node-3"], operation("scale_in", "node-3")
    assert (await service.may_scale_in(node, why)).word == "accept"
    service.ring.kept["fast"] = 4
    said = await service.may_scale_in(node, why)
    assert (said.word, said.reason) == ("decline", "3 nodes cannot keep as many copies as there are: 4 of fast")
    service.ring.kept["fast"] = 3
    both = operation("scale_in", "node-3", leaving=("node-3", "node-2"))
    assert "2 nodes cannot keep" in (await service.may_scale_in(node, both)).reason
    down, _, _ = played(node_1="ended")
    assert (await down.may_scale_in(down.members["node-3"], why)).word == "defer"


@pytest.mark.parametrize(
    ("wanted", "states", "word"),
    [(2, {}, "decline"), (3, {}, "accept"), (5, {}, "accept"), (5, {"node_1": "held"}, "defer")],
)
async def test_an_update_of_the_size_is_answered_before_anything_begins(
    wanted: int, states: dict[str, str], word: str
) -> None:
    service, _, _ = played(**states)  # type: ignore[arg-type]
    for name, member in service._context.members.items():
        if member.state != "ready":
            service._context.members[name] = wire.Member(name=name, state=member.state)  # type: ignore[index]
    options = service.options.model_copy(update={"nodes": wanted})
    update = Update(revision=2, version="5.0.9", upgrade=False, options=options, changes=())
    assert (await service.may_update(update, operation("update"))).word == word


async def test_a_leaving_is_begun_once_and_is_over_when_every_other_node_says_so() -> None:
    service, ran, _ = played(nodes=3)
    said: list[tuple[str, float | None]] = []
    telling.set(lambda text, share: said.append((text, share)))
    node, why = service.members["node-3"], operation("scale_in", "node-3")
    leaving = asyncio.create_task(service.leave(node, why))
    await asyncio.sleep(0.1)
    assert ran == [("node-3", "upcall.Leave")]
    service.ring.words = {"LEAVING"}
    await asyncio.sleep(1.1)
    assert said[-1] == ("node-3 leaves: 1.0 of 4.0 MiB streamed to others", 0.25)
    service.ring.words = {"LEAVING", "LEFT"}
    await asyncio.sleep(1.1)
    assert not leaving.done(), "one of the others does not know it yet"
    service.ring.words = {"LEFT"}
    await leaving
    assert ran == [("node-3", "upcall.Leave")], "begun once"
    assert (service.kept.values["left"], "node-3" in service.kept.values["filled"]) == (["node-3"], False)


@pytest.mark.parametrize(("words", "failed"), [({"NORMAL"}, False), ({"LEAVING"}, True)])
async def test_a_node_that_started_anew_or_failed_while_it_left_is_told_to_leave_again(
    words: set[str], failed: bool
) -> None:
    service, ran, _ = played(nodes=3)
    service.ring.words, service.ring.failed = words, failed
    assert not await service._has_left(service.members["node-3"])
    assert ran == [("node-3", "upcall.Leave")]


async def test_one_that_is_down_is_waited_for_and_one_that_has_left_is_told_nothing() -> None:
    service, ran, _ = played(nodes=3, node_3="ended")
    service.ring.words = {"LEAVING"}
    assert not await service._has_left(service.members["node-3"])
    service.ring.words = {"LEFT"}
    assert await service._has_left(service.members["node-3"])
    await service.before_stop(service.members["node-3"], operation("scale_in", "node-3"))
    assert ran == []


async def test_who_stays_after_all_is_a_member_again_by_a_start_which_nothing_puts_off() -> None:
    service, _, proposed = played()
    node = service.members["node-3"]
    service.ring.words, service.ring.on_the_way = {"LEAVING"}, {node.address: "LEAVING"}
    staying = asyncio.create_task(service.stay(node, operation("scale_in", "node-3")))
    await asyncio.sleep(0.1)
    assert proposed == [("restart", "node-3")]
    assert (await service.may_restart(node, operation("restart", "node-3"))).word == "accept"
    assert (await service.may_restart(service.members["node-1"], operation("restart", "node-1"))).word == "defer"
    service.ring.words = {"NORMAL"}
    await staying


async def test_who_had_left_comes_back_as_a_new_node_and_in_nobodys_place() -> None:
    service, _, proposed = played()
    service.ring.words = {"LEFT"}
    await service.stay(service.members["node-3"], operation("scale_in", "node-3"))
    assert proposed == [("restart", "node-3")]
    again = service.node(service.members["node-3"])
    assert again == service.node(replace(service.members["node-3"], replacing=True)), "wherever it comes up"
    assert not [word for word in again.command if "replace_address" in word]
    assert settings(again)["auto_bootstrap"] is True
    assert settings(again)["data_file_directories"] == ["{{volume.data}}/again-1/data"], "never with what it had"
    await service.stay(service.members["node-3"], operation("scale_in", "node-3"))
    assert service.kept.values["times-left"] == {"node-3": 1}, "counted once"


async def test_load_is_spread_by_a_cleanup_of_each_node_but_the_last_that_came() -> None:
    service, ran, _ = played()
    await service.spread((service.members["node-3"],), operation("update"))
    assert ran == [(f"node-{number}", "cleanup") for number in range(3)]
    await service.spread((), operation("rebalance"))
    assert len(ran) == 7


async def test_a_cleanup_that_is_not_wanted_any_more_is_stopped() -> None:
    service, ran, _ = played()
    begun = asyncio.Event()

    async def hangs(tool: wire.RunTool) -> wire.ToolResult:
        ran.append((tool.member, tool.command[-1]))
        if tool.command[-1] == "cleanup":
            begun.set()
            await asyncio.sleep(60)
        return wire.ToolResult(code=0)

    service._context.run_tool = hangs
    spreading = asyncio.create_task(service.spread((), operation("rebalance")))
    await begun.wait()
    spreading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await spreading
    assert ran == [("node-0", "cleanup"), ("node-0", "CLEANUP")]


async def test_what_a_node_says_against_leaving_is_told() -> None:
    service, _, _ = played(nodes=3)

    async def refuses(tool: wire.RunTool) -> wire.ToolResult:
        return wire.ToolResult(code=config.TOOL_REFUSED, error="data is currently moving to this node\n")

    service._context.run_tool = refuses
    with pytest.raises(NotNow, match="data is currently moving to this node"):
        await service._has_left(service.members["node-3"])


def test_a_wish_for_fewer_nodes_is_seen_as_a_scale_in() -> None:
    assert Cassandra.Options.model_json_schema()["properties"]["nodes"]["size_of"] == "node"
    assert Scenario(Cassandra, {"nodes": 4}, fresh=True).run().started == [f"node-{number}" for number in range(4)]

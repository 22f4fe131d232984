"""A Cassandra ring goes to a newer version and back, and past the point of no return; what stands against each."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from upcall.catalog.cassandra import config
from upcall.catalog.cassandra.options import CassandraOptions
from upcall.catalog.cassandra.ranges import Range
from upcall.catalog.cassandra.releases import MODES, OLDEST
from upcall.catalog.cassandra.ring import NodeState
from upcall.catalog.cassandra.service import Cassandra
from upcall.protocol import service as wire
from upcall.service import Update
from upcall.service.comparing import with_code
from upcall.service.context import Context
from upcall.service.telling import telling
from upcall.testing import operation

OLD, NEW = Cassandra.versions()[0], Cassandra.version
ADDRESSES = ("127.1.1.1", "127.1.1.2", "127.1.1.3")


class Ring:
    """Three nodes, each of which writes as it was told at its last start."""

    def __init__(self) -> None:
        self.nodes = {address: NodeState(address, NEW, OLDEST, "one") for address in ADDRESSES}
        self.on_the_way: dict[str, str] = {}

    def node_states(self) -> list[NodeState]:
        return list(self.nodes.values())

    def moving(self) -> dict[str, str]:
        return self.on_the_way

    def ranges(self) -> list[Range]:
        return [Range("fast", ADDRESSES)]

    def rewritten(self, address: str, task: str) -> tuple[int, int]:
        return 1 << 20, 2 << 20


class Kept:
    """The memory of a service."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    async def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    async def set(self, key: str, value: Any) -> None:
        self.values[key] = value


class Played(Cassandra):
    package = "cassandra"
    ring: Ring
    kept: Kept

    @classmethod
    def folder(cls) -> Path:
        return Cassandra.folder()

    @property
    def state(self) -> Any:
        return self.kept

    async def ask(self, question: Callable[[Any], Any], *, once: bool = False) -> Any:
        return question(self.ring)


class Lived:
    """The service, its ring, and what was done to both."""

    def __init__(self, away: str = "") -> None:
        self.did: list[str] = []
        seen = {
            f"node-{number}": wire.Member(
                name=f"node-{number}", state="ready", address=address, back=f"node-{number}" != away, starts=1, place=1
            )
            for number, address in enumerate(ADDRESSES)
        }
        context = Context(name="cassandra", options={}, members=seen, run_tool=self._run, propose=self._propose)
        self.service = Played(context)
        self.service.ring, self.service.kept = Ring(), Kept()

    @property
    def ring(self) -> Ring:
        return self.service.ring

    async def _run(self, tool: wire.RunTool) -> wire.ToolResult:
        self.did.append(f"{tool.command[-1]} at {tool.member}")
        return wire.ToolResult(code=0)

    async def _propose(self, given: wire.Propose) -> str:
        """It begins at once: the node starts with what is declared now."""
        node = self.service.members[given.member]
        mode = config.written(self.service.node(node)).get("storage_compatibility_mode", "")
        self.ring.nodes[node.address] = replace(self.ring.nodes[node.address], mode=str(mode))
        self.did.append(f"{given.kind} {given.member} {mode}")
        return "op-9"

    def asked(self, came_from: str, version: str) -> tuple[Any, Update]:
        """The code that answers, and the change that it answers about."""
        options = CassandraOptions()
        update = Update(2, version, upgrade=True, options=options, changes=(), came_from=came_from)
        return with_code(self.service, type(self.service).at(version)), update


async def answer(lived: Lived, came_from: str, version: str) -> tuple[str, str]:
    code, update = lived.asked(came_from, version)
    code.ring, code.kept = lived.ring, lived.service.kept
    said = await code.may_update(update, operation("upgrade"))
    return said.word, said.reason


async def test_the_next_version_comes_while_every_node_is_there_and_nothing_is_on_its_way() -> None:
    lived = Lived()
    assert await answer(lived, OLD, NEW) == ("accept", "")
    lived.ring.on_the_way = {"a": "joining"}
    assert await answer(lived, OLD, NEW) == ("defer", "data is on its way: a is joining")
    word, reason = await answer(Lived(away="node-1"), OLD, NEW)
    assert (word, reason) == ("defer", "node-1 is away: nodes of two versions need all of them")


async def test_nodes_of_one_version_agree_on_the_schema_before_others_follow() -> None:
    lived = Lived()
    first, second, _ = ADDRESSES
    heard = lived.ring.nodes.pop(first)
    said = await lived.service.may_go_on(lived.service.members["node-2"], operation("upgrade"))
    assert (said.word, said.reason) == ("defer", "node-0 has not said which schema it knows")
    lived.ring.nodes[first] = replace(heard, version=OLD, mode="", schema="another")
    assert (await lived.service.may_go_on(lived.service.members["node-2"], operation("upgrade"))).word == "accept"
    lived.ring.nodes[second] = replace(lived.ring.nodes[second], schema="another")
    said = await lived.service.may_go_on(lived.service.members["node-2"], operation("upgrade"))
    assert (said.word, said.reason) == ("defer", f"nodes of version {NEW} have 2 schemas")


async def test_the_old_version_comes_back_as_long_as_nodes_write_what_it_reads() -> None:
    lived = Lived()
    assert await answer(lived, NEW, OLD) == ("accept", "")
    lived.service._mode = MODES[1]
    word, reason = await answer(lived, NEW, OLD)
    assert word == "decline"
    assert f"since `upcall finalize` began: Cassandra {OLD} cannot read that" in reason


async def test_finalize_goes_through_the_modes_node_by_node_and_writes_everything_anew() -> None:
    lived = Lived()
    said: list[str] = []
    telling.set(lambda text, share: said.append(text))
    await lived.service.finalize(operation("finalize"))
    names = sorted(lived.service.members[f"node-{number}"].name for number in range(3))
    assert lived.did == [
        *(f"restart {name} {mode}" for mode in MODES[1:] for name in names),
        *(f"upgradesstables at {name}" for name in names),
    ]
    assert "node-0: 1.0 of 2.0 MiB written anew" in said
    refused = await lived.service.may_finalize(operation("finalize"))
    assert (refused.word, refused.reason) == ("decline", f"its nodes write as Cassandra {NEW} does already")


@pytest.mark.parametrize("done", range(3))
async def test_finalize_goes_on_where_it_was_interrupted(done: int) -> None:
    lived = Lived()
    lived.service._mode = MODES[1]
    for address in ADDRESSES[:done]:
        lived.ring.nodes[address] = replace(lived.ring.nodes[address], mode=MODES[1])
    await lived.service.finalize(operation("finalize"))
    assert [each for each in lived.did if each.endswith(MODES[1])] == [
        f"restart node-{number} {MODES[1]}" for number in range(done, 3)
    ]


async def test_a_version_with_one_form_has_nothing_to_finalize() -> None:
    code, _ = Lived().asked(NEW, OLD)
    said = await code.may_finalize(operation("finalize"))
    assert (said.word, said.reason) == ("decline", f"Cassandra {OLD} writes in one form: there is nothing to finalize")


def test_each_version_has_its_own_runtime_and_says_in_which_form_it_writes_where_it_has_several() -> None:
    lived = Lived()
    tasks = {}
    for version in (OLD, NEW):
        code, _ = lived.asked(OLD, version)
        tasks[version] = code.node(code.members["node-0"])
    assert "storage_compatibility_mode" not in config.written(tasks[OLD])
    assert config.written(tasks[NEW])["storage_compatibility_mode"] == OLDEST
    runtimes = [Cassandra.at(version).artifact("java").lock for version in (OLD, NEW)]
    assert runtimes[0] != runtimes[1]
    assert "-Djava.security.manager=allow" not in tasks[OLD].command
    assert "-Djava.security.manager=allow" in tasks[NEW].command


async def test_a_node_that_is_not_heard_for_a_moment_after_its_restart_is_not_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A session of before its restart does not see it until it tries again."""
    monkeypatch.setattr("upcall.catalog.cassandra.forms.LOOK_S", 0.0)
    lived = Lived()
    heard = lived.ring.node_states
    unheard = 0

    def states() -> list[NodeState]:
        nonlocal unheard
        found = heard()
        restarted = [did for did in lived.did if did.startswith("restart")]
        if restarted and unheard < 5 * len(restarted):
            unheard += 1
            address = lived.service.members[restarted[-1].split()[1]].address
            return [each for each in found if each.address != address]
        return found

    monkeypatch.setattr(lived.ring, "node_states", states)
    await lived.service.write_in_newest_form("restore/a")
    assert lived.did == [f"restart node-{number} {mode}" for mode in MODES[1:] for number in range(3)]
    assert unheard >= 25

"""Cassandra as a service, as pure scenarios: what it declares and what it answers. What the ring says is given."""

import asyncio
import re
from collections.abc import Callable
from typing import Any, ClassVar

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from upcall.catalog.cassandra.config import cassandra_yaml
from upcall.catalog.cassandra.ranges import Range
from upcall.catalog.cassandra.releases import OLDEST, release
from upcall.catalog.cassandra.ring import NodeState
from upcall.catalog.cassandra.service import Cassandra
from upcall.catalog.cassandra.settings import facts
from upcall.catalog.cassandra.sizing import size_node
from upcall.protocol import service as wire
from upcall.protocol.declaration import Declaration
from upcall.protocol.errors import Conflict, Invalid, NotNow
from upcall.protocol.schema import check
from upcall.service import Member
from upcall.service.actions import action_named
from upcall.service.context import Context
from upcall.testing import Scenario, operation, run

ADDRESSES = ("127.1.1.1", "127.1.1.2", "127.1.1.3")


class PlayedRing:
    """A ring of three with one keyspace on all of them."""

    addresses = ADDRESSES

    def __init__(self, moving: dict[str, str], ranges: list[Range] | None = None) -> None:
        self._moving = moving
        self._ranges = ranges if ranges is not None else [Range("fast", ADDRESSES)] * 12

    def moving(self) -> dict[str, str]:
        return self._moving

    def ranges(self) -> list[Range]:
        return self._ranges

    def node_states(self) -> list[NodeState]:
        return [NodeState(address, Cassandra.version, OLDEST, "one") for address in ADDRESSES]

    def each(self, query: str) -> tuple[set[str], dict[str, list[dict[str, Any]]], set[str]]:
        return set(ADDRESSES), {}, set()

    def unheard(self, _up: set[str]) -> set[str]:
        return set()


class Played(Cassandra):
    package = "cassandra"
    moving: ClassVar[dict[str, str]] = {}
    ranges: ClassVar[list[Range] | None] = None

    async def ask(self, question: Callable[[Any], Any], *, once: bool = False) -> Any:
        return question(PlayedRing(self.moving, self.ranges))


def with_ranges(*given: Range) -> type[Cassandra]:
    class Given(Played):
        package = "cassandra"
        ranges: ClassVar[list[Range] | None] = list(given)

    return Given


class Joining(Played):
    package = "cassandra"
    moving: ClassVar[dict[str, str]] = {"127.1.1.4": "BOOT"}


def settings(task: Declaration) -> dict[str, Any]:
    text = next(file.text for file in task.files if file.path == "cassandra.yaml")
    found = yaml.safe_load(text)
    assert isinstance(found, dict)
    return found


def seeds(task: Declaration) -> str:
    return str(settings(task)["seed_provider"][0]["parameters"][0]["seeds"])


def test_a_new_ring_starts_together_with_its_first_node_as_the_seed() -> None:
    outcome = Scenario(Cassandra, {"nodes": 3}, fresh=True).run()
    assert outcome.started == ["node-0", "node-1", "node-2"]
    for name in outcome.started:
        task = outcome.task(name)
        assert seeds(task) == "{{address.node-0}}:{{port.storage}}"
        assert settings(task)["auto_bootstrap"] is False
        assert (task.constraints.apart, task.constraints.spread) == ("node", "zone")


def test_at_a_new_place_a_node_takes_the_dead_ones_ranges_from_the_others() -> None:
    outcome = Scenario(Cassandra, {}).run()
    assert outcome.declared is not None
    replacement = outcome.declared.members["node-0"].replacement
    assert replacement is not None
    assert "-Dcassandra.replace_address_first_boot={{replaced.address}}" in replacement.command
    assert settings(replacement)["auto_bootstrap"] is True, "it refuses to replace without"
    assert "initial_token" not in settings(replacement)
    assert seeds(replacement) == "{{address.node-1}}:{{port.storage}},{{address.node-2}}:{{port.storage}}"


def test_the_users_own_settings_reach_the_file_and_win() -> None:
    task = Scenario(Cassandra, {"settings": {"concurrent_reads": 3, "auto_snapshot": True}}, fresh=True).run()
    found = settings(task.task("node-1"))
    assert (found["concurrent_reads"], found["auto_snapshot"]) == (3, True)


def test_passwords_stand_in_no_argument_and_no_file() -> None:
    task = Scenario(Cassandra, {}, fresh=True).run().task("node-0")
    assert {secret.name: secret.ref for secret in task.secrets} == {
        "jmx": "generated:cassandra.jmx|upcall {}",
        "admin": "generated:cassandra.admin",
        "client": "generated:cassandra.client",
    }
    assert "-Dcom.sun.management.jmxremote.password.file={{secret.jmx}}" in task.command
    assert "-Dcom.sun.management.jmxremote.password.toHashes=false" in task.command, "nodetool reads it too"
    assert next(file for file in task.files if file.path == "jmx.access").mode == 0o600


def test_a_stop_is_accepted_while_every_range_keeps_its_quorum() -> None:
    assert Scenario(Played, {}, operations=[operation("stop", "node-1")]).run().answer.verdict == "accept"


def test_a_stop_that_would_break_quorums_is_deferred_with_the_keyspace() -> None:
    stop = Scenario(Played, {}, members={"node-0": "held"}, operations=[operation("stop", "node-1")])
    answer = stop.run().answer
    assert (answer.verdict, answer.reason) == ("defer", "token ranges would lose their quorum: 12 of fast")


RACKS = (("127.1.1.1", "127.1.1.4"), ("127.1.1.2", "127.1.1.5"), ("127.1.1.3", "127.1.1.6"))
"""Six nodes in three racks."""
OF_RACKS = [Range("fast", (a, b, c)) for a in RACKS[0] for b in RACKS[1] for c in RACKS[2]]


@pytest.mark.parametrize(
    ("nodes", "away", "answers"),
    [
        (("node-0", "node-3"), {}, ["accept", "accept"]),
        (("node-0", "node-1"), {}, ["accept", "defer"]),
        (("node-0", "node-3"), {"node-1": "ended"}, ["defer", "defer"]),
    ],
)
def test_a_rack_may_go_in_one_answer_and_two_racks_may_not(
    nodes: tuple[str, ...], away: dict[str, str], answers: list[str]
) -> None:
    stops = [operation("stop", node, parent="op-1") for node in nodes]
    found = Scenario(with_ranges(*OF_RACKS), {"nodes": 6}, members=away, operations=stops).run()
    assert [found.answers[each.id].verdict for each in stops] == answers
    assert found.declared is not None
    assert found.declared.policy.minimum == 4


@pytest.mark.parametrize(("machines", "helps"), [(2, False), (3, True)])
def test_a_machine_with_two_nodes_is_not_waited_for_where_what_waits_holds_the_other(
    machines: int, helps: bool
) -> None:
    """Of two machines one has two of three copies; of three, each has one, and the third node away is another one."""
    nodes = {
        "node-0": wire.Member(name="node-0", state="held", declared_generation=1, node="one", address="127.1.1.1"),
        "node-2": wire.Member(name="node-2", state="ready", declared_generation=1, node="one", address="127.1.1.3"),
    }
    few, many = (
        Range("fast", ("127.1.1.1", "127.1.1.3", "127.1.1.2")),
        Range("fast", ("127.1.1.3", "127.1.1.2", "127.1.1.4")),
    )
    stop = operation("stop", "node-2", parent="op-1", node="one")
    service = with_ranges(few if machines == 2 else many)
    away = {"node-1": "ended"} if machines == 3 else {}
    answer = Scenario(service, {"nodes": 4, "per_node": 2}, members={**nodes, **away}, operations=[stop]).run().answer
    assert (answer.verdict, answer.waiting_helps) == ("defer", helps)
    assert ("; node-0 is held by the same drain" in answer.reason) is not helps
    assert ["three machines" in way.does for way in answer.would_help] == ([] if helps else [True])
    alone = Scenario(service, {"nodes": 4}, members={**nodes, **away}, operations=[operation("stop", "node-2")])
    assert alone.run().answer.waiting_helps, "who holds it may let it go"


SINGLE = Range("single", ADDRESSES[:1])
PAIR = Range("pair", ADDRESSES[:2])


@pytest.mark.parametrize("few", [SINGLE, PAIR])
def test_where_no_waiting_helps_the_answer_says_what_does(few: Range) -> None:
    answer = Scenario(with_ranges(few), {}, operations=[operation("stop", "node-0")]).run().answer
    assert (answer.verdict, answer.waiting_helps) == ("defer", False)
    assert answer.reason == f"token ranges have too few copies to spare a node: 1 of {few.keyspace}"
    (way,) = answer.would_help
    assert (way.action, way.arguments) == ("set-replication", {"keyspace": few.keyspace, "replication": 3})


@pytest.mark.parametrize(("nodes", "few"), [(1, SINGLE), (2, PAIR)])
def test_a_ring_without_room_for_more_copies_says_that_they_are_away_meanwhile(nodes: int, few: Range) -> None:
    answer = Scenario(with_ranges(few), {"nodes": nodes}, operations=[operation("stop", "node-0")]).run().answer
    assert (answer.verdict, answer.waiting_helps) == ("defer", False)
    assert "--on-deadline proceed" in answer.would_help[0].does


@pytest.mark.parametrize(("nodes", "few"), [(1, SINGLE), (2, PAIR), (3, SINGLE)])
def test_too_few_copies_do_not_forbid_a_restart_which_is_short(nodes: int, few: Range) -> None:
    answer = Scenario(with_ranges(few), {"nodes": nodes}, operations=[operation("restart", "node-0")]).run().answer
    assert (answer.verdict, "away until it is back" in answer.reason) == ("accept", True)


def test_a_restart_waits_for_others_that_come_back() -> None:
    restart = Scenario(Played, {}, members={"node-0": "held"}, operations=[operation("restart", "node-1")])
    assert restart.run().answer.verdict == "defer"


def lost(service: type[Cassandra], options: dict[str, Any], **members: str) -> Any:
    return Scenario(service, options, members={"node-0": "lost", **members}, operations=[operation("lost", "node-0")])


def test_a_lost_node_is_replaced_only_from_majorities_elsewhere() -> None:
    assert lost(Played, {}).run().answer.verdict == "wait"
    answer = lost(Played, {}, **{"node-1": "lost"}).run().answer
    assert (answer.verdict, answer.waiting_helps) == ("defer", False)
    assert answer.reason == "token ranges have no majority without it: 12 of fast"
    answer = lost(with_ranges(SINGLE), {}).run().answer
    assert answer.reason == "token ranges have no majority without it: 1 of single"


def test_a_lone_node_that_is_lost_is_never_replaced_by_an_empty_one() -> None:
    answer = lost(Played, {"nodes": 1}).run().answer
    assert (answer.verdict, answer.waiting_helps) == ("defer", False)
    assert "only node" in answer.reason


def test_a_lone_node_that_a_person_replaces_begins_a_ring_of_its_own() -> None:
    outcome = Scenario(Cassandra, {"nodes": 1}).run()
    assert outcome.declared is not None
    wanted = outcome.declared.members["node-0"]
    replacement = wanted.replacement or wanted.declaration
    assert seeds(replacement) == "{{address.node-0}}:{{port.storage}}"
    assert settings(replacement)["auto_bootstrap"] is False
    assert not [word for word in replacement.command if "replace_address" in word]


def test_who_comes_to_a_ring_that_has_data_bootstraps_one_after_the_other() -> None:
    joining = {
        name: wire.Member(name=name, state="wanted", declared_generation=1, node=name, zone="z", role="joining")
        for name in ("node-3", "node-4")
    }
    outcome = Scenario(Played, {"nodes": 5}, members=joining).run()
    for name in joining:
        found = settings(outcome.task(name))
        assert (found["auto_bootstrap"], found.get("initial_token")) == (True, None)
        assert seeds(outcome.task(name)).startswith("{{address.node-0}}")
    assert outcome.started[-1] == "node-3", "the fifth waits for the fourth"


# -- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", Cassandra.versions())
def test_every_setting_that_is_written_here_is_one_that_the_locked_version_knows(version: str) -> None:
    known = {**facts(version).settings, "num_tokens": {}}
    assert facts(version).version == version
    mode = OLDEST if release(version).modes else ""
    sizing = size_node(640, 2.0, 4096)
    for logins in (True, False):
        text = cassandra_yaml(cluster="c", seeds=("a",), sizing=sizing, tokens=(1, 2), logins=logins, mode=mode)
        for name, value in yaml.safe_load(text).items():
            assert name in known
            jsonschema.validate(value, known[name])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"concurent_reads": 3}, "did you mean 'concurrent_reads'?"),
        ({"concurrent_reads": "many"}, "'many' is not a whole number"),
        ({"commitlog_sync_period": "10"}, "'10' does not match"),
        ({"disk_access_mode": "fast"}, "expected one of auto, direct, legacy, mmap, mmap_index_only, standard"),
        ({"cluster_name": "mine"}, "made here: the service's name"),
        ({"num_tokens": 0}, "0 is less than the minimum of 1"),
    ],
)
def test_a_setting_that_would_end_the_node_at_its_start_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=re.escape(said)):
        check(Cassandra.Options.model_json_schema(), {"settings": given}, noun="option", of="cassandra", where="o")
    with pytest.raises(ValidationError, match=re.escape(said)):
        Cassandra.Options.model_validate({"settings": given})


def test_a_plug_ins_settings_pass_unchecked() -> None:
    task = Scenario(Cassandra, {"unchecked_settings": {"plug_in": {"a": 1}}}, fresh=True).run().task("node-0")
    assert settings(task)["plug_in"] == {"a": 1}


def test_the_number_of_tokens_and_the_tokens_agree() -> None:
    found = settings(Scenario(Cassandra, {"settings": {"num_tokens": 16}}, fresh=True).run().task("node-0"))
    assert (found["num_tokens"], len(found["initial_token"].split(","))) == (16, 16)


def test_nothing_stops_while_data_is_on_its_way() -> None:
    answer = Scenario(Joining, {}, operations=[operation("stop", "node-1")]).run().answer
    assert (answer.verdict, answer.reason) == ("defer", "data is on its way: 127.1.1.4 is BOOT")


def test_a_node_that_died_alone_starts_again_and_one_on_a_silent_node_is_waited_for() -> None:
    for state, said in (("ended", "restart"), ("lost", "wait")):
        lost = Scenario(Played, {}, members={"node-1": state}, operations=[operation("lost", "node-1")])
        assert lost.run().answer.verdict == said


@pytest.mark.parametrize(("ranges", "said"), [([Range("fast", ADDRESSES)], "renew"), ([SINGLE], "defer")])
def test_a_node_that_does_not_come_back_starts_anew_at_its_place_when_ranges_have_majorities_elsewhere(
    ranges: list[Range], said: str
) -> None:
    memory = {"filled": {"node-0": 1}}
    ended = {"node-0": wire.Member(name="node-0", state="ended", incarnation=6, starts=6, address=ADDRESSES[0])}
    ops = [operation("lost", "node-0", id=name) for name in ("op-1", "op-2")]
    answers = Scenario(with_ranges(*ranges), {}, members=ended, operations=ops, memory=memory).run().answers
    assert (answers["op-1"].verdict, answers["op-2"].verdict) == ("restart", said)
    if said == "defer":
        assert not answers["op-2"].waiting_helps
        assert "token ranges have no majority without it: 1 of " in answers["op-2"].reason


def test_a_node_whose_volume_was_emptied_starts_anew_at_its_place_straight_away() -> None:
    said = "not started without what it served with: /x/data has no .upcall-served: it was emptied, or is not mounted"
    for ranges, verdict in (([Range("fast", ADDRESSES)], "renew"), ([SINGLE], "defer")):
        ended = wire.Member(
            name="node-0", state="ended", incarnation=2, address=ADDRESSES[0], exit_reason=said, without_data=True
        )
        lost = Scenario(with_ranges(*ranges), {}, members={"node-0": ended}, operations=[operation("lost", "node-0")])
        answer = lost.run().answer
        assert answer.verdict == verdict
        assert said in answer.reason


def test_the_first_node_asks_the_others_once_it_has_data_or_emptied_it_would_found_another_ring() -> None:
    def seeds(memory: dict[str, Any], member: str, **members: wire.Member) -> str:
        found = settings(Scenario(Played, {}, memory=memory, members=members).run().task(member))
        return str(found["seed_provider"][0]["parameters"][0]["seeds"])

    assert seeds({}, "node-0").count("address") == 1
    filled = {"filled": dict.fromkeys(("node-0", "node-1", "node-2"), 1)}
    assert re.findall(r"address\.(node-\d)", seeds(filled, "node-0")) == ["node-0", "node-1", "node-2"]
    assert re.findall(r"address\.(node-\d)", seeds(filled, "node-1")) == ["node-0"]


async def test_a_node_is_drained_before_it_ends() -> None:
    ran: list[wire.RunTool] = []

    async def runner(tool: wire.RunTool) -> wire.ToolResult:
        ran.append(tool)
        return wire.ToolResult(code=0)

    node = Member("node-0", "node", 0, wire.Member(name="node-0", state="ready"), _runner=runner)
    await Cassandra(Context(name="cassandra", options={})).before_stop(node, operation("stop", "node-0"))
    assert [tool.command[-1] for tool in ran] == ["drain"]


async def test_a_quorum_that_was_lost_since_the_begin_keeps_a_node_from_being_drained() -> None:
    ran: list[wire.RunTool] = []

    async def runner(tool: wire.RunTool) -> wire.ToolResult:
        ran.append(tool)
        return wire.ToolResult(code=0)

    def seen(state: str) -> dict[str, wire.Member]:
        states = dict(zip(("node-0", "node-1", "node-2"), ("ready", state, "ready"), strict=True))
        found = zip(states.items(), ADDRESSES, strict=True)
        return {name: wire.Member(name=name, state=word, address=address) for (name, word), address in found}

    context = Context(name="cassandra", options={}, members=seen("lost"), run_tool=runner)
    service = Played(context)
    before = asyncio.create_task(service.before_stop(service.members["node-0"], operation("stop", "node-0")))
    await asyncio.sleep(0.05)
    assert ran == []
    context.members = seen("ready")
    await before
    assert [tool.command[-1] for tool in ran] == ["drain"]


def test_a_ring_that_does_not_say_what_a_stop_costs_is_asked_again_before_the_drain() -> None:
    ran: list[wire.RunTool] = []

    async def runner(tool: wire.RunTool) -> wire.ToolResult:
        ran.append(tool)
        return wire.ToolResult(code=0)

    class Busy(Cassandra):
        package = "cassandra-busy"
        answers: ClassVar[list[bool | Exception]] = [TimeoutError("no answer"), True, False]

        async def costs_now(self, node: Member) -> bool:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    node = Member("node-0", "node", 0, wire.Member(name="node-0", state="ready"), _runner=runner)
    run(Busy(Context(name="cassandra", options={})).before_stop(node, operation("stop", "node-0")))
    assert Busy.answers == []
    assert [tool.command[-1] for tool in ran] == ["drain"]


def test_the_end_of_a_node_waits_for_its_drain() -> None:
    declared = Scenario(Cassandra, {}, fresh=True).run().declared
    assert declared is not None
    assert declared.policy.before_stop_s == Cassandra.before_stop_s


async def test_more_copies_than_nodes_and_names_that_are_none_are_refused() -> None:
    there = {name: wire.Member(name=name, incarnation=1) for name in ("node-0", "node-1")}
    service = Cassandra(Context(name="cassandra", options={"nodes": 2}, members=there))
    create = action_named(Cassandra, "create-keyspace")
    with pytest.raises(Conflict, match="3 replicas on 2 nodes"):
        await create.call(service, {"name": "k", "replication": 3})
    with pytest.raises(Invalid, match="name"):
        await create.call(service, {"name": 'k"; DROP KEYSPACE x; --'})


async def test_a_ring_of_which_no_node_is_ready_says_so() -> None:
    service = Cassandra(Context(name="cassandra", members={"node-0": wire.Member(name="node-0", state="ended")}))
    with pytest.raises(NotNow, match="no node is ready"):
        await service.keyspaces()
    with pytest.raises(NotNow, match="no node is ready"):
        await service.status()


def test_every_artifact_that_is_declared_is_registered_as_a_blob() -> None:
    task = Scenario(Cassandra, {}, fresh=True).run().task("node-0")
    assert task.artifacts
    assert all(artifact.lock in Cassandra.blobs() for artifact in task.artifacts)


def test_fewer_nodes_than_had_data_are_refused_with_the_ways_out() -> None:
    left = ("node-0", "node-1", "node-2")
    outcome = Scenario(Cassandra, {"nodes": 1}, fresh=True, left_behind=left).run()
    assert outcome.declared is None, "nothing starts"
    plan = outcome.plans["deploy"]
    assert plan.state == "failed"
    assert "data of node-1, node-2 that is kept and that nodes=1 leaves out" in plan.reason
    assert "--set nodes=3" in plan.reason
    assert "--fresh" in plan.reason


def test_a_ring_of_which_only_a_part_is_kept_is_not_begun() -> None:
    kept, lost = ("node-0", "node-2"), ("node-1",)
    outcome = Scenario(Cassandra, {"nodes": 3}, fresh=True, left_behind=kept, lost_behind=lost).run()
    assert outcome.declared is None, "nothing starts"
    reason = outcome.plans["deploy"].reason
    assert "the data of node-1 is gone" in reason
    assert "--fresh" in reason


def test_as_many_nodes_or_more_take_all_back() -> None:
    left = ("node-0", "node-1", "node-2")
    for count in (3, 5):
        outcome = Scenario(Cassandra, {"nodes": count}, fresh=True, left_behind=left).run()
        assert outcome.declared is not None


def test_volumes_of_before_are_not_given_back_to_a_ring_that_has_put_another_in_their_place() -> None:
    for nodes, said in ((1, ("accept", True)), (3, ("defer", False))):
        asked = operation("replace", "node-0", takes_back=True)
        answer = Scenario(Cassandra, {"nodes": nodes}, operations=[asked]).run().answer
        assert (answer.verdict, answer.waiting_helps) == said


@pytest.mark.parametrize("options", [{"settings": {"num_tokens": 4}}, {"client_auth": "none"}])
def test_what_no_ring_can_change_is_declined_with_what_to_do_instead(options: dict[str, Any]) -> None:
    revision = wire.Revision(number=2, version="5.0.9", options=options)
    answer = Scenario(Played, operations=[operation("update", revision=revision)]).run().answer
    assert answer.verdict == "decline"
    assert "is never changed" in answer.reason
    assert answer.reason.endswith("install another one beside it")


async def test_others_follow_a_changed_node_once_nothing_is_on_its_way() -> None:
    for service, word in ((Joining, "defer"), (Played, "accept")):
        names = [f"node-{number}" for number in range(3)]
        seen = {
            name: wire.Member(name=name, state="ready", address=address)
            for name, address in zip(names, ADDRESSES, strict=True)
        }
        ring = service(Context(name="cassandra", members=seen))
        assert (await ring.may_go_on(ring.members["node-2"], operation("update"))).word == word

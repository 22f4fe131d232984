"""Kafka as a service, as pure scenarios: what it declares and what it answers. What the brokers say is given."""

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from upcall.catalog.kafka.options import KafkaOptions
from upcall.catalog.kafka.partitions import Cost, Partition, cost_of_stopping
from upcall.catalog.kafka.service import Kafka, node_id
from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict, NotFound, NotNow
from upcall.service import Member
from upcall.service.actions import action_named
from upcall.service.context import Context
from upcall.testing import Scenario, operation

IDS = {"cluster-id": "b25lYnJva2VyZm9ydGVzdA"}


class Played(Kafka):
    """Kafka with partitions that a test gives."""

    package = "kafka"
    in_sync: ClassVar[tuple[tuple[int, ...], ...]] = ((1, 2, 3),)

    @classmethod
    def describes(cls, *in_sync: tuple[int, ...], **more: object) -> Any:
        return type("Kafka", (cls,), {"in_sync": in_sync, "package": "kafka", **more})

    minimum: ClassVar[int] = 2
    replicas: ClassVar[tuple[int, ...]] = (1, 2, 3)

    async def partitions(self) -> list[Partition]:
        return [Partition("writes", number, self.replicas, each) for number, each in enumerate(self.in_sync)]

    async def cost_of_stopping(self, *without: Member) -> Cost:
        return cost_of_stopping(await self.partitions(), lambda _topic: self.minimum, set(map(node_id, without)))

    async def overrides(self, broker: Member) -> dict[str, str]:
        return {}


class Unreachable(Kafka):
    package = "kafka"

    async def cost_of_stopping(self, *without: Member) -> Cost:
        raise TimeoutError("no broker answers")


def verdict(
    service: type[Kafka], member: str = "broker-1", *, options: dict[str, object] | None = None, **more: object
) -> wire.Answer:
    return Scenario(service, options or {}, operations=[operation("stop", member)], memory=IDS, **more).run().answer  # type: ignore[arg-type]


def test_all_brokers_start_together_or_a_quorum_never_forms() -> None:
    outcome = Scenario(Kafka, {"brokers": 3}, fresh=True).run()
    assert outcome.started == ["broker-0", "broker-1", "broker-2"]
    assert outcome.declared is not None
    assert outcome.declared.policy.minimum == 2
    assert outcome.declared.policy.silence == "hold"
    assert [(endpoint.name, endpoint.user) for endpoint in outcome.endpoints] == [
        ("client", "client"),
        ("admin", "admin"),
    ]


def test_the_clusters_id_is_made_once_and_kept() -> None:
    first = Scenario(Kafka, {"brokers": 1}, fresh=True).run()
    again = Scenario(Kafka, {"brokers": 1}, memory=first.memory, fresh=True).run()
    assert again.memory == first.memory
    assert again.task("broker-0").prepare == first.task("broker-0").prepare


def test_at_a_new_place_a_broker_joins_the_quorum_that_is_there() -> None:
    outcome = Scenario(Kafka, {}, memory=IDS).run()
    assert outcome.declared is not None
    wanted = outcome.declared.members["broker-1"]
    assert wanted.replacement is not None
    assert "--initial-controllers" in wanted.declaration.prepare[0]
    assert "--no-initial-controllers" in wanted.replacement.prepare[0]
    properties = [
        next(file.text for file in task.files if file.path == "server.properties")
        for task in (wanted.declaration, wanted.replacement)
    ]
    assert properties[0] == properties[1], "the same node id and everything else"
    assert "node.id=2\n" in properties[0]


def test_who_connects_logs_in_unless_an_option_says_else() -> None:
    for options, asks in (({}, True), ({"client_auth": "none"}, False)):
        outcome = Scenario(Kafka, options, fresh=True).run()
        task = outcome.task("broker-0")
        properties = next(file.text for file in task.files if file.path == "server.properties")
        assert ("CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT\n" in properties) == asks
        assert bool(task.secrets) == asks
        assert all(bool(endpoint.user and endpoint.secret) == asks for endpoint in outcome.endpoints)


def test_passwords_stand_in_files_of_their_own_and_the_controllers_know_one_user() -> None:
    task = Scenario(Kafka, {}, fresh=True).run().task("broker-0")
    assert {secret.ref for secret in task.secrets} == {
        "generated:kafka.admin|password={}",
        "generated:kafka.client|password={}",
    }
    properties = next(file.text for file in task.files if file.path == "server.properties")
    entries = dict(line.split("=", 1) for line in properties.splitlines() if "jaas" in line)
    users = {name.split(".")[2]: entry.count("user_") for name, entry in entries.items() if name.startswith("listener")}
    assert users == {"client": 2, "controller": 1}
    assert all(
        word.startswith('="${file:{{secret.') for word in re.findall(r'(?:password|user_\w+)(="[^"]*)', properties)
    )


def test_a_stop_is_accepted_while_every_partition_keeps_its_minimum() -> None:
    assert verdict(Played).verdict == "accept"


def test_a_stop_is_deferred_by_the_name_of_what_would_be_at_risk() -> None:
    one = verdict(Played.describes((1, 2, 3), (1, 2)))
    assert one.verdict == "defer"
    assert one.reason == "1 partition would fall below min.insync.replicas (writes-1)"
    many = verdict(Played.describes(*[(1, 2)] * 5))
    assert many.reason == "5 partitions would fall below min.insync.replicas (writes-0, writes-1, writes-2 ...)"


def test_a_stop_that_would_take_the_controllers_majority_is_deferred() -> None:
    """No partition says so: there may be none, or all of their replicas are elsewhere."""
    answer = verdict(Played.describes(), members={"broker-2": "ended"})
    assert (answer.verdict, answer.reason) == ("defer", "1 of 2 other controllers ready, a majority needs 2")


class Spread(Played):
    """Six brokers in three zones; each partition has a copy in each zone."""

    package = "kafka"
    copies: ClassVar[tuple[tuple[int, ...], ...]] = ((1, 2, 3), (4, 5, 6), (1, 5, 3))

    async def partitions(self) -> list[Partition]:
        given = zip(self.copies, self.in_sync or self.copies, strict=True)
        return [Partition("writes", number, copies, in_sync) for number, (copies, in_sync) in enumerate(given)]


def of_a_zone(service: type[Spread], *members: str, **more: object) -> dict[str, wire.Answer]:
    stops = [operation("stop", member, parent="op-1") for member in members]
    voters = quorum_tool(1, 2, 3, 4, 5)
    found = Scenario(service, {"brokers": 6}, operations=stops, memory=IDS, tool=voters, **more).run()  # type: ignore[arg-type]
    assert found.declared is not None
    assert found.declared.policy.minimum == 4, "two of six in a zone, and four of six controllers are a majority"
    return {name.removeprefix("stop-"): answer for name, answer in found.answers.items()}


def test_all_brokers_of_a_zone_may_go_in_one_answer() -> None:
    answers = of_a_zone(Spread.describes(), "broker-0", "broker-3")
    assert [answer.verdict for answer in answers.values()] == ["accept", "accept"]


def test_of_a_zone_that_cannot_go_as_a_whole_goes_who_may() -> None:
    """broker-3 is one of the only two that are in sync in a partition, for now: it does not go, and broker-0 does."""
    behind = ((1, 2, 3), (4, 6), (1, 5, 3))
    answers = of_a_zone(Spread.describes(*behind), "broker-0", "broker-3")
    assert (answers["broker-0"].verdict, answers["broker-3"].verdict) == ("accept", "defer")


def test_a_zone_and_one_that_is_away_already_are_no_majority() -> None:
    answers = of_a_zone(Spread.describes(), "broker-0", "broker-3", members={"broker-1": "ended"})
    assert (answers["broker-0"].verdict, answers["broker-3"].verdict) == ("accept", "defer")


def test_stops_of_two_maintenances_are_not_taken_as_one() -> None:
    stops = [operation("stop", "broker-0", parent="op-1"), operation("stop", "broker-3", parent="op-2")]
    voters = quorum_tool(1, 2, 3, 4, 5)
    found = Scenario(Spread.describes(), {"brokers": 6}, operations=stops, memory=IDS, tool=voters).run()
    assert [found.answers[each.id].verdict for each in stops] == ["accept", "defer"]


def test_a_few_brokers_keep_the_minimum_of_a_stranger() -> None:
    for brokers, nodes, minimum in ((1, 3, 0), (3, 3, 2), (4, 3, 3), (5, 3, 3), (9, 3, 6), (6, 2, 5), (6, 1, 5)):
        declared = Scenario(Kafka, {"brokers": brokers}, nodes=nodes, fresh=True).run().declared
        assert declared is not None
        assert declared.policy.minimum == minimum, f"{brokers} brokers in {nodes} zones"


def alone(*replicas: int, minimum: int = 1) -> type[Played]:
    """One topic with these replicas, all in sync."""
    return Played.describes(replicas, replicas=replicas, minimum=minimum)  # type: ignore[no-any-return]


def test_where_no_waiting_helps_the_answer_says_so_and_names_the_action_that_does() -> None:
    for service, copies in ((alone(1), 2), (alone(1, minimum=2), 3), (alone(1, 2, minimum=2), 3)):
        answer = verdict(service, "broker-0")
        assert (answer.verdict, answer.waiting_helps) == ("defer", False)
        assert answer.reason == "1 partition with too few replicas to spare a broker (writes-0)"
        (way,) = answer.would_help
        assert (way.action, way.arguments) == ("raise-replication", {"topic": "writes", "replicas": copies})
    (impossible,) = verdict(alone(1, 2, 3, minimum=3), "broker-0").would_help
    assert impossible.action == ""
    assert "lower min.insync.replicas of writes" in impossible.does


@pytest.mark.parametrize(("others", "helps"), [((), False), ((4,), True)])
def test_a_machine_with_two_brokers_is_not_waited_for_where_what_waits_holds_the_other(
    others: tuple[int, ...], helps: bool
) -> None:
    """Brokers 1 and 2 are on one machine: with a replica on each of three machines waiting helps, with two not."""
    members = {
        "broker-0": wire.Member(name="broker-0", state="held", declared_generation=1, node="one"),
        "broker-1": wire.Member(name="broker-1", state="ready", declared_generation=1, node="one"),
    }
    stop = operation("stop", "broker-1", parent="op-1", node="one")

    class Four(Played.describes((2, 3), replicas=(2, 3, *(others or (1,))))):  # type: ignore[misc]
        package = "kafka"

        async def voting(self) -> frozenset[int]:
            return frozenset({1, 3, 4})

    asked = Scenario(Four, {"brokers": 4, "per_node": 2}, members=members, operations=[stop], memory=IDS)
    answer = asked.run().answer
    assert (answer.verdict, answer.waiting_helps) == ("defer", helps)
    assert ("; broker-0 is held by the same drain" in answer.reason) is not helps


def test_an_option_lets_topics_get_another_replica_first() -> None:
    outcome = Scenario(
        alone(1), {"few_replicas": "raise"}, operations=[operation("stop", "broker-0")], memory=IDS
    ).run()
    assert outcome.answer.waiting_helps
    assert outcome.answer.reason.endswith("they get another one first")
    (tool,) = outcome.tools
    assert any("ReassignPartitionsCommand" in word for word in tool.command)
    assert '"replicas": [1, 2]' in tool.input


def test_a_single_broker_is_restarted_by_consent_and_says_what_its_stop_would_take() -> None:
    one = {"brokers": 1}
    restarts = Scenario(alone(1), one, operations=[operation("restart", "broker-0")], memory=IDS).run().answer
    assert restarts.verdict == "accept"
    stop = Scenario(alone(1), one, operations=[operation("stop", "broker-0")], memory=IDS).run().answer
    assert not stop.waiting_helps
    assert "there is one broker" in stop.reason
    assert "--on-deadline proceed" in stop.would_help[0].does
    empty = Scenario(Played.describes(), one, operations=[operation("stop", "broker-0")], memory=IDS).run().answer
    assert empty.verdict == "accept"


def test_a_single_broker_is_never_given_up_for_an_empty_one() -> None:
    for kind in ("replace", "move"):
        ask = Scenario(Played, {"brokers": 1}, operations=[operation(kind, "broker-0")], memory=IDS).run().answer
        assert (ask.verdict, ask.waiting_helps) == ("defer", False)


def test_a_single_broker_comes_back_with_what_it_had_before() -> None:
    asked = operation("replace", "broker-0", takes_back=True)
    assert Scenario(Played, {"brokers": 1}, operations=[asked], memory=IDS).run().answer.verdict == "accept"


def test_a_broker_that_is_in_no_in_sync_set_may_be_restarted() -> None:
    members = {"broker-0": "unready", "broker-2": "ended"}
    answer = (
        Scenario(
            Played.describes((2,)),
            {"brokers": 5},
            members=members,
            operations=[operation("restart", "broker-0")],
            memory=IDS,
            tool=quorum_tool(1, 2, 3, 4, 5),
        )
        .run()
        .answer
    )
    assert answer.verdict == "accept"


def quorum_tool(*voters: int) -> Callable[[wire.RunTool], wire.ToolResult]:
    def tool(run: wire.RunTool) -> wire.ToolResult:
        if "describe" in run.command:
            listed = ", ".join(f'{{"id":{voter},"directoryId":"old"}}' for voter in voters)
            return wire.ToolResult(code=0, output=f"CurrentVoters: [{listed}]\n")
        if run.command[0] == "cat":
            return wire.ToolResult(code=0, output="directory.id=new\n")
        return wire.ToolResult(code=1, error="TimeoutException")

    return tool


def at(name: str, **more: object) -> wire.Member:
    given: dict[str, object] = {"state": "ready", "incarnation": 2, "starts": 1, "declared_generation": 1}
    return wire.Member(name=name, node="node-2", zone="zone-2", address="127.1.1.9", **{**given, **more})  # type: ignore[arg-type]


def test_beside_a_broker_that_is_away_one_of_its_zone_is_changed_first() -> None:
    """They share no partition, so it waits for nobody; but one that does not come up goes before all others."""

    def first(**states: str) -> str:
        service = Kafka(Context(name="kafka", options={"brokers": 6}))
        service._context.members = {
            f"broker-{number}": wire.Member(
                name=f"broker-{number}",
                node=f"node-{number}",
                zone="abc"[number % 3],
                state=states.get(f"b{number}", "ready"),
                back=f"b{number}" not in states,
            )
            for number in range(6)
        }
        fit = [member for member in service.members.values() if member.state != "lost"]
        return service.canary(fit).name

    assert first() == "broker-5"
    assert first(b0="lost") == "broker-3"
    assert first(b4="lost") == "broker-1"
    assert first(b0="lost", b2="ended") == "broker-2"


def test_a_replaced_broker_does_not_count_for_the_majority_until_it_has_its_vote() -> None:
    replaced = {"broker-1": at("broker-1", place=2, role="replacing", back=False)}
    answer = verdict(Played.describes(), "broker-0", members=replaced, tool=quorum_tool(1, 2, 3))
    assert (answer.verdict, answer.reason) == ("defer", "1 of 2 other controllers ready, a majority needs 2")


def test_voters_are_counted_from_the_quorum_not_from_options() -> None:
    later = {name: at(name, role="joining") for name in ("broker-3", "broker-4")}
    away = {"broker-1": "ended", **later}
    answer = verdict(Played.describes(), "broker-0", options={"brokers": 5}, members=away, tool=quorum_tool(1, 2, 3))
    assert (answer.verdict, answer.reason) == ("defer", "1 of 2 other controllers ready, a majority needs 2")
    joined = verdict(
        Played.describes(), "broker-0", options={"brokers": 5}, members=away, tool=quorum_tool(1, 2, 3, 4, 5)
    )
    assert joined.verdict == "accept"


def test_a_broker_that_comes_later_joins_the_quorum_and_the_first_ones_found_it() -> None:
    outcome = Scenario(Played, {"brokers": 5}, members={"broker-3": at("broker-3", role="joining")}, memory=IDS).run()
    assert "--no-initial-controllers" in outcome.task("broker-3").prepare[0]
    founding = outcome.task("broker-0").prepare[0]
    listed = founding[founding.index("--initial-controllers") + 1]
    assert [voter.partition("@")[0] for voter in listed.split(",")] == ["1", "2", "3"]


def lost(service: type[Kafka], options: dict[str, object], *names: str) -> dict[str, wire.Answer]:
    asked = [operation("lost", name, klass="involuntary") for name in names]
    members = dict.fromkeys(names, "lost")
    return dict(Scenario(service, options, members=members, operations=asked, memory=IDS).run().answers)


def test_what_is_lost_gives_its_volume_up_only_when_the_others_have_it_all_and_agree() -> None:
    both = lost(Played.describes((1,)), {}, "broker-1", "broker-2")
    assert {answer.waiting_helps for answer in both.values()} == {False}
    assert all("majority of the controllers" in answer.reason for answer in both.values())
    only = lost(Played.describes((2,)), {}, "broker-1")["lost-broker-1"]
    assert only.reason == "1 partition would be gone: nobody else is in sync (writes-0)"
    alone = lost(Played, {"brokers": 1}, "broker-0")["lost-broker-0"]
    assert (alone.verdict, alone.waiting_helps) == ("defer", False)
    assert "only broker" in alone.reason
    assert lost(Played, {}, "broker-1")["lost-broker-1"].verdict == "wait"


def test_a_lone_broker_that_a_person_gave_up_begins_anew() -> None:
    outcome = Scenario(Played, {"brokers": 1}, memory=IDS).run()
    assert outcome.declared is not None
    wanted = outcome.declared.members["broker-0"]
    assert "--initial-controllers" in (wanted.replacement or wanted.declaration).prepare[0]


async def test_a_broker_that_does_not_come_back_starts_anew_at_its_place_when_the_others_have_all_of_it() -> None:
    """Its volume's content is gone, or broken: starting it again never helps."""
    for in_sync, said in (((1, 3), "renew"), ((2,), "defer")):
        service = Played.describes(in_sync)(context_with("broker-1", "ended"))
        first, second = (operation("lost", "broker-1", id=name) for name in ("op-1", "op-2"))
        broker = service.members["broker-1"]
        assert (await service.on_lost(broker, first)).word == "restart"
        assert (await service.on_lost(broker, first)).word == "restart", "the same loss, asked again"
        assert (await service.on_lost(broker, second)).word == said
        await service.after_ready(broker)
        assert (await service.on_lost(broker, second)).word == "restart", "it was back meanwhile"


def context_with(name: str, state: str) -> Context:
    names = ("broker-0", "broker-1", "broker-2")
    members = {each: wire.Member(name=each, state=state if each == name else "ready", incarnation=1) for each in names}
    return Context(name="kafka", options={}, members=members)


def test_of_two_stops_at_once_one_is_accepted_and_the_other_comes_after_it() -> None:
    both = [operation("stop", "broker-0"), operation("stop", "broker-1")]
    answers = Scenario(Played, {}, operations=both, memory=IDS).run().answers
    assert answers["stop-broker-0"].verdict == "accept"
    assert (answers["stop-broker-1"].verdict, answers["stop-broker-1"].reason) == ("defer", "after stop of broker-0")


def test_kafka_that_cannot_be_asked_gives_no_answer() -> None:
    assert Scenario(Unreachable, {}, operations=[operation("stop", "broker-0")], memory=IDS).run().answers == {}


def test_a_broker_that_died_alone_starts_again_and_one_on_a_silent_node_is_waited_for() -> None:
    for state, said in (("ended", "restart"), ("lost", "wait")):
        lost = Scenario(Played, {}, members={"broker-1": state}, operations=[operation("lost", "broker-1")], memory=IDS)
        assert lost.run().answer.verdict == said


async def test_a_broker_at_its_first_place_votes_already_and_a_replaced_one_needs_another_to_join() -> None:
    there = {name: wire.Member(name=name, incarnation=1) for name in ("broker-0", "broker-1", "broker-2")}
    service = Played(Context(name="kafka", options={}, members=there))
    first = Member("broker-0", "broker", 0, wire.Member(name="broker-0", state="ready", place=1))
    await service.after_ready(first)
    replaced = Member("broker-0", "broker", 0, wire.Member(name="broker-0", state="ready", place=2))
    with pytest.raises(NotNow, match="no other broker is ready"):
        await service.after_ready(replaced)


async def test_a_topic_with_more_copies_than_brokers_is_refused() -> None:
    there = {"broker-0": wire.Member(name="broker-0", incarnation=1)}
    service = Kafka(Context(name="kafka", options={"brokers": 1}, members=there))
    with pytest.raises(Conflict, match="3 replicas on 1 brokers"):
        await action_named(Kafka, "create-topic").call(service, {"name": "t", "replication": 3})


class WithOrders(Played):
    """A Kafka that has one topic."""

    async def ask(self, question: Any) -> Any:
        there = {"topic": "orders", "partitions": 8, "replication": 3, "out_of_sync": 0}
        return question(SimpleNamespace(create_topic=lambda name, *_: name != "orders", topics=lambda **_: [there]))


async def test_a_topic_that_exists_is_told_as_it_is_and_not_as_it_was_asked_for() -> None:
    there = {name: wire.Member(name=name, incarnation=1) for name in ("broker-0", "broker-1", "broker-2")}
    service = WithOrders(Context(name="kafka", options={}, members=there))
    create = action_named(Kafka, "create-topic")
    found = await create.call(service, {"name": "orders", "partitions": 12, "replication": 1})
    assert (found["partitions"], found["replication"], found["created"]) == (8, 3, False)
    assert "left as it is" in found["said"]
    made = await create.call(service, {"name": "new", "partitions": 12, "replication": 1})
    assert made == {"topic": "new", "partitions": 12, "replication": 1, "created": True}


def test_two_brokers_are_refused_with_what_would_be_right() -> None:
    with pytest.raises(ValidationError, match="take 1, or 3 and more"):
        KafkaOptions(brokers=2)
    barred = KafkaOptions.model_json_schema()["properties"]["brokers"]["not"]
    assert barred == {"const": 2, "description": "two have no majority without each other"}


def test_every_artifact_that_is_declared_is_registered_as_a_blob() -> None:
    task = Scenario(Kafka, {}, fresh=True).run().task("broker-0")
    assert task.artifacts
    assert all(artifact.lock in Kafka.blobs() for artifact in task.artifacts)


def test_a_write_waits_shortly_for_a_follower_that_has_not_heard_of_its_new_leader() -> None:
    task = Scenario(Kafka, {}, fresh=True).run().task("broker-0")
    properties = next(file.text for file in task.files if file.path == "server.properties")
    waits = dict(re.findall(r"^(replica\.fetch\.(?:backoff|wait\.max))\.ms=(\d+)$", properties, re.MULTILINE))
    assert all(int(wait) <= 50 for wait in waits.values())
    assert set(waits) == {"replica.fetch.backoff", "replica.fetch.wait.max"}
    assert "\ncontroller.quorum.append.linger.ms=5\n" in properties
    assert "\ninitial.broker.registration.timeout.ms=1800000\n" in properties


async def test_what_is_watched_changes_when_a_replica_is_in_sync_again_and_at_no_other_time() -> None:
    service = Played.describes((1, 2), (1, 2, 3))(context_with("broker-2", "starting"))
    before = await service.watched()
    service._look_again_s = 0.0
    assert await service.watched() == before
    service.in_sync = ((1, 2, 3), (1, 2, 3))
    service._look_again_s = 0.0
    assert await service.watched() == frozenset() != before


def test_a_second_drain_goes_ahead_within_a_second_of_the_last_partition_in_sync() -> None:
    class CatchesUp(Played):
        package = "kafka"
        looks = 0

        async def partitions(self) -> list[Partition]:
            type(self).looks += 1
            behind = self.looks < 4
            return [Partition("writes", 0, (1, 2, 3), (1, 2) if behind else (1, 2, 3))]

    asked = [operation("stop", "broker-1")]
    answers = Scenario(CatchesUp, {}, operations=asked, memory=IDS).run(for_s=3.0).answers
    assert answers["stop-broker-1"].verdict == "accept", "far within the five seconds after which it is asked anyway"


def test_fewer_brokers_than_had_data_are_refused_with_the_ways_out() -> None:
    left = ("broker-0", "broker-1", "broker-2")
    outcome = Scenario(Kafka, {"brokers": 1}, fresh=True, left_behind=left).run()
    assert outcome.declared is None, "nothing starts"
    plan = outcome.plans["deploy"]
    assert plan.state == "failed"
    assert "data of broker-1, broker-2 that is kept and that brokers=1 leaves out" in plan.reason
    assert "--set brokers=3" in plan.reason
    assert "--fresh" in plan.reason


def test_with_the_volumes_of_a_minority_no_quorum_is_begun_beside_the_one_that_was() -> None:
    kept, lost = ("broker-1",), ("broker-0", "broker-2")
    outcome = Scenario(Kafka, {"brokers": 3}, fresh=True, left_behind=kept, lost_behind=lost).run()
    assert outcome.declared is None, "nothing starts"
    reason = outcome.plans["deploy"].reason
    assert "was there before with 3 members, and the data of broker-0, broker-2 is gone" in reason
    assert "what is kept of broker-1 alone" in reason
    assert "--fresh" in reason


def test_what_a_majority_has_kept_is_enough() -> None:
    kept, lost = ("broker-0", "broker-2"), ("broker-1",)
    outcome = Scenario(Kafka, {"brokers": 3}, fresh=True, left_behind=kept, lost_behind=lost).run()
    assert outcome.declared is not None


def test_as_many_brokers_or_more_take_all_back() -> None:
    left = ("broker-0", "broker-1", "broker-2")
    for count in (3, 5):
        outcome = Scenario(Kafka, {"brokers": count}, fresh=True, left_behind=left).run()
        assert outcome.declared is not None


def update_of(service: type[Kafka], **options: object) -> wire.Answer:
    revision = wire.Revision(number=2, version="4.3.1", options=dict(options))
    return Scenario(service, operations=[operation("update", revision=revision)], memory=IDS).run().answer


def test_more_memory_is_an_update_that_is_agreed_to() -> None:
    assert update_of(Played, memory_mib=512).verdict == "accept"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"client_auth": "none"}, "client_auth is never changed: brokers that ask"),
        ({"settings": {"offsets.topic.num.partitions": 8}}, "settings.offsets.topic.num.partitions is never changed"),
        ({"settings": {"num.io.threadz": 8}}, "did you mean 'num.io.threads'?"),
    ],
)
def test_what_no_running_cluster_can_change_is_declined_with_what_to_do_instead(
    options: dict[str, object], said: str
) -> None:
    answer = update_of(Played, **options)
    assert answer.verdict == "decline"
    assert said in answer.reason


async def test_others_follow_once_the_changed_broker_is_in_sync_again() -> None:
    for in_sync, word in (((1, 2), "defer"), ((1, 3), "accept")):
        service = Played.describes(in_sync)(Context(name="kafka"))
        canary = Member("broker-2", index=2)
        assert (await service.may_go_on(canary, operation("update"))).word == word


class Holding(Kafka):
    package = "kafka"

    async def topics(self, settings: bool = False) -> list[dict[str, Any]]:
        return [{"topic": "orders", "partitions": 8}]


@pytest.mark.parametrize(
    ("action", "arguments", "said"),
    [
        ("change-topic", {"name": "orders", "partitions": 3}, "orders has 8 partitions, and they never become fewer"),
        ("change-topic", {"name": "orders", "replication": 4}, "4 replicas on 3 brokers"),
        ("change-topic", {"name": "order", "partitions": 9}, "no topic 'order'"),
        ("create-topic", {"name": "new", "replication": 4}, "4 replicas on 3 brokers"),
    ],
)
async def test_what_a_topic_cannot_be_is_said_before_anything_is_begun(
    action: str, arguments: dict[str, Any], said: str
) -> None:
    service = Holding(Context(name="kafka", options={"brokers": 3}))
    known = action_named(Holding, action)
    with pytest.raises((Conflict, NotFound), match=re.escape(said)):
        await known.judge(service, arguments)
    service.options = KafkaOptions(brokers=4)
    await known.judge(service, {"name": "orders", "partitions": 8, "replication": 4})

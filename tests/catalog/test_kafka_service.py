"""Kafka as a service, as pure scenarios: what it declares and what it answers. What the brokers say is given."""

import re
from typing import ClassVar

import pytest
from pydantic import ValidationError

from upcall.catalog.kafka.options import KafkaOptions
from upcall.catalog.kafka.partitions import Partition, at_risk
from upcall.catalog.kafka.service import Kafka, node_id
from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict, NotNow
from upcall.service import Member
from upcall.service.actions import action_named
from upcall.service.context import Context
from upcall.service.testing import Scenario, operation

IDS = {"cluster-id": "b25lYnJva2VyZm9ydGVzdA"}


class Played(Kafka):
    """Kafka with partitions that a test gives."""

    package = "kafka"
    in_sync: ClassVar[tuple[tuple[int, ...], ...]] = ((1, 2, 3),)

    @classmethod
    def describes(cls, *in_sync: tuple[int, ...]) -> "type[Played]":
        return type("Kafka", (cls,), {"in_sync": in_sync, "package": "kafka"})

    async def at_risk(self, without: Member) -> list[Partition]:
        partitions = [Partition("writes", number, (1, 2, 3), each) for number, each in enumerate(self.in_sync)]
        return at_risk(partitions, lambda _topic: 2, node_id(without))


class Unreachable(Kafka):
    package = "kafka"

    async def at_risk(self, without: Member) -> list[Partition]:
        raise TimeoutError("no broker answers")


def verdict(service: type[Kafka], member: str = "broker-1", **more: object) -> wire.Answer:
    return Scenario(service, {}, operations=[operation("stop", member)], memory=IDS, **more).run().answer  # type: ignore[arg-type]


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
    service = Kafka(Context(name="kafka", options={}))
    first = Member("broker-0", "broker", 0, wire.Member(name="broker-0", state="ready", place=1))
    await service.after_ready(first)
    replaced = Member("broker-0", "broker", 0, wire.Member(name="broker-0", state="ready", place=2))
    with pytest.raises(NotNow, match="no other broker is ready"):
        await service.after_ready(replaced)


async def test_a_topic_with_more_copies_than_brokers_is_refused() -> None:
    service = Kafka(Context(name="kafka", options={"brokers": 1}))
    with pytest.raises(Conflict, match="3 replicas on 1 brokers"):
        await action_named(Kafka, "create-topic").call(service, {"name": "t", "replication": 3})


def test_two_brokers_are_refused_with_what_would_be_right() -> None:
    with pytest.raises(ValidationError, match="take 1, or 3 and more"):
        KafkaOptions(brokers=2)
    assert KafkaOptions.model_json_schema()["properties"]["brokers"]["not"] == {"const": 2}


def test_every_artifact_that_is_declared_is_registered_as_a_blob() -> None:
    task = Scenario(Kafka, {}, fresh=True).run().task("broker-0")
    assert task.artifacts
    assert all(artifact.lock in Kafka.blobs() for artifact in task.artifacts)

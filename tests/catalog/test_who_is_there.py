"""Options say how many are wanted: copies go to those that are there, while others still come or already leave."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from upcall.catalog.cassandra.ranges import Cost as RingCost
from upcall.catalog.cassandra.service import Cassandra
from upcall.catalog.kafka.partitions import Cost, Partition
from upcall.catalog.kafka.service import Kafka
from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict
from upcall.service import Member, Service
from upcall.service.actions import action_named
from upcall.service.context import Context
from upcall.testing import operation

WANTED, THERE = 5, 3


class PlayedKafka(Kafka):
    """Answers that it made whatever it was asked for."""

    package = "kafka"

    async def ask(self, question: Callable[[Any], Any], *, once: bool = False) -> Any:
        return True


class PlayedCassandra(Cassandra):
    package = "cassandra"

    async def ask(self, question: Callable[[Any], Any], *, once: bool = False) -> Any:
        return None


def seen(pod: str, *, started: int, wanted: int = 0) -> dict[str, wire.Member]:
    names = [f"{pod}-{number}" for number in range(max(started, wanted))]
    return {
        name: wire.Member(name=name, state="ready", incarnation=1, starts=1)
        if number < started
        else wire.Member(name=name)
        for number, name in enumerate(names)
    }


def coming(service: type[Service], option: str, pod: str) -> Any:
    """Two more are wanted than were ever started."""
    return service(Context(name="x", options={option: WANTED}, members=seen(pod, started=THERE, wanted=WANTED)))


def leaving(service: type[Service], option: str, pod: str) -> Any:
    """Two more are there than are wanted."""
    return service(Context(name="x", options={option: THERE}, members=seen(pod, started=WANTED)))


@pytest.mark.parametrize("world", [coming, leaving])
async def test_a_topic_gets_no_more_replicas_than_brokers_are_there_and_stay(world: Callable[..., Any]) -> None:
    kafka = world(PlayedKafka, "brokers", "broker")
    create = action_named(Kafka, "create-topic")
    with pytest.raises(Conflict, match="4 replicas on 3 brokers"):
        await create.call(kafka, {"name": "x", "replication": 4})
    assert (await create.call(kafka, {"name": "x"}))["replication"] == 3


@pytest.mark.parametrize("world", [coming, leaving])
async def test_a_keyspace_gets_no_more_copies_than_nodes_are_there_and_stay(world: Callable[..., Any]) -> None:
    cassandra = world(PlayedCassandra, "nodes", "node")
    with pytest.raises(Conflict, match="4 replicas on 3 nodes"):
        await action_named(Cassandra, "create-keyspace").call(cassandra, {"name": "x", "replication": 4})
    with pytest.raises(Conflict, match="4 replicas on 3 nodes"):
        await action_named(Cassandra, "set-replication").call(cassandra, {"keyspace": "x", "replication": 4})


async def test_no_way_out_is_named_that_needs_a_broker_who_is_not_there() -> None:
    kafka = coming(PlayedKafka, "brokers", "broker")
    partition = Partition("x", 0, (1, 2, 3), (1, 2, 3))
    (way,) = kafka._too_few_replicas(Cost(always=[partition], wanted={"x": 4})).would_help
    assert way.action == ""
    assert "add brokers" in way.does


async def test_what_leaves_goes_to_brokers_that_are_there() -> None:
    kafka = coming(PlayedKafka, "brokers", "broker")
    assert kafka._staying(kafka.members["broker-2"], operation("scale_in", "broker-2")) == [1, 2]


async def test_a_ring_of_which_two_are_there_has_no_room_for_a_third_copy() -> None:
    cassandra = PlayedCassandra(Context(name="x", options={"nodes": 3}, members=seen("node", started=2, wanted=3)))
    cost = RingCost(always=Counter(fast=1))
    assert "a ring of 2 has no room" in cassandra._too_few_copies(cost).reason


async def test_a_broker_gets_a_vote_by_how_many_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fourth of five has none while the fifth has no place: an even number would agree no sooner."""
    joined: list[str] = []

    async def join(broker: Member, node_id: int, beside: Member) -> str:
        joined.append(broker.name)
        return "it votes"

    monkeypatch.setattr("upcall.catalog.kafka.quorum.join", join)
    for started, votes in ((4, []), (5, ["broker-4"])):
        members = seen("broker", started=started, wanted=WANTED)
        kafka = PlayedKafka(Context(name="x", options={"brokers": WANTED}, members=members))
        monkeypatch.setattr(kafka, "forget_live", _nothing)
        await kafka.after_ready(kafka.members[f"broker-{started - 1}"])
        assert joined == votes


async def _nothing(_broker: Member) -> None:
    return None

"""Real brokers come and leave while an open loop of writes goes on: replicas are moved and confirmed, nothing is lost.

The tests of this module follow each other on one cluster.
"""

import os
import signal
from collections import Counter
from typing import Any

import pytest
from benchmarks.load import PAYLOAD
from confluent_kafka.admin import ConfigResource, ResourceType
from real_cluster import Cluster
from real_kafka import TOPIC, admin, all_in_sync, client, replicas, settings, update
from real_members import WAIT_S, Begin, act, incarnations

from upcall.protocol.operator import Ask, OperationView, Update

pytestmark = [pytest.mark.real, pytest.mark.in_order, pytest.mark.long, pytest.mark.usefixtures("phase")]

BROKERS = ("kafka.broker-0", "kafka.broker-1", "kafka.broker-2")
FOURTH = "kafka.broker-3"
PARTITIONS = 8


@pytest.fixture(scope="module")
def kafka(begin: Begin) -> Cluster:
    cluster = begin("kafka", "--set", "brokers=3", nodes=4, memory_mib_per_node=640)
    cluster.until_ready(*BROKERS, wait_s=WAIT_S)
    cluster.upcall("service", "do", "kafka", "create-topic", f"name={TOPIC}", f"partitions={PARTITIONS}")
    return cluster


def begin_update(cluster: Cluster, **options: Any) -> OperationView:
    return cluster.client.operation_of("/v1/services/kafka/update", Update(set=options))


def held(cluster: Cluster) -> Counter[int]:
    """Broker -> how many replicas it has, of all topics."""
    return Counter(broker for each in replicas(cluster).values() for broker in each)


def even(cluster: Cluster) -> bool:
    """Each partition has a replica in each of three zones; the fourth broker shares them with the one of its zone."""
    zones = {node.name: node.zone for node in cluster.client.nodes()}
    by_zone: dict[str, list[int]] = {}
    for broker, count in held(cluster).items():
        by_zone.setdefault(zones[cluster.task(f"kafka.broker-{broker - 1}").node], []).append(count)
    return len(held(cluster)) == 4 and all(max(each) - min(each) <= 1 for each in by_zone.values())


def votes(cluster: Cluster) -> set[int]:
    return {each["node_id"] for each in act(cluster, "kafka", "voters")}


def throttled(cluster: Cluster) -> dict[str, str]:
    """What of moves still stands at topics and brokers."""
    asking = admin(cluster)
    (asked,) = asking.describe_configs([ConfigResource(ResourceType.TOPIC, TOPIC)], request_timeout=30).values()
    found = {name: entry.value for name, entry in asked.result(30).items() if "throttled" in name and entry.value}
    for node in (1, 2, 3):
        found |= {
            name: entry.value for name, entry in settings(cluster, node).items() if name.endswith("throttled.rate")
        }
    return found


def until_leaving(cluster: Cluster) -> OperationView:
    """Until the fourth broker's replicas are being moved."""

    def look() -> OperationView | None:
        found = [each for each in cluster.client.operations() if each.kind == "scale_in"]
        return next((each for each in found if each.state == "preparing"), None)

    found = cluster.until("broker-3 leaves", look, WAIT_S)
    assert found is not None
    cluster.until("its replicas move", lambda: throttled(cluster), WAIT_S)
    return found


def until_over(cluster: Cluster, operation: OperationView, state: str = "done") -> None:
    ends = ("done", "failed", "declined", "withdrawn")
    cluster.until(f"{operation.id} is over", lambda: cluster.client.operation(operation.id).state in ends, WAIT_S)
    assert cluster.client.operation(operation.id).state == state, cluster.client.why(operation.id)


def test_a_broker_that_comes_restarts_nobody_and_gets_its_share(kafka: Cluster) -> None:
    first = incarnations(kafka, *BROKERS)
    update(kafka, "--set", "brokers=4")
    assert incarnations(kafka, *BROKERS) == first
    assert even(kafka)
    assert votes(kafka) == {1, 2, 3}, "four that vote could spare no more of them than three"
    assert throttled(kafka) == {}
    kafka.until("all replicas are in sync", lambda: all_in_sync(kafka), WAIT_S)


def test_a_scale_in_below_what_topics_need_is_refused_with_its_numbers(kafka: Cluster) -> None:
    act(kafka, "kafka", "create-topic", name="wide", partitions=1, replication=4)
    try:
        kafka.until("all replicas are in sync", lambda: all_in_sync(kafka), WAIT_S)
        said = kafka.refused("update", "kafka", "--set", "brokers=3")
        assert "wide has 4 replicas, and 3 brokers would be left" in said
    finally:
        act(kafka, "kafka", "delete-topic", name="wide")
    assert "lone broker" in kafka.refused("update", "kafka", "--set", "brokers=1")
    assert kafka.task(FOURTH).state == "ready"


def test_a_scale_in_that_is_cancelled_in_the_middle_puts_everything_back(kafka: Cluster) -> None:
    fill(kafka)
    update(kafka, "--set", "move_mib_s=0.2")
    change = begin_update(kafka, brokers=3)
    leaving = until_leaving(kafka)
    kafka.client.operation_of(f"/v1/operations/{change.id}/cancel", Ask(reason="another day"))
    until_over(kafka, leaving, "withdrawn")
    update(kafka, "--set", "move_mib_s=50", "--set", "brokers=4")
    kafka.until("nothing is throttled", lambda: throttled(kafka) == {}, WAIT_S)
    kafka.until("what had moved is back", lambda: even(kafka), WAIT_S)
    kafka.until("all replicas are in sync", lambda: all_in_sync(kafka), WAIT_S)
    assert kafka.task(FOURTH).state == "ready"


def test_a_host_that_is_killed_while_a_broker_leaves_goes_on_and_nothing_is_left_of_it(kafka: Cluster) -> None:
    first = incarnations(kafka, *BROKERS)
    update(kafka, "--set", "move_mib_s=1")
    change = begin_update(kafka, brokers=3)
    until_leaving(kafka)
    kafka.kill("host", signal.SIGKILL)
    until_over(kafka, change)
    assert set(held(kafka)) == {1, 2, 3}
    assert throttled(kafka) == {}
    assert votes(kafka) == {1, 2, 3}
    assert incarnations(kafka, *BROKERS) == first
    assert [task.member for task in kafka.client.tasks() if task.member == FOURTH] == []
    kafka.until("all replicas are in sync", lambda: all_in_sync(kafka), WAIT_S)


def fill(cluster: Cluster) -> None:
    """Enough that to move it takes a while."""
    from confluent_kafka import Producer

    producer = Producer({**client(cluster), "acks": "all", "log_level": 2})
    act(cluster, "kafka", "create-topic", name="full", partitions=4)
    block = os.urandom(64) * (len(PAYLOAD) // 16)
    for number in range(1500):
        producer.produce("full", block, str(number).encode())
        producer.poll(0)
        if number % 100 == 0:
            producer.flush(WAIT_S)
    producer.flush(WAIT_S)

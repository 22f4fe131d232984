"""What tests of this folder ask of a real Kafka, and the load that they put on it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmarks.load import Writes, read_back
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ConfigSource, ResourceType
from real_cluster import Cluster
from real_members import WAIT_S

from upcall.catalog.kafka.config import client_settings

MAIN = "kafka.Kafka"
TOPIC = "writes"
RATE_HZ = 100
DEADLINE_S = 60.0
"""A condition, not a speed: how long the slowest took is printed."""


def update(cluster: Cluster, *words: str) -> None:
    cluster.upcall("update", "kafka", *words, timeout_s=WAIT_S)


def servers(cluster: Cluster) -> str:
    return ",".join(next(each.addresses for each in cluster.client.endpoints() if each.name == "client"))


def client(cluster: Cluster) -> dict[str, str]:
    said = cluster.client.credentials("kafka", "client")
    return client_settings(servers(cluster), (said.user, said.password))


def admin(cluster: Cluster) -> AdminClient:
    return AdminClient({**client(cluster), "log_level": 2})


def settings(cluster: Cluster, node: int) -> dict[str, Any]:
    """What a broker works with, and where each value is from."""
    asking = admin(cluster)
    (asked,) = asking.describe_configs([ConfigResource(ResourceType.BROKER, str(node))], request_timeout=30).values()
    return dict(asked.result(30))


def overridden(cluster: Cluster, node: int) -> dict[str, str]:
    own = ConfigSource.DYNAMIC_BROKER_CONFIG.value
    return {name: entry.value for name, entry in settings(cluster, node).items() if entry.source == own}


def replicas(cluster: Cluster, topic: str = "") -> Mapping[str, list[int]]:
    """Partition -> its replicas, of one topic or all."""
    found = admin(cluster).list_topics(topic or None, timeout=30)
    return {
        f"{name}-{number}": list(partition.replicas)
        for name, each in found.topics.items()
        for number, partition in each.partitions.items()
    }


def all_in_sync(cluster: Cluster) -> bool:
    try:
        found = admin(cluster).list_topics(timeout=5)
    except KafkaException:
        return False
    parts = [partition for each in found.topics.values() for partition in each.partitions.values()]
    return bool(parts) and all(len(each.isrs) == len(each.replicas) for each in parts)


@contextmanager
def under_load(cluster: Cluster, topic: str) -> Iterator[Writes]:
    """An open loop of ``acks=all`` writes beside what is done, of which none fails and none is lost."""
    writes = Writes(client(cluster), topic, RATE_HZ, DEADLINE_S)
    writes.start()
    try:
        yield writes
    finally:
        writes.stop()
    found = read_back(client(cluster), topic)
    lost = writes.acknowledged.keys() - found.keys()
    slowest = writes.in_time[-1] if writes.in_time else None
    print(f"{writes.due} writes, {writes.failed} failed, {len(lost)} lost, slowest {slowest} s")
    print(f"slowest by phase: {writes.slowest_by_phase()}; {dict(writes.errors)}")
    for partition in sorted({each[2] for each in writes.stalled}, key=str):
        there = [each for each in writes.stalled if each[2] == partition]
        first, last = (time.strftime("%H:%M:%S", time.gmtime(at(each[0] for each in there))) for at in (min, max))
        print(f"partition {partition}: {len(there)} stalled, due from {first} to {last}")
    assert writes.due > 0
    assert (writes.failed, writes.errors) == (0, {}), writes.failed_by_phase()
    assert not lost

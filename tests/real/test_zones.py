"""A zone goes as a whole, under load: six real brokers, two in each of three zones.

Replicas are spread over the zones, so each partition has one copy in the zone that goes, and keeps its minimum.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from real_cluster import Cluster
from real_kafka import TOPIC, client
from real_members import WAIT_S, Begin

pytestmark = pytest.mark.real

BROKERS = tuple(f"kafka.broker-{number}" for number in range(6))
PARTITIONS = 12
MINIMUM = 2
"""In sync: what the package sets for three copies."""
WRITE_EVERY_S = 0.01
LOOK_EVERY_S = 0.2


@pytest.fixture(scope="module")
def kafka(begin: Begin) -> Cluster:
    cluster = begin("kafka", "--set", "brokers=6", nodes=6, memory_mib_per_node=512)
    cluster.until_ready(*BROKERS, wait_s=2 * WAIT_S)
    cluster.upcall("service", "do", "kafka", "create-topic", f"name={TOPIC}", f"partitions={PARTITIONS}")
    return cluster


class Load:
    """Writes on a clock, whatever became of those before, and looks at what is in sync."""

    def __init__(self, settings: dict[str, str]) -> None:
        self._settings = settings
        self.written = self.acknowledged = self.looks = 0
        self.failed: list[str] = []
        self.under_minimum: list[str] = []
        self.slowest_s = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        over = threading.Event()
        threads = [threading.Thread(target=each, args=(over,)) for each in (self._write, self._look)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def _write(self, over: threading.Event) -> None:
        producer = Producer({**self._settings, "acks": "all", "linger.ms": 0, "log_level": 2})

        def delivered(error: Any, message: Any) -> None:
            self.slowest_s = max(self.slowest_s, message.latency() or 0.0)
            if error is None:
                self.acknowledged += 1
            else:
                self.failed.append(str(error))

        next_s = time.monotonic()
        while not over.is_set():
            producer.produce(TOPIC, b"x" * 100, str(self.written), on_delivery=delivered)
            self.written += 1
            producer.poll(0)
            next_s += WRITE_EVERY_S
            over.wait(max(0.0, next_s - time.monotonic()))
        producer.flush(WAIT_S)

    def _look(self, over: threading.Event) -> None:
        admin = AdminClient({**self._settings, "log_level": 2})
        while not over.wait(LOOK_EVERY_S):
            try:
                found = admin.list_topics(TOPIC, timeout=5).topics[TOPIC].partitions
            except KafkaException:
                continue
            self.looks += 1
            self.under_minimum += [
                f"{number}: {each.isrs}" for number, each in found.items() if len(each.isrs) < MINIMUM
            ]


def in_sync(cluster: Cluster) -> bool:
    try:
        found = AdminClient({**client(cluster), "log_level": 2}).list_topics(TOPIC, timeout=5).topics[TOPIC]
    except KafkaException:
        return False
    return len(found.partitions) == PARTITIONS and all(len(each.isrs) == 3 for each in found.partitions.values())


def drained(cluster: Cluster, zone: str) -> bool:
    """Whether both of its brokers were on their way before either was over."""
    zones = {node.name: node.zone for node in cluster.client.nodes()}
    there = [task.member for task in cluster.client.tasks() if zones[task.node] == zone]
    assert len(there) == 2
    cluster.upcall("node", "drain", "--zone", zone, "--reason", "the rack moves", timeout_s=WAIT_S)
    assert {cluster.task(member).state for member in there} == {"held"}
    (operation,) = [one for one in cluster.client.operations() if one.kind == "maintenance"]
    assert operation.state == "done"
    begins, ends = (moments(cluster, operation.id, word) for word in ("begins", "is done"))
    assert len(begins) == len(ends) == 2
    return max(begins) < min(ends)


def moments(cluster: Cluster, operation: str, word: str) -> list[int]:
    """The numbers of the events at which what lies below the operation came to this."""
    below = {one.id for one in cluster.client.operations(ended=True) if one.parent == operation}
    found = cluster.client.events(limit=2000, detail=True)
    return [each.sequence for each in found if each.subject in below and word in each.text]


def test_a_zone_is_drained_together_under_load_and_no_write_fails(kafka: Cluster) -> None:
    """On a busy machine a follower may be late just when the two are asked about as one, or the answer is: they go one
    after the other then, which is right. So zones are drained until one went together."""
    cluster = kafka
    cluster.until("all replicas are in sync", lambda: in_sync(cluster), WAIT_S)
    load = Load(client(cluster))
    drained_s: list[float] = []
    with load.running():
        for zone in ("a", "b", "c"):
            began_s = time.monotonic()
            went_together = drained(cluster, zone)
            drained_s.append(time.monotonic() - began_s)
            cluster.upcall("node", "undrain", "--zone", zone, timeout_s=WAIT_S)
            cluster.until_ready(*BROKERS, wait_s=WAIT_S)
            cluster.until("all replicas are in sync", lambda: in_sync(cluster), WAIT_S)
            if went_together:
                break
    print(
        f"drained in {drained_s} s; {load.acknowledged} of {load.written} acknowledged, {len(load.failed)} failed,"
        f" slowest {load.slowest_s:.2f} s, {len(load.under_minimum)} under min.insync.replicas in {load.looks} looks"
    )
    assert went_together, "in none of three zones had both begun before either was over"
    assert not load.failed
    assert load.acknowledged == load.written > 0
    assert not load.under_minimum
    assert load.looks > 0

"""What breaks of a real Kafka beside what test_kafka.py plays: damaged files, a broker that stands still, a disk that
fills, two nodes at once. It heals by itself, loses nothing, and says what is wrong meanwhile.

The tests of this module follow each other on one cluster, and each leaves three brokers in sync.
"""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest
from benchmarks.load import read_back
from confluent_kafka import Message, Producer
from real_cluster import Cluster
from real_kafka import all_in_sync, client
from real_members import WAIT_S, Begin, act, jvm_of, kill, lose_node, until_next_incarnation

from upcall.protocol.operator import TaskView

pytestmark = [pytest.mark.real, pytest.mark.in_order, pytest.mark.long]

MAIN = "kafka.Kafka"
BROKERS = ("kafka.broker-0", "kafka.broker-1", "kafka.broker-2")
TOPIC = "writes"


@pytest.fixture(scope="module")
def kafka(begin: Begin) -> Cluster:
    cluster = begin("kafka", "--set", "brokers=3", "--set", "disk_mib=1024", nodes=3, memory_mib_per_node=512)
    cluster.until_ready(*BROKERS, wait_s=WAIT_S)
    act(cluster, "kafka", "create-topic", name=TOPIC, partitions=3)
    return cluster


def volume(cluster: Cluster, task: TaskView, place: int = 1) -> Path:
    return cluster.data / "nodes" / task.node / "volumes" / task.member / str(place) / "data" / "logs"


def wrong(cluster: Cluster) -> list[str]:
    """What Kafka's own code says is wrong."""
    return [f"{one.what}; {one.doing}" for one in cluster.client.service("kafka").degraded]


def until_well(cluster: Cluster) -> None:
    cluster.until("all replicas in sync", lambda: all_in_sync(cluster), WAIT_S)
    cluster.until("nothing is wrong", lambda: not wrong(cluster), WAIT_S)


def write(cluster: Cluster, count: int = 300, *, size: int = 100) -> set[int]:
    """So many more, that all replicas in sync have acknowledged."""
    acknowledged: set[int] = set()
    first = max(read_back(client(cluster), TOPIC), default=-1) + 1

    def delivered(error: object, message: Message) -> None:
        if error is None:
            acknowledged.add(int.from_bytes(message.key() or b"", "big"))

    producer = Producer({**client(cluster), "acks": "all", "log_level": 2})
    for number in range(first, first + count):
        producer.produce(TOPIC, os.urandom(size), number.to_bytes(8, "big"), on_delivery=delivered)
    producer.flush(WAIT_S)
    assert len(acknowledged) == count
    return acknowledged


def test_a_damaged_index_is_made_anew_at_the_next_start(kafka: Cluster) -> None:
    written = write(kafka)
    before = kafka.task(BROKERS[0])
    indexes = sorted(volume(kafka, before).glob(f"{TOPIC}-*/*.index"))
    assert indexes
    kill(kafka, before, MAIN)
    for index in indexes:
        index.write_bytes(b"\xff" * 1024)
    until_next_incarnation(kafka, before)
    until_well(kafka)
    assert written <= set(read_back(client(kafka), TOPIC))


def test_a_broker_whose_meta_properties_are_damaged_starts_anew_and_fills_itself_from_the_others(
    kafka: Cluster,
) -> None:
    written = write(kafka)
    before = kafka.task(BROKERS[1])
    (volume(kafka, before) / "meta.properties").write_text("version=1\nnode.id=seven\n")
    kill(kafka, before, MAIN)
    after = until_next_incarnation(kafka, before)
    assert after.node == before.node
    until_well(kafka)
    assert {each["node_id"] for each in act(kafka, "kafka", "voters")} == {1, 2, 3}
    assert written <= set(read_back(client(kafka), TOPIC))


def test_a_broker_that_stands_still_is_told_restarted_and_costs_no_write(kafka: Cluster) -> None:
    before = kafka.task(BROKERS[2])
    stopped = jvm_of(kafka, before, MAIN)
    os.kill(stopped, signal.SIGSTOP)
    try:
        said = kafka.until("it is told", lambda: wrong(kafka), WAIT_S)
        print(said)
        written = write(kafka)
        until_next_incarnation(kafka, before)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(stopped, signal.SIGCONT)
    until_well(kafka)
    assert written <= set(read_back(client(kafka), TOPIC))


def test_a_broker_that_is_to_end_while_no_quorum_is_left_puts_its_logs_away(kafka: Cluster) -> None:
    """When all end at the same time, whoever is last has nobody who could let it go: Kafka would wait five minutes."""
    written = write(kafka)
    before = [kafka.task(one) for one in BROKERS]
    last, *others = [jvm_of(kafka, one, MAIN) for one in before]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        os.kill(last, signal.SIGTERM)
        kafka.until("it ends", lambda: kafka.task(BROKERS[0]).incarnation > before[0].incarnation, WAIT_S)
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)
    logs = kafka.data / "nodes" / before[0].node / "tasks" / before[0].task / "logs"
    assert "no quorum of controllers is left" in (logs / "stderr").read_text()
    assert "LogManager Shutdown complete" in (logs / "stdout").read_text()
    kafka.until_ready(*BROKERS, wait_s=WAIT_S)
    until_well(kafka)
    assert written <= set(read_back(client(kafka), TOPIC))


def fill(cluster: Cluster, task: TaskView, mib: int) -> Path:
    """Something else takes room on the broker's volume."""
    ballast = volume(cluster, task).parent / "ballast"
    with ballast.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(1 << 20))
    return ballast


def test_a_disk_that_is_nearly_full_slows_writers_asks_for_room_and_goes_on_by_itself(kafka: Cluster) -> None:
    before = kafka.task(BROKERS[0])
    used = int(kafka.until("it was measured", lambda: kafka.task(BROKERS[0]).disk_used_mib, WAIT_S))
    ballast = fill(kafka, before, int(1024 * 0.93) - used)
    said = kafka.until("it is told", lambda: [one for one in wrong(kafka) if "volume data holds" in one], WAIT_S)
    print(said)

    def slowed() -> list[str]:
        return [one for one in wrong(kafka) if "slowed to 1 MiB/s" in one]

    assert "larger disk_mib" in kafka.until("writers are slowed", slowed, WAIT_S)[0]
    # For ten seconds' worth of it nobody is slowed, at each broker.
    took_s = -time.monotonic()
    written = write(kafka, 500, size=100_000)
    took_s += time.monotonic()
    print(f"50 MB took {took_s:.1f} s")
    assert took_s > 4.0, "three brokers take 1 MiB/s each"
    ballast.unlink()
    until_well(kafka)
    took_s = -time.monotonic()
    write(kafka, 500, size=100_000)
    print(f"50 MB took {took_s + time.monotonic():.1f} s afterwards")
    assert written <= set(read_back(client(kafka), TOPIC))
    after = kafka.task(BROKERS[0])
    assert after.task == before.task, "nobody was restarted for it"


def test_two_nodes_away_lose_nothing_and_all_is_well_when_they_are_back(kafka: Cluster) -> None:
    written = write(kafka)
    away = [kafka.task(one) for one in BROKERS[1:]]
    for task in away:
        lose_node(kafka, task, MAIN)
    kafka.until("both are missed", lambda: all(kafka.task(one).state == "lost" for one in BROKERS[1:]), WAIT_S)
    view = kafka.client.service("kafka")
    print(view.state, view.reason, wrong(kafka))
    assert view.state != "running"
    for task in away:
        kafka.kill(f"agent-{task.node}", signal.SIGCONT)
    kafka.until_ready(*BROKERS, wait_s=WAIT_S)
    until_well(kafka)
    assert written <= set(read_back(client(kafka), TOPIC))

"""Real Kafka, backed up under load, and restored into another one of another size: every record, setting and offset."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from real_cluster import Cluster
from real_kafka import under_load
from real_members import WAIT_S, Begin

from upcall.catalog.kafka.config import client_settings
from upcall.catalog.kafka.holding import PASSES

pytestmark = [pytest.mark.real, pytest.mark.long]

PARTITIONS = 3
RECORDS = 3000
GROUP = "readers"


@pytest.fixture(scope="module")
def kafka(begin: Begin) -> Cluster:
    cluster = begin("kafka", "--set", "brokers=3", nodes=3, memory_mib_per_node=1100)
    cluster.until_ready("kafka.broker-0", "kafka.broker-1", "kafka.broker-2", wait_s=WAIT_S)
    act(cluster, "create-topic", "name=orders", f"partitions={PARTITIONS}", "config.retention.ms=-1")
    act(cluster, "create-topic", "name=load", "partitions=2")
    return cluster


def act(cluster: Cluster, *words: str) -> None:
    cluster.upcall("service", "do", "kafka", *words)


def settings(cluster: Cluster, service: str) -> dict[str, Any]:
    addresses = next(
        each.addresses for each in cluster.client.endpoints() if (each.service, each.name) == (service, "admin")
    )
    said = cluster.client.credentials(service, "admin")
    return {**client_settings(",".join(addresses), (said.user, said.password)), "log_level": 2}


def fill(cluster: Cluster, first: int) -> None:
    """Records with and without keys, values and headers; some of a transaction that is called off."""
    producer = Producer(settings(cluster, "kafka"))
    for number in range(first, first + RECORDS):
        producer.produce(
            "orders",
            None if number % 7 == 0 else f"value {number}".encode(),
            f"key {number % 500}".encode(),
            number % PARTITIONS,
            timestamp=1_700_000_000_000 + number,
            headers=[("n", str(number).encode()), ("none", None)] if number % 5 == 0 else None,
        )
    assert producer.flush(60) == 0
    in_part = Producer({**settings(cluster, "kafka"), "transactional.id": "orders"})
    in_part.init_transactions(30)
    for commits in (False, True):
        in_part.begin_transaction()
        for number in range(50):
            in_part.produce("orders", f"{commits} {number}".encode(), b"t", number % PARTITIONS)
        in_part.commit_transaction(30) if commits else in_part.abort_transaction(30)


def records(cluster: Cluster, service: str, topic: str) -> list[list[tuple[Any, ...]]]:
    """All that a reader sees, of each partition in order."""
    consumer = Consumer({**settings(cluster, service), "group.id": "none", "enable.partition.eof": True})
    found = []
    for number in sorted(consumer.list_topics(topic, timeout=30).topics[topic].partitions):
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING)])
        one: list[tuple[Any, ...]] = []
        while not (batch := consumer.consume(5000, 1.0)) or all(each.error() is None for each in batch):
            one += [seen(each) for each in batch]
        one += [seen(each) for each in batch if each.error() is None]
        found.append(one)
    consumer.close()
    return found


def seen(message: Any) -> tuple[Any, ...]:
    return message.key(), message.value(), message.timestamp()[1], message.headers()


def commit(cluster: Cluster, at: list[int]) -> None:
    consumer = Consumer({**settings(cluster, "kafka"), "group.id": GROUP})
    offsets = [TopicPartition("orders", number, each) for number, each in enumerate(at)]

    def is_committed() -> bool:
        """Who coordinates a group is settled when it is first asked for, and is told to clients a little later."""
        try:
            consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() not in PASSES:
                raise
            return False
        return True

    cluster.until("offsets are committed", is_committed, WAIT_S)
    consumer.close()


def next_records(cluster: Cluster, service: str) -> list[tuple[Any, ...]]:
    """What a reader of the group would get first, of each partition."""
    client = AdminClient(settings(cluster, service))  # held: without it nobody answers
    asked = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP)])
    consumer = Consumer({**settings(cluster, service), "group.id": "none"})
    found = []
    for at in sorted(asked[GROUP].result(30).topic_partitions, key=lambda each: each.partition):
        consumer.assign([at])
        (message,) = consumer.consume(1, 30)
        found.append(seen(message))
    consumer.close()
    return found


def backed_up(cluster: Cluster, to: Path) -> dict[str, Any]:
    began = time.monotonic()
    found: dict[str, Any] = json.loads(cluster.upcall("backup", "kafka", "--to", str(to), "-o", "json").stdout)
    took_s = time.monotonic() - began
    print(f"{found['bytes'] / 1e6:.1f} MB, {found['new_bytes'] / 1e6:.1f} new, in {took_s:.1f} s with verify")
    return found


@pytest.fixture(scope="module")
def backups(kafka: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Two, one after the other, while others write."""
    to = tmp_path_factory.mktemp("backups") / "kept"
    found = []
    with under_load(kafka, "load"):
        for number in range(2):
            fill(kafka, number * RECORDS)
            commit(kafka, [100 + 700 * number, 1, 500])
            found.append(backed_up(kafka, to))
    return to, found


def test_the_second_backup_writes_what_is_new(backups: tuple[Path, list[dict[str, Any]]]) -> None:
    _, (first, second) = backups
    assert first["new_bytes"] == first["bytes"]
    assert second["new_bytes"] < second["bytes"] * 0.7
    assert "last offset that was committed" in second["promise"]


def test_a_trial_restore_finds_every_record_and_leaves_nothing(
    kafka: Cluster, backups: tuple[Path, list[dict[str, Any]]]
) -> None:
    found = kafka.upcall("backup", "verify", backups[1][1]["id"], "--trial", "-o", "json").stdout
    assert "compared one by one" in json.loads(found)["trial"]
    names = AdminClient(settings(kafka, "kafka")).list_topics(timeout=30).topics
    assert not [name for name in names if name.startswith("upcall-trial")]


def test_over_data_it_is_refused_with_what_is_in_the_way(
    kafka: Cluster, backups: tuple[Path, list[dict[str, Any]]]
) -> None:
    refused = kafka.upcall("restore", backups[1][1]["id"], check=False)
    assert refused.returncode == 1
    assert "kafka has load, orders already" in refused.stderr


def test_a_new_service_of_another_size_has_every_record_setting_and_offset(
    kafka: Cluster, backups: tuple[Path, list[dict[str, Any]]]
) -> None:
    _, (_, second) = backups
    restored = kafka.upcall(
        *("restore", second["backup"], "--to", "smaller", "--set", "brokers=1"), timeout_s=WAIT_S * 2
    )
    print(restored.stdout)
    there, here = records(kafka, "kafka", "orders"), records(kafka, "smaller", "orders")
    assert [len(each) for each in here] == [len(each) for each in there]
    assert here == there
    assert sum(map(len, here)) == 2 * (RECORDS + 50)
    assert next_records(kafka, "smaller") == next_records(kafka, "kafka")
    shown = json.loads(kafka.upcall("service", "do", "smaller", "topics", "settings=true", "-o", "json").stdout)
    (orders,) = [each for each in shown if each["topic"] == "orders"]
    assert (orders["partitions"], orders["replication"]) == (PARTITIONS, 1)
    assert orders["config"]["retention.ms"] == "-1"


def test_restored_over_its_own_topics_the_service_has_them_as_they_were(
    kafka: Cluster, backups: tuple[Path, list[dict[str, Any]]]
) -> None:
    before = records(kafka, "kafka", "orders")
    act(kafka, "delete-topic", "name=load")
    producer = Producer(settings(kafka, "kafka"))
    producer.produce("orders", b"a mistake")
    assert producer.flush(60) == 0
    kafka.upcall("restore", backups[1][1]["id"], "--over", "orders", timeout_s=WAIT_S)
    assert records(kafka, "kafka", "orders") == before

"""Real brokers that scale themselves: what is stored grows and shrinks, and so do they, while writes go on."""

import os
from typing import Any

import pytest
from confluent_kafka import Producer
from real_cluster import Cluster
from real_kafka import all_in_sync, client, replicas, under_load
from real_members import WAIT_S, Begin, act

from upcall.operations.table import CHANGES

pytestmark = [pytest.mark.real, pytest.mark.long]

TOPIC = "writes"
STORED_MIB = 200
"""Of each broker's 256; 70 % is the aim."""
BOUNDS = {"min": 3, "max": 4, "hold_s": 5, "hold_in_s": 5, "cool_down_s": 0}


@pytest.fixture(scope="module")
def kafka(begin: Begin) -> Cluster:
    cluster = begin("kafka", "--set", "brokers=3", "--set", "disk_mib=256", nodes=4, memory_mib_per_node=640)
    cluster.until_ready(*(f"kafka.broker-{number}" for number in range(3)), wait_s=WAIT_S)
    cluster.upcall("service", "do", "kafka", "create-topic", f"name={TOPIC}", "partitions=6")
    return cluster


def brokers(cluster: Cluster) -> int:
    return len([task for task in cluster.client.tasks() if task.service == "kafka" and task.state == "ready"])


def fill(cluster: Cluster) -> None:
    act(cluster, "kafka", "create-topic", name="stored", partitions=4, config={"retention.bytes": "-1"})
    producer = Producer({**client(cluster), "acks": "all", "log_level": 2})
    block = os.urandom(1 << 19)
    for number in range(STORED_MIB * 2):
        producer.produce("stored", block, str(number).encode())
        producer.flush(WAIT_S)


def asked_by_itself(cluster: Cluster) -> list[Any]:
    return [each for each in cluster.client.operations(ended=True) if each.kind in CHANGES and "aim" in each.reason]


def test_brokers_come_when_more_is_stored_and_leave_when_it_is_gone(kafka: Cluster) -> None:
    words = (f"autoscale.{name}={value}" for name, value in BOUNDS.items())
    kafka.upcall("update", "kafka", *(word for each in words for word in ("--set", each)), timeout_s=WAIT_S)
    with under_load(kafka, TOPIC):
        fill(kafka)
        kafka.until("a fourth one came", lambda: brokers(kafka) == 4, WAIT_S)
        kafka.until("it has its share", lambda: any(4 in each for each in replicas(kafka).values()), WAIT_S)
        kafka.until(
            "its first change is over", lambda: all(each.state == "done" for each in asked_by_itself(kafka)), WAIT_S
        )
        act(kafka, "kafka", "delete-topic", name="stored")
        kafka.until("it left", lambda: brokers(kafka) == 3, WAIT_S)
        kafka.until("all in sync", lambda: all_in_sync(kafka), WAIT_S)
    history = kafka.upcall("service", "history", "kafka").stdout
    assert "is the aim" in history, history
    assert len(asked_by_itself(kafka)) >= 2

"""Real Kafka, backed up to an S3 server on loopback and brought back from it: whole, and who logs in is named alone."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from real_cluster import Cluster
from real_members import WAIT_S, Begin
from typer.testing import CliRunner

from s3_server import BUCKET, KEY, SECRET, s3_server
from upcall.catalog.kafka.config import client_settings
from upcall.cli.main import application

pytestmark = [pytest.mark.real, pytest.mark.long]

RECORDS = 2000
PARTITIONS = 2
PLACE = f"s3://{BUCKET}/company"


def settings(cluster: Cluster) -> dict[str, Any]:
    addresses = next(
        each.addresses for each in cluster.client.endpoints() if (each.service, each.name) == ("kafka", "admin")
    )
    said = cluster.client.credentials("kafka", "admin")
    return {**client_settings(",".join(addresses), (said.user, said.password)), "log_level": 2}


def fill(cluster: Cluster, first: int) -> None:
    producer = Producer(settings(cluster))
    for number in range(first, first + RECORDS):
        producer.produce("orders", f"value {number}".encode(), f"{number}".encode(), number % PARTITIONS)
    assert producer.flush(120) == 0


def records(cluster: Cluster) -> list[list[tuple[Any, ...]]]:
    consumer = Consumer({**settings(cluster), "group.id": "none", "enable.partition.eof": True})
    found = []
    for number in range(PARTITIONS):
        consumer.assign([TopicPartition("orders", number, OFFSET_BEGINNING)])
        one: list[tuple[Any, ...]] = []
        while not (batch := consumer.consume(5000, 5.0)) or all(each.error() is None for each in batch):
            one += [(each.key(), each.value(), each.timestamp()[1]) for each in batch]
        found.append(one + [(each.key(), each.value(), each.timestamp()[1]) for each in batch if each.error() is None])
    consumer.close()
    return found


def told(cluster: Cluster, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cluster.upcall(*words, "-o", "json", timeout_s=WAIT_S).stdout)
    return found


@contextmanager
def command_lines() -> Iterator[set[str]]:
    """Those that name the secret, of all processes of this machine meanwhile."""
    found: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = path.read_bytes()
                except OSError:
                    continue
                if SECRET.encode() in words or KEY.encode() in words:
                    found.add(words.replace(b"\0", b" ").decode(errors="replace")[:500])

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield found
    finally:
        over.set()
        looking.join()


def test_a_whole_service_goes_to_an_object_store_and_comes_back_and_nobody_sees_who_logs_in(
    begin: Begin, tmp_path: Path
) -> None:
    with s3_server(tmp_path) as endpoint, command_lines() as seen:
        cluster = begin("kafka", "--set", "brokers=1", nodes=1, memory_mib_per_node=1100)
        cluster.until_ready("kafka.broker-0", wait_s=WAIT_S)
        cluster.upcall("service", "do", "kafka", "create-topic", "name=orders", f"partitions={PARTITIONS}")
        words = ["secret", "set", "s3-backups", "--data", str(cluster.data)]
        said = CliRunner().invoke(application("secret"), words, input=f"{KEY}:{SECRET}\n")
        assert said.exit_code == 0, said.output
        how = ("--secret", "s3-backups", "--endpoint", endpoint)
        made = []
        for number in range(3):
            fill(cluster, number * RECORDS)
            made.append(told(cluster, "backup", "kafka", "--to", PLACE, *how))
        assert made[0]["backup"].startswith(f"{PLACE}/kafka/kafka-")
        assert made[2]["verified"]
        assert made[2]["new_bytes"] < made[2]["bytes"] * 0.7, "only what came since"
        before = records(cluster)

        tried = told(cluster, "backup", "verify", made[2]["backup"], "--trial", *how)
        assert f"{3 * RECORDS} records" in tried["trial"]
        went = told(cluster, "backup", "remove", "kafka", "--keep", "1", "--from", PLACE, "--yes", *how)
        assert went["backups"] == [each["id"] for each in made[:2]]
        listed: Any = told(cluster, "backup", "list", "kafka", "--at", PLACE, *how)
        assert [each["id"] for each in listed] == [made[2]["id"]]

        cluster.upcall("service", "do", "kafka", "delete-topic", "name=orders")
        cluster.upcall("restore", made[2]["backup"], *how, timeout_s=WAIT_S)
        assert records(cluster) == before
        assert sum(map(len, before)) == 3 * RECORDS

        refused = cluster.refused("backup", "kafka", "--to", f"s3://{KEY}:{SECRET}@{BUCKET}/company")
        assert "not an address of a bucket" in refused
        assert SECRET not in refused
    assert seen == set()
    assert [str(path) for path in named_in(cluster.data) if "secrets" not in path.parts] == []


def named_in(folder: Path) -> list[Path]:
    """Files that name the secret: logs, records, whatever the cluster has written."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if SECRET.encode() in path.read_bytes()]

"""Real systems, backed up and tried while what they stand on is killed: it goes on by itself, and leaves nothing."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from cql_clients import KEYSPACE
from real_cluster import Cluster
from real_members import WAIT_S, Begin, kill
from test_cassandra_backup import TABLES, rows, session_of
from test_kafka_backup import settings

pytestmark = [pytest.mark.real, pytest.mark.long]

ROWS = 400


def begun(cluster: Cluster, *words: str) -> str:
    return str(json.loads(cluster.upcall(*words, "--no-wait", "-o", "json").stdout)["id"])


def seen(cluster: Cluster, action: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.client.patient(lambda: cluster.client.get(f"/v1/actions/{action}"), WAIT_S)
    return found


def until_it_says(cluster: Cluster, action: str, *words: str) -> None:
    def said() -> bool:
        now = seen(cluster, action)
        return now["state"] != "running" or any(word in now["progress"] for word in words)

    cluster.until(f"it is at {', '.join(words)}", said, WAIT_S)
    assert seen(cluster, action)["state"] == "running", seen(cluster, action)


def result(cluster: Cluster, action: str) -> dict[str, Any]:
    """Nobody asked for it again."""
    told: list[str] = []

    def over() -> bool:
        now = seen(cluster, action)
        if now["progress"] not in told:
            told.append(now["progress"])
        return bool(now["state"] != "running")

    cluster.until("it is over", over, WAIT_S)
    print(told)
    ended = seen(cluster, action)
    assert ended["state"] == "done", (ended, told)
    found: dict[str, Any] = ended["result"]
    return found


def is_left_by_no_trial(cluster: Cluster, service: str, backup: str, made: Callable[[], list[str]]) -> None:
    """It is killed with its host, and called off: nobody asks for it again."""
    trial = begun(cluster, "backup", "verify", backup, "--trial")
    cluster.until("it has made something", lambda: made() or seen(cluster, trial)["state"] != "running", WAIT_S)
    print("made:", made())
    before = cluster.kill("host", signal.SIGKILL)
    cluster.upcall("service", "action", trial, "--cancel", check=False)
    cluster.until_restarted("host", before)
    cluster.until("it is over", lambda: seen(cluster, trial)["state"] != "running", WAIT_S)
    cluster.until("nothing of it is there", lambda: not made(), WAIT_S)
    cluster.until(f"{service} is well", lambda: cluster.client.service(service).state == "running", WAIT_S)
    said = cluster.upcall("backup", "verify", backup, "--trial", timeout_s=WAIT_S).stdout
    assert "trial restore" in said
    assert made() == []


def test_cassandra_goes_on_when_agent_and_master_are_killed_and_leaves_no_keyspace(
    begin: Begin, tmp_path: Path
) -> None:
    cluster = begin("cassandra", "--set", "nodes=1", nodes=1, memory_mib_per_node=1400)
    (node,) = cluster.until_ready("cassandra.node-0", wait_s=WAIT_S)
    cluster.upcall("service", "do", "cassandra", "create-keyspace", f"name={KEYSPACE}")
    with session_of(cluster, "cassandra") as session:
        session.execute(TABLES[1], timeout=60.0)
        for number in range(ROWS):
            session.execute(f"INSERT INTO {KEYSPACE}.rows (id, text) VALUES (%s, %s)", (number, f"row {number}"))
        backup = begun(cluster, "backup", "cassandra", "--to", str(tmp_path / "kept"))
        until_it_says(cluster, backup, "snapshots of")
        cluster.kill(f"agent-{node.node}", signal.SIGKILL)
        made = result(cluster, backup)
        trial = begun(cluster, "backup", "verify", made["id"], "--trial")
        until_it_says(cluster, trial, "is tried")
        cluster.kill(f"agent-{node.node}", signal.SIGKILL)
        assert f"{ROWS} rows read" in result(cluster, trial)["trial"]

        def keyspaces() -> list[str]:
            found = session.execute("SELECT keyspace_name FROM system_schema.keyspaces")
            return [row.keyspace_name for row in found if row.keyspace_name.startswith("upcall_trial")]

        assert keyspaces() == []
        is_left_by_no_trial(cluster, "cassandra", made["id"], keyspaces)
        assert len(rows(session, "rows")) == ROWS
        session.execute(f"TRUNCATE {KEYSPACE}.rows", timeout=60.0)
        restored = begun(cluster, "restore", made["id"], "--over", KEYSPACE)
        until_it_says(cluster, restored, "of node-0 into node-0")
        cluster.kill(f"agent-{node.node}", signal.SIGKILL)
        cluster.kill("master", signal.SIGKILL)
        assert result(cluster, restored)["restored"]
    with session_of(cluster, "cassandra") as session:
        assert len(rows(session, "rows")) == ROWS


def test_kafka_goes_on_when_its_broker_is_killed_and_leaves_no_topic(begin: Begin, tmp_path: Path) -> None:
    cluster = begin("kafka", "--set", "brokers=1", nodes=1, memory_mib_per_node=1100)
    (broker,) = cluster.until_ready("kafka.broker-0", wait_s=WAIT_S)
    cluster.upcall("service", "do", "kafka", "create-topic", "name=orders", "partitions=12")
    producer = Producer(settings(cluster, "kafka"))
    for part in range(12):
        for number in range(10_000):
            producer.produce("orders", b"x" * 500, str(number).encode(), part)
        assert producer.flush(WAIT_S) == 0
    backup = begun(cluster, "backup", "kafka", "--to", str(tmp_path / "kept"))
    until_it_says(cluster, backup, "orders-")
    kill(cluster, broker, "kafka.Kafka")
    made = result(cluster, backup)

    def topics() -> list[str]:
        there = AdminClient(settings(cluster, "kafka")).list_topics(timeout=WAIT_S).topics
        return [name for name in there if name.startswith("upcall-trial")]

    is_left_by_no_trial(cluster, "kafka", made["id"], topics)

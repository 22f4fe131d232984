"""A real Kafka that was asked for by goals: it runs as ``explain`` says, and another goal is an update. Beside it a
real Cassandra repairs itself by a schedule.

The tests of this module follow each other on one cluster.
"""

import json
from typing import Any

import pytest
from real_cluster import Cluster
from real_kafka import settings, update
from real_members import WAIT_S, Begin, incarnations

pytestmark = [pytest.mark.real, pytest.mark.in_order, pytest.mark.long]

BROKERS = ("kafka.broker-0", "kafka.broker-1", "kafka.broker-2")
GOALS = ("survive=1-node", "write_mb_s=0.5", "keep_hours=1")


@pytest.fixture(scope="module")
def kafka(begin: Begin) -> Cluster:
    words = [word for goal in GOALS for word in ("--goal", goal)]
    cluster = begin("kafka", *words, nodes=3, memory_mib_per_node=1600)
    cluster.until_ready(*BROKERS, wait_s=WAIT_S)
    return cluster


def explained(cluster: Cluster) -> dict[str, dict[str, Any]]:
    said = json.loads(cluster.upcall("explain", "kafka", "-o", "json").stdout)
    return {row["option"]: row for row in said["options"]}


def test_brokers_run_as_explain_says(kafka: Cluster) -> None:
    rows = explained(kafka)
    assert rows["brokers"]["from"] == "goal survive"
    assert rows["goals.keep_hours"]["from"] == "person"
    assert rows["client_auth"]["from"] == "default"
    for node in (1, 2, 3):
        found = settings(kafka, node)
        for name, row in rows.items():
            if name.startswith("settings."):
                assert found[name.removeprefix("settings.")].value == str(row["value"]), name
    declared = kafka.client.service("kafka").derived
    assert declared["disk_mib"].value == rows["disk_mib"]["value"]


def test_another_goal_is_an_update_and_rollback_brings_the_first_back(kafka: Cluster) -> None:
    before, kept = incarnations(kafka, *BROKERS), int(settings(kafka, 1)["log.retention.bytes"].value)
    said = kafka.upcall("update", "kafka", "--goal", "partitions=6", "--dry-run").stdout
    assert "settings.log.retention.bytes" in said
    update(kafka, "--goal", "partitions=6")
    assert int(settings(kafka, 1)["log.retention.bytes"].value) == pytest.approx(2 * kept, rel=0.02)
    assert explained(kafka)["settings.log.retention.bytes"]["goal"] == "write_mb_s, keep_hours"
    kafka.upcall("rollback", "kafka", timeout_s=WAIT_S)
    assert int(settings(kafka, 1)["log.retention.bytes"].value) == kept
    assert incarnations(kafka, *BROKERS) == before  # all that follows from it changes live


def test_what_contradicts_a_goal_or_cannot_be_met_is_refused(kafka: Cluster) -> None:
    revision = kafka.client.service("kafka").revision
    for words, says in (
        (("--set", "settings.min.insync.replicas=1"), "contradicts the goal survive=1-node"),
        (("--goal", "p99_ms=5"), "p99_ms=5 is less than a write takes"),
        (("--goal", "keep_hours=50000"), "MiB of disk on each of 3 brokers"),
    ):
        done = kafka.upcall("update", "kafka", *words, check=False)
        assert done.returncode == 1
        assert says in done.stdout + done.stderr
    assert kafka.client.service("kafka").revision == revision


def test_a_real_ring_repairs_itself_by_its_schedule(kafka: Cluster) -> None:
    """In the same cluster, so that one start serves both."""
    said = ("--set", "nodes=1", "--set", "schedules.repair=20 seconds")
    kafka.upcall("install", "cassandra", *said, timeout_s=WAIT_S)
    kafka.until_ready("cassandra.node-0", wait_s=WAIT_S)

    def repaired() -> bool:
        shown = json.loads(kafka.upcall("schedule", "list", "cassandra", "-o", "json").stdout)
        return any(one["name"] == "repair" and one["done"] for one in shown)

    kafka.until("a repair has ended well", repaired, WAIT_S)
    runs = [one for one in kafka.client.get("/v1/services/cassandra/actions") if one["name"] == "repair"]
    assert {run["who"] for run in runs} == {"its schedule"}
    assert any(run["state"] == "done" for run in runs)
    line = kafka.upcall("schedule", "list").stdout
    assert "20 seconds (as you said)" in line

"""Real Kafka from one version to the next, back, and past the point of no return, under load.

The tests of this module follow each other on one cluster. ``make long`` adds the way there and back again.
"""

import re
from typing import Any

import pytest
from real_cluster import Cluster
from real_kafka import MAIN, TOPIC, all_in_sync, under_load
from real_members import WAIT_S, Begin, act, empty_volume, kill, output, until_next_incarnation

from upcall.catalog.kafka.service import Kafka

pytestmark = [pytest.mark.real, pytest.mark.in_order]

OLD, NEW = Kafka.versions()[0], Kafka.version
BROKERS = ("kafka.broker-0", "kafka.broker-1", "kafka.broker-2")
CHANGE_S = 600.0
"""Of three brokers one after the other, each in sync again, beside others' tests."""


@pytest.fixture(scope="module")
def kafka(begin: Begin) -> Cluster:
    cluster = begin("kafka@4.1", "--set", "brokers=3", nodes=3, memory_mib_per_node=1024)
    cluster.until_ready(*BROKERS, wait_s=WAIT_S)
    cluster.upcall("service", "do", "kafka", "create-topic", f"name={TOPIC}", "partitions=6")
    cluster.until("all replicas in sync", lambda: all_in_sync(cluster), WAIT_S)
    return cluster


def runs(cluster: Cluster) -> set[str]:
    """The version that each broker says it runs."""
    said = (output(cluster, cluster.task(member)) for member in BROKERS)
    return {re.findall(r"Kafka version: (\S+)", each)[-1] for each in said}


def change(cluster: Cluster, *words: str) -> None:
    cluster.upcall(*words, timeout_s=CHANGE_S)
    cluster.until("all replicas in sync", lambda: all_in_sync(cluster), WAIT_S)


def levels(cluster: Cluster) -> dict[str, Any]:
    """But of features that are not in use."""
    found: dict[str, Any] = act(cluster, "kafka", "features")
    return {name: level for name, level in found.items() if level != "0"}


def test_the_old_version_runs_with_its_own_jars_and_says_what_the_new_one_changes(kafka: Cluster) -> None:
    assert runs(kafka) == {OLD}
    assert kafka.client.service("kafka").version == OLD
    said = kafka.upcall("upgrade", "kafka", "--to", "4.3", "--dry-run").stdout
    assert f"version {NEW}" in said
    assert re.search(r"\d+ options? gone, which nobody has set", said), said
    assert "kafka would answer now: accept" in said


@pytest.mark.long
def test_another_version_runs_beside_it(kafka: Cluster) -> None:
    kafka.upcall("install", f"kafka@{NEW}", "--name", "newer", "--set", "brokers=1", timeout_s=CHANGE_S)
    assert kafka.client.service("newer").version == NEW
    assert act(kafka, "newer", "create-topic", name="here", partitions=1)["created"]
    kafka.upcall("uninstall", "newer")


@pytest.mark.long
def test_an_upgrade_writes_what_the_old_version_reads(kafka: Cluster) -> None:
    before = levels(kafka)
    with under_load(kafka, TOPIC):
        change(kafka, "upgrade", "kafka", "--to", NEW)
        assert runs(kafka) == {NEW}
    assert levels(kafka) == before


@pytest.mark.long
def test_a_broker_that_starts_anew_meanwhile_can_go_back_too(kafka: Cluster) -> None:
    before = kafka.task(BROKERS[0])
    empty_volume(kafka, before)
    kill(kafka, before, MAIN)
    until_next_incarnation(kafka, before)
    kafka.until("all replicas in sync", lambda: all_in_sync(kafka), WAIT_S)
    assert runs(kafka) == {NEW}


@pytest.mark.long
def test_before_the_point_of_no_return_the_old_version_comes_back_with_nothing_lost(kafka: Cluster) -> None:
    with under_load(kafka, TOPIC):
        change(kafka, "rollback", "kafka")
        assert runs(kafka) == {OLD}


def test_an_upgrade_under_load_fails_no_write_and_loses_none_and_is_made_final(kafka: Cluster) -> None:
    with under_load(kafka, TOPIC):
        change(kafka, "upgrade", "kafka", "--to", "4.3")
        assert runs(kafka) == {NEW}
        assert kafka.client.service("kafka").came_from == OLD
        kafka.upcall("finalize", "kafka", timeout_s=CHANGE_S)
    assert levels(kafka)["metadata.version"].startswith("4.3")
    assert kafka.client.service("kafka").came_from == ""


def test_after_the_point_of_no_return_nothing_older_comes_back(kafka: Cluster) -> None:
    known = {one.id for one in kafka.client.operations(ended=True)}
    for words in (("rollback", "kafka"), ("upgrade", "kafka", "--to", "4.1")):
        assert f"kafka was finalized at version {NEW}" in kafka.refused(*words)
    assert f"is finalized at version {NEW} already" in kafka.refused("finalize", "kafka")
    assert {one.id for one in kafka.client.operations(ended=True)} == known

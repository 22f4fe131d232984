"""Real brokers whose options are changed while an open loop of writes goes on: live, by restarts, wrong, and back.

The tests of this module follow each other on one cluster, and each leaves three brokers in sync.
"""

import os
import signal
from pathlib import Path

import pytest
from real_cluster import Cluster
from real_kafka import MAIN, TOPIC, all_in_sync, overridden, settings, update
from real_members import WAIT_S, Begin, incarnations, jvm_of

from upcall.catalog.kafka.options import KafkaOptions
from upcall.catalog.kafka.service import Kafka
from upcall.catalog.kafka.settings import facts
from upcall.catalog.kafka.sizing import size_broker

pytestmark = [pytest.mark.real, pytest.mark.in_order, pytest.mark.usefixtures("phase")]

BROKERS = ("kafka.broker-0", "kafka.broker-1", "kafka.broker-2")
NODES = (1, 2, 3)


@pytest.fixture(scope="module")
def kafka(begin: Begin) -> Cluster:
    cluster = begin("kafka", "--set", "brokers=3", nodes=3, memory_mib_per_node=640)
    cluster.until_ready(*BROKERS, wait_s=WAIT_S)
    cluster.upcall("service", "do", "kafka", "create-topic", f"name={TOPIC}", "partitions=6")
    return cluster


def values(cluster: Cluster, name: str) -> list[str]:
    return [settings(cluster, node)[name].value for node in NODES]


def until_in_sync(cluster: Cluster) -> None:
    cluster.until_ready(*BROKERS, wait_s=WAIT_S)
    cluster.until("all replicas are in sync", lambda: all_in_sync(cluster), WAIT_S)


FACTS = facts(Kafka.version)
CHANGED = {
    "log.retention.bytes": "50000000",
    "num.io.threads": "9",
    "compression.type": "zstd",
    "min.insync.replicas": "1",
}


def test_what_kafka_changes_live_restarts_nobody_and_has_its_old_value_again(kafka: Cluster) -> None:
    before = {name: values(kafka, name) for name in CHANGED}
    first = incarnations(kafka, *BROKERS)
    update(kafka, *(word for name, value in CHANGED.items() for word in ("--set", f"settings.{name}={value}")))
    for name, value in CHANGED.items():
        assert values(kafka, name) == [value] * 3, name
    update(kafka, *(word for name in CHANGED for word in ("--unset", f"settings.{name}")))
    assert {name: values(kafka, name) for name in CHANGED} == before
    assert incarnations(kafka, *BROKERS) == first
    assert [overridden(kafka, node) for node in NODES] == [{}] * 3


@pytest.mark.long
def test_what_needs_a_restart_restarts_each_broker_once_and_what_was_live_stands_in_its_file(kafka: Cluster) -> None:
    update(kafka, "--set", "settings.log.retention.bytes=60000000")
    assert [overridden(kafka, node) for node in NODES] == [{"log.retention.bytes": "60000000"}] * 3
    first = incarnations(kafka, *BROKERS)
    update(kafka, "--set", "memory_mib=464")
    assert incarnations(kafka, *BROKERS) == [each + 1 for each in first]
    assert [overridden(kafka, node) for node in NODES] == [{}] * 3, "no override outlives the file that says it"
    assert values(kafka, "log.retention.bytes") == ["60000000"] * 3
    until_in_sync(kafka)


def test_a_setting_that_kafka_does_not_know_is_refused_with_the_nearest_name(kafka: Cluster) -> None:
    first = incarnations(kafka, *BROKERS)
    said = kafka.refused("update", "kafka", "--set", "settings.log.retention.bites=1")
    assert "log.retention.bytes" in said
    assert incarnations(kafka, *BROKERS) == first


def test_a_value_that_the_first_broker_refuses_live_reaches_no_other_and_a_good_one_heals_it(kafka: Cluster) -> None:
    first, name = incarnations(kafka, *BROKERS), "max.connections.per.ip.overrides"
    said = kafka.refused("update", "kafka", "--set", f"settings.{name}=nonsense")
    assert "nonsense" in said
    assert values(kafka, name) == [""] * 3
    update(kafka, "--set", f"settings.{name}=127.0.0.1:500")
    assert values(kafka, name) == ["127.0.0.1:500"] * 3
    update(kafka, "--unset", f"settings.{name}")
    assert values(kafka, name) == [""] * 3
    assert incarnations(kafka, *BROKERS) == first


def test_threads_that_no_broker_has_memory_for_are_declined_with_what_would_fit(kafka: Cluster) -> None:
    first = incarnations(kafka, *BROKERS)
    said = kafka.refused("update", "kafka", "--set", "settings.num.network.threads=100000")
    assert "it has room for" in said
    assert incarnations(kafka, *BROKERS) == first
    assert [overridden(kafka, node) for node in NODES] == [{}] * 3


def test_a_broker_that_ends_by_what_it_was_told_live_is_the_only_one_and_has_again_what_it_had(kafka: Cluster) -> None:
    first, before = incarnations(kafka, *BROKERS), values(kafka, "num.io.threads")
    update(kafka, "--set", "settings.num.io.threads=160", "--no-wait")
    # One broker is told, in steps, then watched for some seconds; meanwhile it ends, as one does without memory.
    kafka.until("a broker is told", lambda: overridden(kafka, NODES[-1]), WAIT_S)
    os.kill(jvm_of(kafka, kafka.task(BROKERS[-1]), MAIN), signal.SIGKILL)
    kafka.until("the update has failed", lambda: "has failed" in kafka.client.service("kafka").reason, WAIT_S)
    assert "broker-2 does not stay up with it" in kafka.client.service("kafka").reason
    until_in_sync(kafka)
    assert [overridden(kafka, node) for node in NODES] == [{}] * 3
    assert values(kafka, "num.io.threads") == before
    assert incarnations(kafka, *BROKERS)[:2] == first[:2]
    assert "would take along what it was to bring" in kafka.refused("update", "kafka", "--set", "move_mib_s=21")
    kafka.upcall("rollback", "kafka", timeout_s=WAIT_S)
    assert [overridden(kafka, node) for node in NODES] == [{}] * 3


def test_a_value_that_ends_the_canary_touches_no_other_and_rollback_heals_it(kafka: Cluster) -> None:
    first = incarnations(kafka, *BROKERS)
    said = kafka.refused("update", "kafka", "--set", "settings.replica.selector.class=org.example.Nowhere")
    assert "broker-2 does not come up with it" in said
    assert incarnations(kafka, *BROKERS)[:2] == first[:2]
    kafka.upcall("rollback", "kafka", timeout_s=WAIT_S)
    until_in_sync(kafka)
    assert incarnations(kafka, *BROKERS)[:2] == first[:2]
    assert values(kafka, "replica.selector.class") == [None] * 3


OTHERS = {
    # Nothing that is written meanwhile goes.
    "log.retention.bytes": str(10**11),
    "log.retention.ms": str(10**11),
    # At most what is kept in all, and more than was kept before.
    "log.local.retention.bytes": str(10**10),
    "log.local.retention.ms": str(10**10),
    # Its place is in the heap, which is small.
    "log.cleaner.dedupe.buffer.size": str(16 << 20),
    # A broker that is to change its cleaner waits until that has slept as this rate wants it.
    "log.cleaner.io.max.bytes.per.second": "9000000.5",
    # -1, or 1 to 9.
    "compression.gzip.level": "1",
    "log.cleanup.policy": "compact,delete",
    "max.connections.per.ip.overrides": "127.0.0.1:500",
    # It was 2.
    "min.insync.replicas": "1",
}


def another(name: str) -> str:
    """Some other value that the setting may have."""
    if name in OTHERS:
        return OTHERS[name]
    part = FACTS.broker[name]
    usual = part.get("default")
    if "enum" in part:
        return str(next(word for word in part["enum"] if word != usual))
    if part["type"] == "integer":
        number = int(usual or 100_000)
        return str(number + 1 if number < part["maximum"] else number - 1)
    assert part["type"] == "number", name
    return "0.75"


def heap_mib(kafka: Cluster) -> int:
    asked = KafkaOptions.model_validate(kafka.client.service("kafka").options)
    return size_broker(asked.memory_mib, 1, asked.disk_mib).heap_mib


def command_line(kafka: Cluster) -> list[str]:
    process = jvm_of(kafka, kafka.task(BROKERS[0]), MAIN)
    return Path(f"/proc/{process}/cmdline").read_bytes().decode().split("\0")


@pytest.mark.long
def test_every_option_is_changed_and_changed_back_and_the_brokers_work_with_what_is_asked(kafka: Cluster) -> None:
    first = incarnations(kafka, *BROKERS)
    changed = {name: another(name) for name in FACTS.live}
    if set_before := kafka.client.service("kafka").options.get("settings"):
        update(kafka, *(word for name in set_before for word in ("--unset", f"settings.{name}")))
    before = {node: settings(kafka, node) for node in NODES}
    update(kafka, *(word for name, value in changed.items() for word in ("--set", f"settings.{name}={value}")))
    for node in NODES:
        found = settings(kafka, node)
        assert {name: found[name].value for name in changed} == changed
    assert incarnations(kafka, *BROKERS) == first
    update(kafka, *(word for name in changed for word in ("--unset", f"settings.{name}")))
    for node in NODES:
        found = settings(kafka, node)
        assert {name: found[name].value for name in changed} == {name: before[node][name].value for name in changed}
    restarted = incarnations(kafka, *BROKERS)
    for words in (("memory_mib=480", "memory_mib=448"), ("cpus=0.4", "cpus=0.3"), ("disk_mib=2304", "disk_mib=2048")):
        for word in words:
            update(kafka, "--set", word)
            until_in_sync(kafka)
            assert f"-Xmx{heap_mib(kafka)}m" in command_line(kafka)
    assert incarnations(kafka, *BROKERS) > restarted
    for word in ("client_auth=none", "per_node=2", "settings.offsets.topic.num.partitions=8"):
        assert "never changed" in kafka.refused("update", "kafka", "--set", word)
    held = incarnations(kafka, *BROKERS)
    for words in (("few_replicas=raise", "few_replicas=ask"), ("move_mib_s=21", "move_mib_s=20")):
        for word in words:
            update(kafka, "--set", word)
    assert incarnations(kafka, *BROKERS) == held
    update(kafka, "--set", "unchecked_settings.of.a.plug.in=1")
    assert incarnations(kafka, *BROKERS) == [each + 1 for each in held]
    update(kafka, "--unset", "unchecked_settings.of.a.plug.in")
    until_in_sync(kafka)
    assert incarnations(kafka, *BROKERS) == [each + 2 for each in held]

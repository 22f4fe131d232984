"""Kafka's rows: three to five brokers on five nodes in three zones, and 250 ``acks=all`` writes a second."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final

from benchmarks import harm
from benchmarks.brokers import MIN_IN_SYNC, Brokers
from benchmarks.cells import Figures
from benchmarks.cluster import own_cluster
from benchmarks.load import InSync, Writes, percentile_ms, read_back, warm_up, write
from benchmarks.operations import rows
from benchmarks.operations.installing import ALL_AT_ONCE, install
from benchmarks.operations.rows import same, scales_itself
from benchmarks.operations.stage import SILENCE_S, Row, Stage, State
from upcall.catalog.kafka.service import Kafka

NODES: Final = 5
NODE_MEMORY_MIB: Final = 640
PARTITIONS: Final = 6
RATE_HZ: Final = 250
DISK_MIB: Final = 256
KEPT, KEPT_RECORDS = "kept", 3000
STORED, STORED_MIB = "stored", 200
"""More than 70 % of three brokers' disks, which is the aim."""
READS, BY_RACK = "settings.replica.selector.class", "org.apache.kafka.common.replica.RackAwareReplicaSelector"
NOT_UP: Final = "does not come up with it"
OLD, NEW = Kafka.versions()[0], Kafka.version
THREE, FIVE = State(NEW, 3), State(NEW, 5)


class KafkaStage(Stage):
    system = "kafka"
    old, new = OLD, NEW
    sabotages: ClassVar = {
        "all-at-once": ALL_AT_ONCE.format(module="kafka", name="Kafka"),
        "deletes-records": "",
        "writes-twice": "",
    }
    driven: Brokers

    @classmethod
    @contextmanager
    def opened(cls, first: State, sabotage: str) -> Iterator["KafkaStage"]:
        version = cls.begins_with(first)
        options = {"brokers": first.members, "replace_after_s": SILENCE_S, "disk_mib": DISK_MIB}
        with own_cluster(nodes=NODES, memory_mib_per_node=NODE_MEMORY_MIB) as cluster:
            kafka = Brokers(cluster)
            install(kafka, version, cls.sabotages.get(sabotage, ""), options)
            kafka.topic("warm-up", PARTITIONS)
            warm_up(cluster.kafka_client(), "warm-up")
            kafka.drop("warm-up")
            yield cls(kafka, State(version, first.members), sabotage)

    @contextmanager
    def under_load(self, name: str) -> Iterator[Callable[[], Figures]]:
        topic = name.replace("_", "-")
        self.driven.topic(topic, PARTITIONS)
        self.driven.until_whole()
        client = self.driven.cluster.kafka_client()
        writes, in_sync = Writes(client, topic, RATE_HZ, idempotent=True), InSync(client, {topic: MIN_IN_SYNC})
        writes.start()
        in_sync.start()
        try:
            yield lambda: self._figures(topic, writes, in_sync)
        finally:
            writes.stop()
            in_sync.stop()

    def _figures(self, topic: str, writes: Writes, in_sync: InSync) -> Figures:
        client = self.driven.cluster.kafka_client()
        if self.sabotage == "deletes-records":
            harm.delete_records(client, topic, PARTITIONS)
        if self.sabotage == "writes-twice":
            harm.write_again(client, topic, min(writes.acknowledged))
        stored = read_back(client, topic)
        self.driven.drop(topic)
        return {
            "failed": writes.failed,
            "lost": len(set(writes.acknowledged) - set(stored)),
            "twice": sum(count > 1 for count in stored.values()),
            "requests": writes.due,
            "p99_ms": percentile_ms(writes.in_time, 99),
            "slowest_ms": percentile_ms(writes.in_time, 100),
            "under_min_isr_s": round(in_sync.under_minimum_s, 2),
            "failed_with": ", ".join(f"{error} {count}" for error, count in writes.errors.most_common(3)),
        }


# -- the rows -------------------------------------------------------------------------------------------------------


def scale_out(kafka: Brokers) -> None:
    kafka.upcall("scale", "kafka", "5")
    kafka.until_whole()
    same(kafka.holders() == {1, 2, 3, 4, 5}, "all five have replicas")


def scale_in_refused(kafka: Brokers) -> None:
    """A topic needs more brokers than would be left."""
    kafka.topic("wide", PARTITIONS, replicas=5)
    try:
        kafka.until_whole()
        said = kafka.refused("scale", "kafka", "3")
        same("wide has 5 replicas, and 3 brokers would be left" in said, f"refused with its numbers: {said}")
        same(len(kafka.cluster.ready("kafka")) == 5, "all five are there")
    finally:
        kafka.drop("wide")


def scale_in(kafka: Brokers) -> None:
    kafka.upcall("scale", "kafka", "3")
    kafka.until_whole()
    same(kafka.holders() == {1, 2, 3}, "nothing is left on who left")


def backup_restore(kafka: Brokers) -> None:
    """Backed up under load, and restored into a service of another size: each record that was there, once."""
    kafka.topic(KEPT, PARTITIONS)
    write(kafka.cluster.kafka_client(), KEPT, range(KEPT_RECORDS))
    made = kafka.cluster.ask("backup", "kafka", "--to", str(Path(kafka.cluster.data).parent / "backups"))
    kafka.upcall("restore", made["backup"], "--to", "restored", "--set", "brokers=1")
    found = read_back(kafka.cluster.kafka_client("restored"), KEPT)
    same(found == Counter(range(KEPT_RECORDS)), "each record came back, once")
    kafka.upcall("uninstall", "restored")
    kafka.drop(KEPT)
    kafka.until_whole()


def scale_itself(kafka: Brokers) -> None:
    """By what is stored: above 70 % of the disks a fourth broker comes."""

    def more() -> None:
        kafka.topic(STORED, 4)
        write(kafka.cluster.kafka_client(), STORED, range(STORED_MIB * 2), os.urandom(1 << 19))

    scales_itself(kafka, 4, more, lambda: kafka.drop(STORED))
    same(kafka.holders() == {1, 2, 3}, "nothing is left on who left")


KafkaStage.rows = {
    "upgrade": Row(State(OLD, 3), KafkaStage.upgraded(), rows.upgrade(NEW)),
    "rollback": Row(KafkaStage.upgraded(), State(OLD, 3), rows.rollback(OLD)),
    "finalize": Row(KafkaStage.upgraded(), THREE, rows.finalize),
    "rolling_restart": Row(THREE, THREE, rows.rolling_restart),
    "changed_option": Row(THREE, THREE, rows.changed("settings.num.io.threads=3", "memory_mib=464")),
    "bad_option": Row(THREE, THREE, rows.bad_then_good(f"{READS}=org.example.Nowhere", NOT_UP, f"{READS}={BY_RACK}")),
    "scale_out": Row(THREE, FIVE, scale_out),
    "drain_zone": Row(FIVE, FIVE, rows.drain_zone),
    "scale_in_refused": Row(FIVE, FIVE, scale_in_refused),
    "scale_in": Row(FIVE, THREE, scale_in),
    "drain_node": Row(THREE, THREE, rows.drain_node),
    "volume_lost": Row(THREE, THREE, rows.volume_lost),
    "node_lost": Row(THREE, THREE, rows.node_lost),
    "backup_restore": Row(THREE, THREE, backup_restore),
    "scale_itself": Row(THREE, THREE, scale_itself),
}

"""Kafka's rows: three to five brokers on five nodes in three zones, and 250 ``acks=all`` writes a second."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks import harm
from benchmarks.brokers import MIN_IN_SYNC, Brokers
from benchmarks.cells import Figures
from benchmarks.cluster import own_cluster
from benchmarks.load import InSync, Writes, percentile_ms, read_back, warm_up, write
from benchmarks.operations import rows
from benchmarks.operations.rows import same, scales_itself
from benchmarks.operations.stage import Row, Stage, State
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
STEADY_S: Final = 3.0
"""Load before and after."""
SILENCE_S: Final = 90
"""How long a lost node is waited for: the least that there is."""

OLD, NEW = Kafka.versions()[0], Kafka.version
UPGRADED: Final = f"{NEW} over {OLD}"
"""Not final: it can go back."""
THREE, FIVE = State(NEW, 3), State(NEW, 5)

ALL_AT_ONCE: Final = """\
import msgspec

from upcall.catalog.kafka.service import Kafka
from upcall.service import accept


class Sabotaged(Kafka):
    \"\"\"Kafka whose code accepts everything at once.\"\"\"

    package = "kafka-sabotaged"

    async def answer_set(self, operations):
        return {operation.id: accept("sabotaged: always") for operation in operations}

    def policy(self):
        return msgspec.structs.replace(super().policy(), minimum=0)
"""
SABOTAGES: Final = {"all-at-once": ALL_AT_ONCE, "deletes-records": "", "writes-twice": ""}


class KafkaStage(Stage):
    system = "kafka"

    def __init__(self, brokers: Brokers, state: State, sabotage: str) -> None:
        self.kafka = brokers
        self._state = state
        self._sabotage = sabotage

    @classmethod
    @contextmanager
    def opened(cls, first: State, sabotage: str) -> Iterator["KafkaStage"]:
        with own_cluster(nodes=NODES, memory_mib_per_node=NODE_MEMORY_MIB) as cluster:
            kafka = Brokers(cluster)
            version = OLD if first.version in (OLD, UPGRADED) else NEW
            kafka.upcall("fetch", f"kafka@{version}")
            package = f"kafka@{version}"
            if text := SABOTAGES.get(sabotage, ""):
                file = Path(cluster.data).parent / "sabotaged.py"
                file.write_text(text)
                package = str(file)
            options = {"brokers": first.members, "replace_after_s": SILENCE_S, "disk_mib": DISK_MIB}
            wanted = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
            kafka.upcall("install", package, "--name", "kafka", *wanted)
            kafka.topic("warm-up", PARTITIONS)
            warm_up(cluster.kafka_client(), "warm-up")
            kafka.drop("warm-up")
            yield cls(kafka, State(version, first.members), sabotage)

    def bring_to(self, state: State) -> None:
        if (self._state.version, state.version) == (UPGRADED, OLD):
            self.kafka.upcall("rollback", "kafka")
        if self._state.version == OLD and state.version != OLD:
            self.kafka.upcall("upgrade", "kafka", "--to", NEW)
        if self._state.version in (OLD, UPGRADED) and state.version == NEW:
            self.kafka.upcall("finalize", "kafka")
        if self._state.members != state.members:
            self.kafka.upcall("scale", "kafka", str(state.members))
        self.kafka.until_whole()
        self._state = state

    def measure(self, name: str) -> Figures:
        row, topic = self.rows[name], name.replace("_", "-")
        self.kafka.topic(topic, PARTITIONS)
        self.kafka.until_whole()
        client = self.kafka.cluster.kafka_client()
        writes, in_sync = Writes(client, topic, RATE_HZ, idempotent=True), InSync(client, {topic: MIN_IN_SYNC})
        writes.start()
        in_sync.start()
        try:
            time.sleep(STEADY_S)
            began = time.monotonic()
            row.play(self.kafka)
            took_s = time.monotonic() - began
            time.sleep(STEADY_S)
        finally:
            writes.stop()
            in_sync.stop()
        self._state = row.leaves
        if self._sabotage == "deletes-records":
            harm.delete_records(client, topic, PARTITIONS)
        if self._sabotage == "writes-twice":
            harm.write_again(client, topic, min(writes.acknowledged))
        stored = read_back(self.kafka.cluster.kafka_client(), topic)
        self.kafka.drop(topic)
        return {
            "duration_s": round(took_s, 1),
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
    "upgrade": Row(State(OLD, 3), State(UPGRADED, 3), rows.upgrade(NEW)),
    "rollback": Row(State(UPGRADED, 3), State(OLD, 3), rows.rollback(OLD)),
    "finalize": Row(State(UPGRADED, 3), THREE, rows.finalize),
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

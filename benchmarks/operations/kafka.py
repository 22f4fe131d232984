"""Kafka's rows: three to five brokers on five nodes in three zones, and 250 ``acks=all`` writes a second."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks import harm
from benchmarks.brokers import MIN_IN_SYNC, Brokers
from benchmarks.cells import Figures, say
from benchmarks.cluster import Broken, own_cluster
from benchmarks.load import InSync, Writes, percentile_ms, read_back, warm_up
from benchmarks.operations.stage import Row, Stage, State
from upcall.catalog.kafka.service import Kafka

NODES: Final = 5
NODE_MEMORY_MIB: Final = 640
PARTITIONS: Final = 6
RATE_HZ: Final = 250
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
            wanted = ("--set", f"brokers={first.members}", "--set", f"replace_after_s={SILENCE_S}")
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
        self.kafka.until_in_sync()
        self._state = state

    def measure(self, name: str) -> Figures:
        row, topic = self.rows[name], name.replace("_", "-")
        self.kafka.topic(topic, PARTITIONS)
        self.kafka.until_in_sync()
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


def rolling_restart(kafka: Brokers) -> None:
    """A restart of each broker is asked for at once; Kafka's code says who goes when."""
    before = kafka.brokers()
    asked = [str(kafka.cluster.ask("task", "restart", task.member, "--no-wait")["id"]) for task in before]
    kafka.until_done(asked)
    kafka.until_in_sync()
    now = {task.member: task.incarnation for task in kafka.brokers()}
    same(all(now[task.member] > task.incarnation for task in before), "each broker was restarted")


def changed_option(kafka: Brokers) -> None:
    """One that changes live, and one that needs restarts."""
    kafka.upcall("update", "kafka", "--set", "settings.num.io.threads=3", "--set", "memory_mib=464")
    kafka.until_in_sync()


def bad_option(kafka: Brokers) -> None:
    """No broker starts with the first value; the second is good."""
    before, option = kafka.brokers(), "settings.replica.selector.class"
    said = kafka.refused("update", "kafka", "--set", f"{option}=org.example.Nowhere")
    same("does not come up with it" in said, f"the update failed with its first broker: {said}")
    same([task.task for task in kafka.brokers()][:-1] == [task.task for task in before][:-1], "no other was touched")
    good = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
    kafka.upcall("update", "kafka", "--set", f"{option}={good}")
    kafka.until_in_sync()


def scale_out(kafka: Brokers) -> None:
    kafka.upcall("scale", "kafka", "5")
    kafka.until_in_sync()
    same(kafka.holders() == {1, 2, 3, 4, 5}, "all five have replicas")


def scale_in_refused(kafka: Brokers) -> None:
    """A topic needs more brokers than would be left."""
    kafka.topic("wide", PARTITIONS, replicas=5)
    try:
        kafka.until_in_sync()
        said = kafka.refused("scale", "kafka", "3")
        same("wide has 5 replicas, and 3 brokers would be left" in said, f"refused with its numbers: {said}")
        same(len(kafka.cluster.ready("kafka")) == 5, "all five are there")
    finally:
        kafka.drop("wide")


def scale_in(kafka: Brokers) -> None:
    kafka.upcall("scale", "kafka", "3")
    kafka.until_in_sync()
    same(kafka.holders() == {1, 2, 3}, "nothing is left on who left")


def drain_node(kafka: Brokers) -> None:
    node = kafka.broker(0).node
    kafka.upcall("node", "drain", node, "--reason", "new memory")
    same(kafka.broker(0).state == "held", "its broker is held")
    kafka.upcall("node", "undrain", node)
    kafka.until_in_sync()


def drain_zone(kafka: Brokers) -> None:
    """All brokers of a zone go together."""
    zones = {node.name: node.zone for node in kafka.cluster.client.nodes()}
    zone = zones[kafka.broker(0).node]
    there = {task.member for task in kafka.brokers() if zones[task.node] == zone}
    kafka.upcall("node", "drain", "--zone", zone, "--reason", "the rack moves")
    held = {task.member for task in kafka.brokers() if task.state == "held"}
    same(held == there and len(there) == 2, f"both brokers of the zone are held: {sorted(held)}")
    kafka.upcall("node", "undrain", "--zone", zone)
    kafka.until_in_sync()


def upgrade(kafka: Brokers) -> None:
    kafka.upcall("upgrade", "kafka", "--to", NEW)
    kafka.until_in_sync()
    same(kafka.cluster.client.service("kafka").version == NEW, "it runs the new version")


def rollback(kafka: Brokers) -> None:
    kafka.upcall("rollback", "kafka")
    kafka.until_in_sync()
    same(kafka.cluster.client.service("kafka").version == OLD, "it runs the old version")


def finalize(kafka: Brokers) -> None:
    kafka.upcall("finalize", "kafka")
    kafka.until_in_sync()
    same("was finalized" in kafka.refused("rollback", "kafka"), "nothing older comes back")


def volume_lost(kafka: Brokers) -> None:
    before = kafka.broker(0)
    harm.empty_volume(kafka.cluster, before)
    harm.kill(kafka.cluster, before)
    kafka.until_next(before)


def node_lost(kafka: Brokers) -> None:
    before = kafka.broker(1)
    harm.lose_node(kafka.cluster, before)
    kafka.until_next(before)
    same(kafka.broker(1).node != before.node, "it is elsewhere")


def same(holds: bool, words: str) -> None:
    """What has to be so after a row, or it is not what it says."""
    if not holds:
        raise Broken(f"not so: {words}")
    say(f"  {words.partition(':')[0]}")


KafkaStage.rows = {
    "upgrade": Row(State(OLD, 3), State(UPGRADED, 3), upgrade),
    "rollback": Row(State(UPGRADED, 3), State(OLD, 3), rollback),
    "finalize": Row(State(UPGRADED, 3), THREE, finalize),
    "rolling_restart": Row(THREE, THREE, rolling_restart),
    "changed_option": Row(THREE, THREE, changed_option),
    "bad_option": Row(THREE, THREE, bad_option),
    "scale_out": Row(THREE, FIVE, scale_out),
    "drain_zone": Row(FIVE, FIVE, drain_zone),
    "scale_in_refused": Row(FIVE, FIVE, scale_in_refused),
    "scale_in": Row(FIVE, THREE, scale_in),
    "drain_node": Row(THREE, THREE, drain_node),
    "volume_lost": Row(THREE, THREE, volume_lost),
    "node_lost": Row(THREE, THREE, node_lost),
}

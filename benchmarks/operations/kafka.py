"""Kafka's rows: three to five brokers on five nodes in three zones, and 250 ``acks=all`` writes a second."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from benchmarks import harm
from benchmarks.cells import Figures, say
from benchmarks.cluster import Broken, OwnCluster, own_cluster
from benchmarks.load import KEY_BYTES, PAYLOAD, InSync, Writes, percentile_ms, read_back, warm_up
from benchmarks.operations.stage import Row, Stage, State
from upcall.catalog.kafka.service import Kafka
from upcall.protocol.operator import TaskView

NODES: Final = 5
NODE_MEMORY_MIB: Final = 640
PARTITIONS: Final = 6
REPLICAS: Final = 3
MIN_IN_SYNC: Final = 2
RATE_HZ: Final = 250
STEADY_S: Final = 3.0
"""Load before and after."""
SILENCE_S: Final = 90
"""How long a lost node is waited for: the least that there is."""
OVER_S: Final = 600.0

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

    def __init__(self) -> None:
        self._cluster: OwnCluster | None = None
        self._state = THREE
        self._sabotage = ""

    @contextmanager
    def opened(self, first: State, sabotage: str) -> Iterator["KafkaStage"]:
        with own_cluster(nodes=NODES, memory_mib_per_node=NODE_MEMORY_MIB) as self._cluster:
            self._sabotage = sabotage
            version = OLD if first.version in (OLD, UPGRADED) else NEW
            self.upcall("fetch", f"kafka@{version}")
            package = f"kafka@{version}"
            if text := SABOTAGES.get(sabotage, ""):
                file = Path(self.cluster.data).parent / "sabotaged.py"
                file.write_text(text)
                package = str(file)
            wanted = ("--set", f"brokers={first.members}", "--set", f"replace_after_s={SILENCE_S}")
            self.upcall("install", package, "--name", "kafka", *wanted)
            self._state = State(version, first.members)
            self.topic("warm-up")
            warm_up(self.cluster.kafka_client(), "warm-up")
            self.upcall("service", "do", "kafka", "delete-topic", "name=warm-up")
            yield self

    def bring_to(self, state: State) -> None:
        if (self._state.version, state.version) == (UPGRADED, OLD):
            self.upcall("rollback", "kafka")
        if self._state.version == OLD and state.version != OLD:
            self.upcall("upgrade", "kafka", "--to", NEW)
        if self._state.version in (OLD, UPGRADED) and state.version == NEW:
            self.upcall("finalize", "kafka")
        if self._state.members != state.members:
            self.upcall("scale", "kafka", str(state.members))
        self.until_in_sync()
        self._state = state

    def measure(self, name: str) -> Figures:
        row, topic = self.rows[name], name.replace("_", "-")
        self.topic(topic)
        self.until_in_sync()
        client = self.cluster.kafka_client()
        writes, in_sync = Writes(client, topic, RATE_HZ, idempotent=True), InSync(client, {topic: MIN_IN_SYNC})
        writes.start()
        in_sync.start()
        try:
            time.sleep(STEADY_S)
            began = time.monotonic()
            row.play(self)
            took_s = time.monotonic() - began
            time.sleep(STEADY_S)
        finally:
            writes.stop()
            in_sync.stop()
        self._state = row.leaves
        self._harm_records(topic, writes)
        stored = read_back(self.cluster.kafka_client(), topic)
        self.upcall("service", "do", "kafka", "delete-topic", f"name={topic}")
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

    def _harm_records(self, topic: str, writes: Writes) -> None:
        """What turns the reading back red, to see that it can."""
        client: dict[str, str | int | float | bool] = {**self.cluster.kafka_client(), "log_level": 2}
        if self._sabotage == "deletes-records":
            first = [TopicPartition(topic, number, 10) for number in range(PARTITIONS)]
            for each in AdminClient(client).delete_records(first).values():
                each.result(60)
        if self._sabotage == "writes-twice":
            producer = Producer({**client, "acks": "all"})
            producer.produce(topic, PAYLOAD, min(writes.acknowledged).to_bytes(KEY_BYTES, "big"))
            producer.flush(60)

    # -- what a person does, and looks at ---------------------------------------------------------------------------

    @property
    def cluster(self) -> OwnCluster:
        assert self._cluster is not None, "it is not opened"
        return self._cluster

    def upcall(self, *words: str) -> str:
        return self.cluster.upcall(*words)

    def topic(self, name: str, replicas: int = REPLICAS) -> None:
        self.upcall(
            "service", "do", "kafka", "create-topic", f"name={name}", f"partitions={PARTITIONS}",
            f"replication={replicas}", f'config={{"min.insync.replicas": "{MIN_IN_SYNC}"}}',
        )  # fmt: skip

    def brokers(self) -> list[TaskView]:
        found = [task for task in self.cluster.client.tasks() if task.service == "kafka"]
        return sorted(found, key=lambda task: task.member)

    def broker(self, number: int) -> TaskView:
        return next(task for task in self.brokers() if task.member == f"kafka.broker-{number}")

    def until(self, what: str, look: Callable[[], Any]) -> None:
        self.cluster.until(what, look, OVER_S)

    def until_in_sync(self) -> None:
        """All brokers are ready, and all replicas of all topics in sync."""
        self.until("all brokers ready", lambda: all(task.state == "ready" for task in self.brokers()))
        self.until("all replicas in sync", self._in_sync)

    def _in_sync(self) -> bool:
        with suppress(KafkaException):
            found = AdminClient({**self.cluster.kafka_client(), "log_level": 2}).list_topics(timeout=5)
            parts = [partition for topic in found.topics.values() for partition in topic.partitions.values()]
            known = len(found.brokers) == len(self.brokers())
            return known and all(len(each.isrs) == len(each.replicas) for each in parts)
        return False

    def until_done(self, operations: list[str]) -> None:
        def look() -> bool:
            states = {each: self.cluster.operation(each).state for each in operations}
            if bad := [each for each, state in states.items() if state in ("failed", "declined", "withdrawn")]:
                raise Broken(f"{bad[0]} is {states[bad[0]]}:\n{self.upcall('why', bad[0])}")
            return all(state == "done" for state in states.values())

        self.until(f"{', '.join(operations)} done", look)

    def refused(self, *words: str) -> str:
        try:
            said = self.upcall(*words)
        except Broken as refused:
            return str(refused)
        raise Broken(f"upcall {' '.join(words)} was not refused: {said}")

    def hosts_replicas(self) -> set[int]:
        """Node ids that any partition names."""
        found = AdminClient({**self.cluster.kafka_client(), "log_level": 2}).list_topics(timeout=30).topics.values()
        return {node for topic in found for partition in topic.partitions.values() for node in partition.replicas}


# -- the rows -------------------------------------------------------------------------------------------------------


def rolling_restart(stage: KafkaStage) -> None:
    """A restart of each broker is asked for at once; Kafka's code says who goes when."""
    before = stage.brokers()
    asked = [str(stage.cluster.ask("task", "restart", task.member, "--no-wait")["id"]) for task in before]
    stage.until_done(asked)
    stage.until_in_sync()
    now = {task.member: task.incarnation for task in stage.brokers()}
    same(all(now[task.member] > task.incarnation for task in before), "each broker was restarted")


def changed_option(stage: KafkaStage) -> None:
    """One that changes live, and one that needs restarts."""
    stage.upcall("update", "kafka", "--set", "settings.num.io.threads=3", "--set", "memory_mib=464")
    stage.until_in_sync()


def bad_option(stage: KafkaStage) -> None:
    """No broker starts with the first value; the second is good."""
    before, option = stage.brokers(), "settings.replica.selector.class"
    said = stage.refused("update", "kafka", "--set", f"{option}=org.example.Nowhere")
    same("does not come up with it" in said, f"the update failed with its first broker: {said}")
    same([task.task for task in stage.brokers()][:-1] == [task.task for task in before][:-1], "no other was touched")
    good = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
    stage.upcall("update", "kafka", "--set", f"{option}={good}")
    stage.until_in_sync()


def scale_out(stage: KafkaStage) -> None:
    stage.upcall("scale", "kafka", "5")
    stage.until_in_sync()
    same(stage.hosts_replicas() == {1, 2, 3, 4, 5}, "all five have replicas")


def scale_in_refused(stage: KafkaStage) -> None:
    """A topic needs more brokers than would be left."""
    stage.topic("wide", replicas=5)
    try:
        stage.until_in_sync()
        said = stage.refused("scale", "kafka", "3")
        same("wide has 5 replicas, and 3 brokers would be left" in said, f"refused with its numbers: {said}")
        same(len(stage.cluster.ready("kafka")) == 5, "all five are there")
    finally:
        stage.upcall("service", "do", "kafka", "delete-topic", "name=wide")


def scale_in(stage: KafkaStage) -> None:
    stage.upcall("scale", "kafka", "3")
    stage.until_in_sync()
    same(stage.hosts_replicas() == {1, 2, 3}, "nothing is left on who left")


def drain_node(stage: KafkaStage) -> None:
    node = stage.broker(0).node
    stage.upcall("node", "drain", node, "--reason", "new memory")
    same(stage.broker(0).state == "held", "its broker is held")
    stage.upcall("node", "undrain", node)
    stage.until_in_sync()


def drain_zone(stage: KafkaStage) -> None:
    """All brokers of a zone go together."""
    zones = {node.name: node.zone for node in stage.cluster.client.nodes()}
    zone = zones[stage.broker(0).node]
    there = {task.member for task in stage.brokers() if zones[task.node] == zone}
    stage.upcall("node", "drain", "--zone", zone, "--reason", "the rack moves")
    held = {task.member for task in stage.brokers() if task.state == "held"}
    same(held == there and len(there) == 2, f"both brokers of the zone are held: {sorted(held)}")
    stage.upcall("node", "undrain", "--zone", zone)
    stage.until_in_sync()


def upgrade(stage: KafkaStage) -> None:
    stage.upcall("upgrade", "kafka", "--to", NEW)
    stage.until_in_sync()
    same(stage.cluster.client.service("kafka").version == NEW, "it runs the new version")


def rollback(stage: KafkaStage) -> None:
    stage.upcall("rollback", "kafka")
    stage.until_in_sync()
    same(stage.cluster.client.service("kafka").version == OLD, "it runs the old version")


def finalize(stage: KafkaStage) -> None:
    stage.upcall("finalize", "kafka")
    stage.until_in_sync()
    same("was finalized" in stage.refused("rollback", "kafka"), "nothing older comes back")


def volume_lost(stage: KafkaStage) -> None:
    before = stage.broker(0)
    harm.empty_volume(stage.cluster, before)
    harm.kill(stage.cluster, before)
    until_next(stage, before)


def node_lost(stage: KafkaStage) -> None:
    before = stage.broker(1)
    harm.lose_node(stage.cluster, before)
    until_next(stage, before)
    same(stage.broker(1).node != before.node, "it is elsewhere")


def until_next(stage: KafkaStage, before: TaskView) -> None:
    def look() -> bool:
        now = next(task for task in stage.brokers() if task.member == before.member)
        return now.incarnation > before.incarnation and now.state == "ready"

    stage.until(f"{before.member} is ready again", look)
    stage.until_in_sync()


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

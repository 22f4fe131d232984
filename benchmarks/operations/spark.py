"""Spark's rows: a master, one or two workers and a job on four nodes, which counts 250 writes a second of a Kafka that
stands on a cluster of its own: what is operated is Spark alone."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final

from benchmarks import harm
from benchmarks.brokers import Brokers
from benchmarks.cells import Figures
from benchmarks.cluster import own_cluster
from benchmarks.load import Writes, percentile_ms
from benchmarks.operations import rows
from benchmarks.operations.installing import install
from benchmarks.operations.rows import same
from benchmarks.operations.stage import SILENCE_S, Row, Stage, State
from benchmarks.workers import JOB, MEMBER, Workers
from upcall.catalog.spark.service import Spark

NODES: Final = 4
NODE_MEMORY_MIB: Final = 2600
KAFKA_MEMORY_MIB: Final = 640
PARTITIONS: Final = 3
RATE_HZ: Final = 250
TOPIC: Final = "writes"
SPARK: Final = Spark.version
ONE, TWO = State(SPARK, 1), State(SPARK, 2)
PORT: Final = "settings.spark.driver.port"
ELSEWHERE: Final = "no row yet; tests/real/test_spark_life.py has it"
NO_DATA: Final = "no member of Spark holds data that another one would have to take over"


class SparkStage(Stage):
    system = "spark"
    old = new = SPARK
    none: ClassVar = {
        "upgrade": ELSEWHERE,
        "rollback": ELSEWHERE,
        "finalize": ELSEWHERE,
        "scale_in_refused": NO_DATA,
        "volume_lost": "a worker has no volume; a job whose checkpoint is lost begins anew, and says so",
        "backup_restore": ELSEWHERE,
        "scale_itself": ELSEWHERE,
    }
    sabotages: ClassVar = {"writes-twice": ""}
    driven: Workers

    def __init__(self, spark: Workers, state: State, sabotage: str) -> None:
        super().__init__(spark, state, sabotage)
        self._next = 0
        """Write that is not due yet."""

    @classmethod
    @contextmanager
    def opened(cls, first: State, sabotage: str) -> Iterator["SparkStage"]:
        with (
            own_cluster(nodes=1, memory_mib_per_node=KAFKA_MEMORY_MIB) as beside,
            own_cluster(nodes=NODES, memory_mib_per_node=NODE_MEMORY_MIB) as cluster,
        ):
            kafka = Brokers(beside)
            kafka.upcall("install", "kafka", "--set", "brokers=1", "--set", "client_auth=none")
            words = (f"name={TOPIC}", f"partitions={PARTITIONS}", "replication=1")
            kafka.upcall("service", "do", "kafka", "create-topic", *words)
            client = beside.kafka_client()
            spark = Workers(cluster, client, TOPIC)
            install(spark, SPARK, "", {"workers": first.members, "replace_after_s": SILENCE_S})
            program = Path(__file__).with_name("counts.py").read_text()
            arguments = [client["bootstrap.servers"], TOPIC, "{{volume.checkpoint}}"]
            spark.act("submit-job", name=JOB, program=program, arguments=arguments)
            spark.until_whole()
            yield cls(spark, first, sabotage)

    @contextmanager
    def under_load(self, name: str) -> Iterator[Callable[[], Figures]]:
        spark = self.driven
        writes = Writes(spark.kafka, TOPIC, RATE_HZ, idempotent=True, first=self._next)
        writes.start()
        try:
            yield lambda: self._figures(writes)
        finally:
            writes.stop()
            self._next += writes.due

    def _figures(self, writes: Writes) -> Figures:
        """``failed``: writes that Kafka did not take in time, though nobody touches it. What is late is counted in
        ``behind_s``: a job has no answer to give."""
        spark = self.driven
        if self.sabotage == "writes-twice":
            harm.write_again(spark.kafka, TOPIC, writes.first + min(writes.acknowledged))
        began = time.monotonic()
        spark.until_counted()
        behind_s = time.monotonic() - began
        found = spark.counted()
        times = [found[writes.first + number] for number in writes.acknowledged]
        return {
            "failed": writes.failed,
            "lost": times.count(0),
            "twice": sum(count > 1 for count in times),
            "requests": writes.due,
            "p99_ms": percentile_ms(writes.in_time, 99),
            "slowest_ms": percentile_ms(writes.in_time, 100),
            "behind_s": round(behind_s, 1),
            "failed_with": ", ".join(f"{error} {count}" for error, count in writes.errors.most_common(3)),
        }


# -- the rows -------------------------------------------------------------------------------------------------------


def scaled(count: int) -> Callable[[Workers], None]:
    def play(spark: Workers) -> None:
        spark.upcall("scale", "spark", str(count))
        spark.until_whole()
        same(len(spark.members()) == count, f"there are {count}")

    return play


def drain_zone(spark: Workers) -> None:
    """What runs in the zone of the first worker goes, whatever it is."""
    zones = {node.name: node.zone for node in spark.cluster.client.nodes()}
    zone = zones[spark.member(0).node]
    spark.upcall("node", "drain", "--zone", zone, "--reason", "the rack moves")
    there = {task.member: task.state for task in spark.everyone() if zones[task.node] == zone}
    same(set(there.values()) <= {"held"}, f"nothing runs in the zone: {there}")
    spark.upcall("node", "undrain", "--zone", zone)
    spark.until_whole()


def node_lost(spark: Workers) -> None:
    """That of a worker beside which nothing waits for its volume."""
    others = {task.node for task in spark.everyone() if task.member == MEMBER}
    before = next(task for task in spark.members() if task.node not in others)
    harm.lose_node(spark.cluster, before)
    spark.until_next(before)
    now = next(task for task in spark.members() if task.member == before.member)
    same(now.node != before.node, "it is elsewhere")


SparkStage.rows = {
    "rolling_restart": Row(ONE, ONE, rows.rolling_restart),
    "changed_option": Row(ONE, ONE, rows.changed("settings.spark.network.timeout=130s", "memory_mib=1264")),
    "bad_option": Row(ONE, ONE, rows.bad_then_good(f"{PORT}=70000", "does not come up with it", f"{PORT}=0")),
    "scale_out": Row(ONE, TWO, scaled(2)),
    "drain_zone": Row(TWO, TWO, drain_zone),
    "scale_in": Row(TWO, ONE, scaled(1)),
    "drain_node": Row(ONE, ONE, rows.drain_node),
    "node_lost": Row(TWO, TWO, node_lost),
}

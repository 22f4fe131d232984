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
from benchmarks.operations.rows import same, scales_itself
from benchmarks.operations.stage import SILENCE_S, Row, Stage, State
from benchmarks.workers import JOB, Workers
from upcall.catalog.spark.config import PAGE_PORT
from upcall.catalog.spark.service import Spark
from upcall.protocol.operator import TaskView

NODES: Final = 4
NODE_MEMORY_MIB: Final = 2600
KAFKA_MEMORY_MIB: Final = 640
PARTITIONS: Final = 3
RATE_HZ: Final = 250
TOPIC: Final = "writes"
OLD, NEW = Spark.versions()[0], Spark.version
ONE, TWO = State(NEW, 1), State(NEW, 2)
PORT: Final = "settings.spark.worker.ui.port"
"""A worker, which goes first, does not start with a port that is none."""
IN_FLIGHT: Final = 2 * RATE_HZ
"""Writes that may stand in another order than they were due."""
SLOW: Final = """
import sys, time
from pyspark.sql import SparkSession

spark = SparkSession.builder.appName("slow").getOrCreate()
source = spark.readStream.format("rate").option("rowsPerSecond", 10).load()
query = source.writeStream.queryName("slow").foreachBatch(lambda frame, number: (frame.count(), time.sleep(2)))
query = query.trigger(processingTime="1 second").option("checkpointLocation", sys.argv[1]).start()
query.awaitTermination()
"""


class SparkStage(Stage):
    system = "spark"
    old, new = OLD, NEW
    few = 1
    none: ClassVar = {
        "scale_in_refused": "no worker holds data that another one would have to take over",
        "volume_lost": "a worker has no volume; a job whose checkpoint is gone begins anew by its own words",
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
            version = cls.begins_with(first)
            install(spark, version, "", {"workers": first.members, "replace_after_s": SILENCE_S})
            program = Path(__file__).with_name("counts.py").read_text()
            arguments = [client["bootstrap.servers"], TOPIC, "{{volume.checkpoint}}"]
            spark.act("submit-job", name=JOB, program=program, arguments=arguments)
            spark.until_whole()
            yield cls(spark, State(version, first.members), sabotage)

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
    drained(spark, {name for name, each in zones.items() if each == zone}, "--zone", zone)


def drain_node(spark: Workers) -> None:
    node = spark.member(0).node
    drained(spark, {node}, node)


def drained(spark: Workers, nodes: set[str], *which: str) -> None:
    """What has no volume goes elsewhere where there is room, and is held else."""
    spark.upcall("node", "drain", *which, "--reason", "the rack moves")
    there = {task.member: task.state for task in spark.everyone() if task.node in nodes}
    same(set(there.values()) <= {"held"}, f"nothing runs there: {there}")
    spark.upcall("node", "undrain", *which)
    spark.until_whole()


def _bound(spark: Workers) -> set[str]:
    """Nodes of what has a volume."""
    workers = {task.member for task in spark.members()}
    return {task.node for task in spark.everyone() if task.member not in workers}


def _alone(spark: Workers) -> list[TaskView]:
    bound = _bound(spark)
    return [task for task in spark.members() if task.node not in bound]


def node_lost(spark: Workers) -> None:
    """That of a worker which has it for itself: master and driver would wait for their volumes there to come back."""
    if not (alone := _alone(spark)):
        bound = _bound(spark)
        spark.upcall("node", "drain", *sorted(bound), "--reason", "its workers go elsewhere")
        spark.upcall("node", "undrain", *sorted(bound))
        spark.until_whole()
        alone = _alone(spark)
        same(len(alone) > 0, "a worker has a node for itself")
    before = alone[0]
    harm.lose_node(spark.cluster, before)
    spark.until_next(before)
    now = next(task for task in spark.members() if task.member == before.member)
    same(now.node != before.node, "it is elsewhere")


def backup_restore(spark: Workers) -> None:
    """The job goes on in another service from where it was when it was backed up, and counts nothing twice."""
    made = spark.cluster.ask("backup", "spark", "--to", str(Path(spark.cluster.data).parent / "backups"))
    later = spark.written() + IN_FLIGHT
    spark.upcall("restore", made["backup"], "--to", "copy")
    spark.until("there is something new", lambda: spark.written() > later + IN_FLIGHT)
    new = range(later, spark.written() - IN_FLIGHT)
    spark.until("the copy counted what came later", lambda: all(map(spark.counted("copy").__contains__, new)))
    same(set(spark.counted("copy").values()) == {1}, "the copy counted nothing twice")
    spark.upcall("uninstall", "copy")
    spark.until_whole()


def scale_itself(spark: Workers) -> None:
    """For a job that lags a worker comes, and it leaves when the job is gone."""

    def more() -> None:
        slow = {"name": "slow", "program": SLOW, "arguments": ["{{volume.checkpoint}}/slow"], "disk_mib": 64}
        spark.act("submit-job", **slow, cores=2)

    def less() -> None:
        spark.act("stop-job", name="slow")
        spark.until("the job left", lambda: not any(task.member == "spark.job-slow" for task in spark.everyone()))

    scales_itself(spark, 2, more, less)


SparkStage.rows = {
    "upgrade": Row(State(OLD, 1), SparkStage.upgraded(), rows.upgrade(NEW)),
    "rollback": Row(SparkStage.upgraded(), State(OLD, 1), rows.rollback(OLD)),
    "finalize": Row(SparkStage.upgraded(), ONE, rows.finalize),
    "rolling_restart": Row(ONE, ONE, rows.rolling_restart),
    "changed_option": Row(ONE, ONE, rows.changed("settings.spark.network.timeout=130s", "memory_mib=1264")),
    "bad_option": Row(
        ONE, ONE, rows.bad_then_good(f'{PORT}="70000"', "does not come up with it", f'{PORT}="{PAGE_PORT}"')
    ),
    "scale_out": Row(ONE, TWO, scaled(2)),
    "drain_zone": Row(TWO, TWO, drain_zone),
    "scale_in": Row(TWO, ONE, scaled(1)),
    "drain_node": Row(ONE, ONE, drain_node),
    "node_lost": Row(TWO, TWO, node_lost),
    "backup_restore": Row(TWO, TWO, backup_restore),
    "scale_itself": Row(ONE, ONE, scale_itself),
}

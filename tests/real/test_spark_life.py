"""Real Spark through its life: two versions beside each other, an upgrade, the way back, the point of no return.

A query reads numbers that follow each other, so many in a batch: batch N has those from N times as many on. So what
it says tells whether a driver of any version went on exactly where the checkpoint of the one before ends.
"""

import re
from itertools import pairwise

import pytest
from real_cluster import Cluster
from real_members import WAIT_S, Begin

from upcall.catalog.spark.service import Spark

pytestmark = [pytest.mark.real, pytest.mark.long]

OLD, NEW = Spark.versions()[0], Spark.version
ROWS = 100
COUNTS = f"""
import signal, sys
from pyspark.sql import SparkSession

spark = SparkSession.builder.appName("totals").getOrCreate()

def tell(frame, number):
    values = [row.value for row in frame.collect()]
    print("spark", spark.version, "batch", number, "from", min(values), "to", max(values), flush=True)

source = spark.readStream.format("rate-micro-batch").option("rowsPerBatch", {ROWS}).option("numPartitions", 1).load()
query = source.writeStream.queryName("totals").foreachBatch(tell).trigger(processingTime="2 seconds")
query = query.option("checkpointLocation", sys.argv[1]).start()
signal.signal(signal.SIGTERM, lambda *_: query.stop())
query.awaitTermination()
spark.stop()
"""


@pytest.fixture(scope="module")
def spark(begin: Begin) -> Cluster:
    cluster = begin("spark@4.0", "--set", "memory_mib=1016", "--set", "cores=1", nodes=2, memory_mib_per_node=3000)
    cluster.until_ready("spark.master-0", "spark.worker-0", wait_s=WAIT_S)
    submit(cluster, "spark")
    return cluster


def submit(cluster: Cluster, service: str) -> None:
    job = {"name": "totals", "program": COUNTS, "arguments": ["{{volume.checkpoint}}/totals"], "disk_mib": 64}
    assert cluster.client.post(f"/v1/services/{service}/actions/submit-job", job)


def batches(cluster: Cluster, service: str = "spark") -> list[tuple[str, int, int, int]]:
    """Version, batch, first and last number, as all drivers of the job have said them."""
    logs = cluster.data.glob(f"nodes/*/tasks/{service}.job-totals.*/logs/*")
    said = "".join(one.read_text() for one in sorted(logs, key=lambda each: int(each.parts[-3].rpartition(".")[2])))
    found = re.findall(r"^spark (\S+) batch (\d+) from (\d+) to (\d+)$", said, re.MULTILINE)
    return [(version, int(number), int(first), int(last)) for version, number, first, last in found]


def last_batch(cluster: Cluster, service: str = "spark") -> int:
    return max(number for _, number, _, _ in batches(cluster, service))


def until_it_counts(cluster: Cluster, version: str, service: str = "spark", beyond: int = -1) -> None:
    """Some batches more, by this version; and none was left out or has other rows than it should."""

    def look() -> bool:
        return any(by == version and number > beyond + 1 for by, number, _, _ in batches(cluster, service))

    cluster.until(f"{service} counts with Spark {version}", look, WAIT_S)
    found = batches(cluster, service)
    assert all((first, last) == (ROWS * number, ROWS * number + ROWS - 1) for _, number, first, last in found)
    assert sorted({number for _, number, _, _ in found}) == list(range(last_batch(cluster, service) + 1))
    numbers = [number for _, number, _, _ in found]
    twice = [one for one, other in pairwise(numbers) if other <= one]
    assert all(other == one for one, other in pairwise(numbers) if other <= one), f"read again: {twice}"


def test_two_versions_run_a_job_each_beside_each_other(spark: Cluster) -> None:
    until_it_counts(spark, OLD)
    spark.upcall(
        "install", "spark", "--name", "newer", "--set", "memory_mib=1016", "--set", "cores=1", timeout_s=WAIT_S
    )
    submit(spark, "newer")
    until_it_counts(spark, NEW, "newer")
    until_it_counts(spark, OLD, beyond=last_batch(spark))
    assert (spark.client.service("spark").version, spark.client.service("newer").version) == (OLD, NEW)
    spark.upcall("uninstall", "newer", timeout_s=WAIT_S)


def test_a_job_goes_on_from_its_checkpoint_in_the_next_version_and_in_the_one_before(spark: Cluster) -> None:
    for words, version in ((("upgrade", "spark", "--to", NEW), NEW), (("rollback", "spark"), OLD)):
        last = last_batch(spark)
        spark.upcall(*words, timeout_s=WAIT_S)
        until_it_counts(spark, version, beyond=last)


def test_past_the_point_of_no_return_it_goes_on_and_nothing_older_comes_back(spark: Cluster) -> None:
    spark.upcall("upgrade", "spark", "--to", NEW, timeout_s=WAIT_S)
    until_it_counts(spark, NEW, beyond=last_batch(spark))
    last = last_batch(spark)
    driver = spark.task("spark.job-totals").incarnation
    spark.upcall("finalize", "spark", timeout_s=WAIT_S)
    spark.until("its driver was started anew", lambda: spark.task("spark.job-totals").incarnation > driver, WAIT_S)
    until_it_counts(spark, NEW, beyond=last)
    assert f"was finalized at version {NEW}" in spark.refused("rollback", "spark")

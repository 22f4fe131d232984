"""Real Spark through its life: two versions beside each other, a job that is changed, backed up and restored, a query
that lags and brings a worker, an upgrade, the way back, the point of no return.

A query reads numbers that follow each other, so many in a batch: batch N has those from N times as many on. So what
it says tells whether a driver of any version went on exactly where the checkpoint of the one before ends.
"""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from real_cluster import Cluster
from real_members import WAIT_S, Begin, until_next_incarnation

from live_files import content, files
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


SLOW = """
import sys, time
from pyspark.sql import SparkSession

spark = SparkSession.builder.appName("slow").getOrCreate()
source = spark.readStream.format("rate").option("rowsPerSecond", 10).load()
query = source.writeStream.queryName("slow").foreachBatch(lambda frame, number: (frame.count(), time.sleep(2)))
query = query.trigger(processingTime="1 second").option("checkpointLocation", sys.argv[1]).start()
query.awaitTermination()
"""


@pytest.fixture(scope="module")
def spark(begin: Begin) -> Cluster:
    cluster = begin("spark@4.0", "--set", "memory_mib=1616", "--set", "cores=2", nodes=2, memory_mib_per_node=3200)
    cluster.until_ready("spark.master-0", "spark.worker-0", wait_s=WAIT_S)
    submit(cluster, "spark")
    return cluster


def submit(cluster: Cluster, service: str) -> None:
    job = {"name": "totals", "program": COUNTS, "arguments": ["{{volume.checkpoint}}/totals"], "disk_mib": 64}
    assert cluster.client.post(f"/v1/services/{service}/actions/submit-job", job)


def batches(cluster: Cluster, service: str = "spark") -> list[tuple[str, int, int, int]]:
    """Version, batch, first and last number, as all drivers of the job have said them."""
    logs = files(cluster.data, f"tasks/{service}.job-totals.*/logs/*")
    said = "".join(
        content(one).decode() for one in sorted(logs, key=lambda each: int(each.parts[-3].rpartition(".")[2]))
    )
    found = re.findall(r"^spark (\S+) batch (\d+) from (\d+) to (\d+)$", said, re.MULTILINE)
    return [(version, int(number), int(first), int(last)) for version, number, first, last in found]


def last_batch(cluster: Cluster, service: str = "spark") -> int:
    return max((number for _, number, _, _ in batches(cluster, service)), default=-1)


def until_it_counts(cluster: Cluster, version: str, service: str = "spark", beyond: int = -1) -> None:
    """Some batches more, by this version; and none was left out or has other rows than it should."""

    def look() -> bool:
        return any(by == version and number > beyond + 1 for by, number, _, _ in batches(cluster, service))

    cluster.until(f"{service} counts with Spark {version}", look, WAIT_S)
    found = batches(cluster, service)
    assert all((first, last) == (ROWS * number, ROWS * number + ROWS - 1) for _, number, first, last in found)
    assert sorted({number for _, number, _, _ in found}) == list(range(found[0][1], last_batch(cluster, service) + 1))
    numbers = [number for _, number, _, _ in found]
    twice = [one for one, other in pairwise(numbers) if other <= one]
    assert all(other == one for one, other in pairwise(numbers) if other <= one), f"read again: {twice}"


def test_two_versions_run_a_job_each_beside_each_other(spark: Cluster) -> None:
    until_it_counts(spark, OLD)
    spark.upcall(
        "install", "spark", "--name", "newer", "--set", "memory_mib=1616", "--set", "cores=2", timeout_s=WAIT_S
    )
    submit(spark, "newer")
    until_it_counts(spark, NEW, "newer")
    until_it_counts(spark, OLD, beyond=last_batch(spark))
    assert (spark.client.service("spark").version, spark.client.service("newer").version) == (OLD, NEW)
    spark.upcall("uninstall", "newer", timeout_s=WAIT_S)


def test_a_platform_file_changes_a_job_which_goes_on_from_its_checkpoint(spark: Cluster, tmp_path: Path) -> None:
    before, last = spark.task("spark.job-totals"), last_batch(spark)
    spark.upcall("export", "--to", str(tmp_path / "platform.yaml"))
    platform = yaml.safe_load((tmp_path / "platform.yaml").read_text())
    (service,) = platform["services"]
    service["jobs"]["totals"]["program"] += "print('changed')\n"
    (tmp_path / "platform.yaml").write_text(yaml.safe_dump(platform))
    spark.upcall("apply", "-f", str(tmp_path / "platform.yaml"), timeout_s=WAIT_S)
    until_next_incarnation(spark, before)
    until_it_counts(spark, OLD, beyond=last)


def test_a_backup_of_a_running_job_goes_on_in_another_service(spark: Cluster, tmp_path: Path) -> None:
    until_it_counts(spark, OLD)
    made = json.loads(spark.upcall("backup", "spark", "--to", str(tmp_path / "kept"), "-o", "json").stdout)
    tried = spark.upcall("backup", "verify", made["backup"].rpartition("/")[2], "--trial", timeout_s=WAIT_S).stdout
    assert re.search(r"1 can go on: totals totals from batch \d+", tried), tried
    last = last_batch(spark)
    assert "spark has totals already" in spark.refused("restore", made["backup"])
    spark.upcall("restore", made["backup"], "--to", "copy", timeout_s=2 * WAIT_S)
    spark.until("the copy has begun", lambda: batches(spark, "copy"), WAIT_S)
    until_it_counts(spark, OLD, "copy", beyond=last)
    assert 0 < batches(spark, "copy")[0][1] <= last + 1, "it did not begin anew, and left nothing out"
    spark.upcall("uninstall", "copy", timeout_s=WAIT_S)


def test_a_query_that_lags_is_told_and_brings_a_worker_which_leaves_when_it_is_over(spark: Cluster) -> None:
    bounds = {"min": 1, "max": 2, "hold_s": 5, "hold_in_s": 5, "cool_down_s": 0}
    job = {
        "name": "slow", "program": SLOW, "arguments": ["{{volume.checkpoint}}/slow"], "disk_mib": 64, "cores": 2,
        "settings": {"spark.executor.cores": "1"},  # Of which one has room beside the other job.
    }  # fmt: skip
    assert spark.client.post("/v1/services/spark/actions/submit-job", job)
    words = [word for name, value in bounds.items() for word in ("--set", f"autoscale.{name}={value}")]
    spark.upcall("update", "spark", *words, timeout_s=WAIT_S)

    def told() -> list[str]:
        return [each.what for each in spark.client.service("spark").degraded if "lags" in each.what]

    (found,) = spark.until("it is told", told, WAIT_S)
    assert re.fullmatch(r"slow of job slow lags: batches take \d+[.]\d s, and are to take 1 s", found)
    spark.until("a worker comes", lambda: "spark.worker-1" in members(spark), WAIT_S)
    assert any(
        "job slow lags" in each.reason for each in spark.client.operations(ended=True) if each.kind == "scale_out"
    )
    spark.client.post("/v1/services/spark/actions/stop-job", {"name": "slow"})
    spark.until("nothing lags", lambda: not told(), WAIT_S)
    spark.until("it leaves", lambda: "spark.worker-1" not in members(spark), WAIT_S)
    spark.upcall("update", "spark", "--unset", "autoscale", timeout_s=WAIT_S)


def members(cluster: Cluster) -> list[str]:
    return [task.member for task in cluster.client.tasks()]


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
    for words in (("rollback", "spark"), ("upgrade", "spark", "--to", OLD)):
        assert f"was finalized at version {NEW}" in spark.refused(*words)

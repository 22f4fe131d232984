"""Spark end to end: a job that ends, a job that keeps running, is killed and comes back, and ends for good; and one
that goes on while the node of its worker is drained."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from real_cluster import Cluster

from live_files import content, files
from upcall.artifacts.cache import Cache
from upcall.artifacts.fetch import fetch
from upcall.catalog.spark import shell
from upcall.catalog.spark.service import Spark
from upcall.cli import keeping
from upcall.cli.clients import rendered
from upcall.cluster.folder import DataFolder

pytestmark = [pytest.mark.real, pytest.mark.root]

WAIT_S = 900.0
"""The first start of all may have to fetch and runs without a class archive."""

COUNTS = """
from pyspark.sql import SparkSession

def twice(batches):
    for batch in batches:
        yield batch
        yield batch

spark = SparkSession.builder.appName("counts").getOrCreate()
print("counted", spark.range(1000).mapInArrow(twice, "id long").count(), flush=True)
spark.stop()
"""

RUNS = """
import signal, time
from pyspark.sql import SparkSession

spark = SparkSession.builder.appName("runs").getOrCreate()
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
print("counted", spark.range(10).count(), flush=True)
while not stop:
    time.sleep(0.1)
spark.stop()
print("ended as it wanted", flush=True)
"""

GOES_ON = """
import time
from pyspark.sql import SparkSession

def slowly(batches):
    for batch in batches:
        time.sleep(1.0)
        yield batch

spark = SparkSession.builder.appName("goes-on").getOrCreate()
number = 0
while True:
    number += 1
    print("round", number, spark.range(0, 100, 1, 2).mapInArrow(slowly, "id long").count(), flush=True)
"""


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    found = Cluster(tmp_path_factory.mktemp("cluster") / "data", nodes=2, memory_mib_per_node=3200)
    try:
        found.up()
        found.upcall("install", "spark", "--set", "workers=2", timeout_s=WAIT_S)
        found.until_ready("spark.master-0", "spark.worker-0", "spark.worker-1", wait_s=WAIT_S)
        yield found
    finally:
        if found.data.exists() and keeping.running(DataFolder(found.data)):
            keeping.end(DataFolder(found.data))


def submit(cluster: Cluster, name: str, program: str, **more: object) -> None:
    arguments = {"name": name, "program": program, "disk_mib": 64, **more}
    assert cluster.client.post("/v1/services/spark/actions/submit-job", arguments)
    cluster.until("its driver is a member", lambda: f"spark.job-{name}" in _members(cluster))


def log(cluster: Cluster, member: str) -> str:
    return cluster.upcall("logs", member, check=False).stdout


def test_a_job_that_ends_has_counted(spark: Cluster) -> None:
    submit(spark, "counts", COUNTS, restart="never", cores=1)
    spark.until("the job has counted", lambda: "counted 2000" in log(spark, "spark.job-counts"), WAIT_S)
    spark.until("the job has ended", lambda: spark.task("spark.job-counts").state in ("finished", "ended"), WAIT_S)


def test_a_file_of_ones_own_is_a_job_by_its_own_commands(spark: Cluster, tmp_path: Path) -> None:
    program = tmp_path / "by_hand.py"
    program.write_text(COUNTS)
    spark.upcall("spark", "submit", str(program), "--restart", "never", "--disk-mib", "64")
    spark.until(
        "it has counted", lambda: "counted 2000" in spark.upcall("spark", "logs", "by-hand", check=False).stdout
    )
    (job,) = [one for one in json.loads(spark.upcall("spark", "jobs", "-o", "json").stdout) if one["job"] == "by-hand"]
    assert job["restart"] == "never"
    assert "by-hand" in spark.refused("spark", "logs", "by-foot")
    assert "by-hand" in spark.refused("spark", "stop", "by-foot")
    spark.upcall("spark", "stop", "by-hand")
    spark.until("it has left", lambda: "by-hand" not in spark.upcall("spark", "jobs").stdout, WAIT_S)


TYPED = """
import os
from pyspark.sql.functions import udf
once_more = udf(lambda number: number + 1, "long")
print("counted", spark.range(1000).count(), [row[0] for row in spark.range(3).select(once_more("id")).collect()])
print("on command lines:", os.popen("grep -lsaFf {secret} /proc/[0-9]*/cmdline").read().split())
"""


def test_its_shell_is_opened_by_a_command_and_the_printed_program_runs_as_it_stands(
    spark: Cluster, tmp_path: Path
) -> None:
    printed = spark.upcall("endpoints", "spark").stdout
    snippet = printed.partition("PySpark:\n")[2].partition("\n\nSpark's own tools:")[0]
    folder, secret = spark.data / "clients" / "spark", tmp_path / "secret"
    settings = dict(line.split("=", 1) for line in (folder / "spark.properties").read_text().splitlines())
    secret.write_text(settings["spark.authenticate.secret"])
    assert secret.read_text() not in printed

    done = subprocess.run(
        [sys.executable, "-m", "upcall.cli", "connect", "spark"], env={**os.environ, "UPCALL_DATA": str(spark.data)},
        input=TYPED.format(secret=secret), capture_output=True, text=True, timeout=WAIT_S,
    )  # fmt: skip
    assert "counted 1000 [1, 2, 3]" in done.stdout, done.stderr
    assert "on command lines: []" in done.stdout, done.stderr

    found = fetch(Spark.artifacts(), Cache(), Spark.blobs().__getitem__)
    names = {f"artifact.{name}.{key}": value for name, one in found.items() for key, value in one.properties.items()}
    runtime = shell.Runtime(*(rendered(word, {**names, "user": "spark"}) for word in shell.RUNTIME))
    environment = shell.environment(runtime, folder / "spark.properties")
    del environment["PYSPARK_SUBMIT_ARGS"]
    told = subprocess.run(
        [runtime.python, "-c", snippet], env=environment, capture_output=True, text=True, timeout=WAIT_S
    )
    assert told.stdout.split() == ["1000"], told.stderr
    files = [each for each in folder.rglob("*") if each.is_file()]
    assert all(each.stat().st_mode & 0o077 == 0 for each in files), "others can read what it logs in by"


def test_a_driver_that_is_killed_comes_back_in_place(spark: Cluster) -> None:
    submit(spark, "runs", RUNS, cores=1)
    spark.until("the job runs", lambda: "counted 10" in log(spark, "spark.job-runs"), WAIT_S)
    before = spark.task("spark.job-runs")
    (driver,) = _drivers(before.address)
    os.kill(driver, signal.SIGKILL)
    spark.until(
        "the next incarnation has counted",
        lambda: (
            spark.task("spark.job-runs").incarnation > before.incarnation
            and "counted 10" in log(spark, "spark.job-runs")
        ),
        WAIT_S,
    )


def test_a_job_is_stopped_for_good_and_its_name_is_free_again(spark: Cluster) -> None:
    spark.client.post("/v1/services/spark/actions/stop-job", {"name": "runs"})

    def jobs() -> list[str]:
        return [job["job"] for job in spark.client.post("/v1/services/spark/actions/list-jobs", {})]

    spark.until("the member has left", lambda: "spark.job-runs" not in _members(spark), WAIT_S)
    spark.until("the job is forgotten", lambda: "runs" not in jobs(), WAIT_S)


def test_a_job_goes_on_while_the_node_of_one_of_its_workers_is_drained(spark: Cluster) -> None:
    """The worker is decommissioned when its stop begins: its executor ends the tasks that it has, so none fails."""
    submit(spark, "goes-on", GOES_ON, cores=2, settings={"spark.executor.cores": "1"})
    spark.until("two rounds", lambda: _rounds(spark) >= 2, WAIT_S)
    workers = [f"spark.worker-{number}" for number in range(2)]
    spark.until("executors on both", lambda: all(_executors(spark.task(one).address) for one in workers), WAIT_S)
    # Master and driver fit on one node, beside a worker; the node of the other worker is drained.
    others = {task.node for task in spark.client.tasks() if task.member in ("spark.master-0", "spark.job-goes-on")}
    (member,) = [one for one in workers if spark.task(one).node not in others]
    before, rounds = spark.task(member), _rounds(spark)
    spark.upcall("node", "drain", before.node, timeout_s=WAIT_S)
    assert spark.task(member).state == "held"
    spark.until("the job goes on without it", lambda: _rounds(spark) >= rounds + 2, WAIT_S)
    spark.upcall("node", "undrain", before.node)
    spark.until("it is back", lambda: (now := spark.task(member)).incarnation > before.incarnation
                and now.state == "ready", WAIT_S)  # fmt: skip
    rounds = _rounds(spark)
    spark.until("the job goes on with it", lambda: _rounds(spark) >= rounds + 2, WAIT_S)
    assert "Decommission worker" in _logs(spark, before.task)
    # What it had shuffled may have to be made anew, where it was not handed over in time: no task is lost by its end.
    assert "ExecutorLostFailure" not in _logs(spark, "spark.job-goes-on.1"), "no task failed with its executor"


def _rounds(cluster: Cluster) -> int:
    assert cluster.task("spark.job-goes-on").incarnation <= 1, "its driver was not touched"
    return len(re.findall(r"^round \d+ 100$", _logs(cluster, "spark.job-goes-on.1"), re.MULTILINE))


def _logs(cluster: Cluster, task: str) -> str:
    return "".join(content(path).decode(errors="replace") for path in files(cluster.data, f"tasks/{task}/logs/*"))


def _executors(address: str) -> list[int]:
    """The JVMs of executors at this address."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "name"])
        if process.info["name"] == "java"
        and {"org.apache.spark.executor.CoarseGrainedExecutorBackend", address} <= set(process.info["cmdline"] or [])
    ]


def _members(cluster: Cluster) -> list[str]:
    return [task.member for task in cluster.client.tasks()]


def _drivers(address: str) -> list[int]:
    """The JVMs that are drivers at this address, which only this cluster has."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "name"])
        if process.info["name"] == "java" and f"spark.driver.host={address}" in (process.info["cmdline"] or [])
    ]

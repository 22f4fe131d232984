"""What the real systems are told: settings that were learned, written as promises."""

import re
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from upcall.catalog.cassandra import config as cassandra
from upcall.catalog.cassandra.service import Cassandra
from upcall.catalog.cassandra.sizing import size_node
from upcall.catalog.kafka import config as kafka
from upcall.catalog.kafka.service import Kafka
from upcall.catalog.kafka.sizing import size_broker
from upcall.catalog.spark import config as spark
from upcall.catalog.spark.service import Spark

BROKERS = ("broker-0", "broker-1", "broker-2")


def properties(**more: object) -> dict[str, str]:
    text = kafka.server_properties(
        **{"node_id": 1, "members": BROKERS, "sizing": size_broker(448, 2, 2048), **more}  # type: ignore[arg-type]
    )
    return dict(line.split("=", 1) for line in text.splitlines())


def test_three_brokers_keep_three_copies_and_two_in_sync() -> None:
    found = properties()
    for name in ("default.replication.factor", "offsets.topic.replication.factor"):
        assert found[name] == "3"
    assert found["min.insync.replicas"] == found["transaction.state.log.min.isr"] == "2"


def test_one_broker_asks_for_no_copies_it_cannot_have() -> None:
    found = properties(members=BROKERS[:1])
    assert found["default.replication.factor"] == found["min.insync.replicas"] == "1"


def test_the_users_own_settings_win() -> None:
    assert properties(options={"min.insync.replicas": "1", "x": "y"})["min.insync.replicas"] == "1"


def test_what_a_partition_keeps_is_bounded_by_the_brokers_volume_unless_the_user_says_else() -> None:
    assert int(properties()["log.retention.bytes"]) + int(properties()["log.segment.bytes"]) == (2048 << 20) // 16
    smaller = properties(sizing=size_broker(448, 2, 256))
    assert int(smaller["log.retention.bytes"]) + int(smaller["log.segment.bytes"]) == (256 << 20) // 16
    for name in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
        assert int(smaller[f"{name}.segment.bytes"]) <= 4 << 20, "Kafka's own topics hold no 100 MiB open"
    assert properties(options={"log.retention.bytes": "-1"})["log.retention.bytes"] == "-1"


def test_no_address_stands_in_a_file_but_templates() -> None:
    text = "\n".join(f"{name}={value}" for name, value in properties().items())
    assert not re.search(r"\d+\.\d+\.\d+\.\d+", text)
    assert "{{address.broker-2}}:{{port.controller}}" in text


def test_the_first_voters_are_the_same_for_everybody_and_ids_are_no_options() -> None:
    for _ in range(300):
        cluster = kafka.new_cluster_id()
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", cluster)
        assert not kafka.directory_id(cluster, 1).startswith("-")
    assert kafka.directory_id("c", 1) == kafka.directory_id("c", 1) != kafka.directory_id("c", 2)


def test_a_later_broker_is_formatted_without_initial_controllers() -> None:
    assert "--no-initial-controllers" in kafka.format_command("c", ())
    first = kafka.format_command("c", kafka.voters("c", {1: "broker-0"}))
    assert first[-1] == f"1@{{{{address.broker-0}}}}:{{{{port.controller}}}}:{kafka.directory_id('c', 1)}"


@pytest.mark.parametrize(("nodes", "tokens"), [(1, 4), (3, 4), (5, 8), (30, 16)])
def test_the_tokens_of_a_new_ring_divide_it_evenly(nodes: int, tokens: int) -> None:
    ring = sorted(token for index in range(nodes) for token in cassandra.even_tokens(index, nodes, tokens))
    assert len(set(ring)) == nodes * tokens
    gaps = {after - before for before, after in pairwise(ring)}
    assert gaps == {2**64 // (nodes * tokens)}
    assert ring[0] >= -(2**63)
    assert ring[-1] < 2**63


def test_a_new_ring_does_not_bootstrap_and_a_later_node_does() -> None:
    sizing = size_node(640, 2, 4096)
    new = yaml.safe_load(cassandra.cassandra_yaml(cluster="c", seeds=("node-0",), sizing=sizing, tokens=(1, 2, 3, 4)))
    assert (new["auto_bootstrap"], new["initial_token"], new["num_tokens"]) == (False, "1,2,3,4", 4)
    later = yaml.safe_load(cassandra.cassandra_yaml(cluster="c", seeds=("node-0",), sizing=sizing, tokens=None))
    assert later["auto_bootstrap"] is True
    assert "initial_token" not in later


def test_trained_and_launched_command_lines_name_the_same_jars_in_the_same_way() -> None:
    for package in (Kafka, Cassandra, Spark):
        artifacts = package.artifacts()
        assert [artifact.name for artifact in artifacts if artifact.kind == "archive"] == ["archive"]
        assert len({artifact.name for artifact in artifacts}) == len(artifacts)
        assert {artifact.lock for artifact in artifacts} == package.blobs().keys()


def test_sparks_secret_stands_in_no_argument() -> None:
    for command in (spark.master_command(160, {}), spark.worker_command(160, "master-0", 2, 500, {})):
        assert "spark.authenticate.secret" not in " ".join(command)
        assert command[command.index("--properties-file") + 1] == "{{secret.spark}}"


def test_the_executors_java_drops_the_missing_module_and_takes_the_trained_class_path(tmp_path: Path) -> None:
    shown = tmp_path / "real java"
    shown.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    shown.chmod(0o755)
    launcher = tmp_path / "java"
    launcher.write_text(spark.source("java_launcher.sh"))
    launcher.chmod(0o755)
    said = subprocess.run(
        [launcher, "-cp", "jars/*", "-Dx=a b", "--add-modules=jdk.incubator.vector", "Main", "--cp"],
        env={"UPCALL_JAVA": str(shown), "UPCALL_JAVA_OPTIONS": "@options", "SPARK_CLASSPATH_LIST": "a.jar:b.jar"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.splitlines() == ["@options", "-cp", "a.jar:b.jar", "-Dx=a b", "Main", "--cp"]


def test_python_processes_start_without_sparks_archives_but_with_a_jobs_own(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(spark.source("python_start.py"))
    path = [str(tmp_path), "/x/pyspark.zip", "/x/py4j-0.10-src.zip", "/x/spark-core.jar", "/x/sources.zip"]
    said = subprocess.run(
        [sys.executable, "-c", "import sys; print([p for p in sys.path if p.startswith('/x/')])"],
        env={"PYTHONPATH": ":".join(path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "['/x/sources.zip']"


def test_a_driver_passes_sigterm_to_its_application_and_ends_with_its_code(tmp_path: Path) -> None:
    """The JVM is played by a process that starts the application as its child and takes over its exit code."""
    application = tmp_path / "program.py"
    application.write_text(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('finished the batch', flush=True), sys.exit(7)))\n"
        "print('working', flush=True)\n"
        "time.sleep(120)\n"
    )
    jvm = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, sys.argv[1]]))"
    start = tmp_path / "driver_start.py"
    start.write_text(spark.source("driver_start.py"))
    driver = subprocess.Popen(
        [sys.executable, start, str(application), sys.executable, "-c", jvm, str(application)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert driver.stdout is not None
    assert driver.stdout.readline() == "working\n"
    driver.terminate()
    assert driver.stdout.read() == "finished the batch\n"
    assert driver.wait(180) == 7


WORKER = """
import os, signal, subprocess, sys
executor = subprocess.Popen(["sleep", "60"])
def say(*words): print(*words, flush=True)
signal.signal(signal.SIGPWR, lambda *_: (say("decommissioned"), sys.argv[1] == "leaves" and executor.terminate()))
left = f"/proc/{executor.pid}"
def end(*_):
    say("ends", "full" if os.path.exists(left) else "empty")
    executor.kill()
    os._exit(3)
signal.signal(signal.SIGTERM, end)
say("serves")
executor.wait()
while True: signal.pause()
"""
"""A worker's JVM, and an executor below it that leaves when it is told to, or stays."""


@pytest.mark.parametrize(
    ("executor", "limit_s", "said"),
    [
        ("leaves", "60", ["decommissioned", "ends empty"]),
        ("stays", "0.5", ["decommissioned", "ends full"]),
    ],
)
def test_a_worker_is_decommissioned_when_its_end_has_come_and_ends_when_its_executors_have_left_or_at_the_limit(
    tmp_path: Path, executor: str, limit_s: str, said: list[str]
) -> None:
    start = tmp_path / "worker_start.py"
    start.write_text(spark.source("worker_start.py"))
    worker = subprocess.Popen(
        [sys.executable, "-I", "-S", start, limit_s, sys.executable, "-c", WORKER, executor],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "serves\n"
    worker.terminate()
    worker.terminate()
    assert worker.stdout.read().splitlines() == said
    assert worker.wait(180) == 3


@pytest.mark.parametrize("words", [("worker_start.py", "0.5"), ("driver_start.py", "program.py")])
def test_who_is_to_end_as_it_starts_leaves_nobody_behind(tmp_path: Path, words: tuple[str, str]) -> None:
    """SIGTERM comes right after it has begun what it starts."""
    start = tmp_path / words[0]
    start.write_text(spark.source(words[0]))
    told_at_once = (
        "import os, runpy, signal, subprocess, sys\n"
        "class Told(subprocess.Popen):\n"
        "    def __init__(self, command):\n"
        "        super().__init__(command)\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "subprocess.Popen, sys.argv = Told, sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", told_at_once, start, words[1], "sleep", "1000"], stdout=subprocess.PIPE, timeout=180
    )
    assert told.returncode == 128 + (signal.SIGPWR if words[0] == "worker_start.py" else signal.SIGTERM)


@pytest.mark.parametrize(
    "command",
    [
        kafka.start_command(size_broker(448, 2, 2048)),
        kafka.tool_command("Tool"),
        cassandra.start_command(size_node(640, 2, 2048), java=17),
        cassandra.nodetool_command("status"),
        spark.jvm_flags(128),
    ],
)
def test_a_java_process_leaves_nothing_in_folders_that_users_share(command: tuple[str, ...]) -> None:
    assert {"-Djava.io.tmpdir={{sandbox}}/tmp", "-Duser.home={{sandbox}}", "-XX:-UsePerfData"} <= set(command)


def test_an_executor_leaves_nothing_there_either() -> None:
    assert "-Djava.io.tmpdir=. -Duser.home=. -XX:-UsePerfData" in spark.executor_options()

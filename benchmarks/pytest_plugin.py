"""What a person's tests wait for: runs of pytest with the plug-in, and beside them a plain start of the same broker.

    python -m benchmarks.pytest_plugin      a few minutes, writes build/pytest_plugin.json

Each run is a pytest of its own; its time is from when it was called to the first line of the first test, with the
interpreter and all imports. *Warm*: the cluster was kept from the run before (``--upcall-keep``); *from nothing*:
artifacts and class archives are in the cache, and nothing runs. The next test's time is from the last line of one test
to where the next one has a topic of its own (a keyspace too, where there is one).

The plain start is Kafka's own main class on the same files and the same Java, formatted and started as its quickstart
does, without anybody who looks after it, to its line that says that it serves.

Testcontainers, in words: its documentation promises no time. By default it waits up to 60 s for a container's port
("Waiting for containers to start or be ready", java.testcontainers.org/features/startup_and_waits), to which the pull
of an image comes the first time. It cannot be measured where there is no Docker.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from upcall.cli import footprint
from upcall.cli.figures import Promise, Report
from upcall.pytest import end, use

KAFKA_READY_S, ALL_READY_S, SECOND_TEST_MS = 3.0, 25.0, 50.0
PROMISES: Final = (
    Promise("kafka_ready_s", f"at most {KAFKA_READY_S:g} s, warm", lambda v: v <= KAFKA_READY_S, "reference"),
    Promise("all_ready_s", f"at most {ALL_READY_S:g} s, from nothing", lambda v: v <= ALL_READY_S, "reference"),
    Promise("second_test_ms", f"at most {SECOND_TEST_MS:g} ms", lambda v: v <= SECOND_TEST_MS, "reference"),
    Promise("left_processes", "0", lambda v: v == 0),
)
RUN_S: Final = 1800.0
TESTS: Final = 6
"""After the first: the middle one of their times is the figure."""
SETTINGS: Final = "[pytest]\nupcall_folder = clusters\nasyncio_default_fixture_loop_scope = function\n"
NOTES: Final = """
import json, time
from pathlib import Path

import pytest


def note(what):
    with Path("notes.txt").open("a") as file:
        file.write(json.dumps([what, time.time()]) + chr(10))
"""
OF_KAFKA: Final = f"""
import pytest
from conftest import note

@pytest.mark.parametrize("number", range({TESTS + 1}))
def test_it(kafka, number):
    note("began")
    kafka.topic("orders")
    note("has its own")
    JVM
    note("ended")
"""
WORDS: Final = """
    if number == 0:
        import os
        from pathlib import Path
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_text().split(chr(0))
            except OSError:
                continue
            if "kafka.Kafka" in words and str(kafka.cluster.folder) in os.path.realpath(entry / "cwd"):
                Path("java.json").write_text(__import__("json").dumps([os.path.realpath(entry / "exe"), words]))
"""
OF_ALL: Final = f"""
import pytest
from conftest import note

@pytest.mark.parametrize("number", range({TESTS + 1}))
def test_it(kafka, cassandra, spark, number):
    note("began")
    kafka.topic("orders")
    cassandra.keyspace
    note("has its own")
    note("ended")
"""
PLAIN: Final = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller}
offsets.topic.replication.factor=1
log.dirs={folder}/data
"""
PORT, CONTROLLER_PORT = 29_092, 29_093
STARTED: Final = b"Kafka Server started"


def run(folder: Path, test: str, *words: str) -> list[tuple[str, float]]:
    """A run of pytest on one file: what it noted, in seconds since it was called."""
    (folder / "test_it.py").write_text(test)
    notes = folder / "notes.txt"
    notes.unlink(missing_ok=True)
    began = time.time()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=RUN_S, check=False)
    if done.returncode:
        raise SystemExit(f"pytest ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    said = [json.loads(line) for line in notes.read_text().splitlines()]
    return [(str(what), float(at) - began) for what, at in said]


def next_tests_ms(noted: list[tuple[str, float]]) -> list[float]:
    """From the end of each test to where the next one has its own."""
    ends = [at for what, at in noted if what == "ended"]
    own = [at for what, at in noted if what == "has its own"]
    return [round(1000 * (own[number + 1] - ends[number]), 1) for number in range(TESTS)]


def middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def plain_start_s(folder: Path, java: str, words: list[str]) -> float | None:
    """The broker's own main class on the same jars, with nothing of ours; None where it did not come up."""
    classes = words[words.index("-cp") + 1]
    (folder / "plain").mkdir()
    properties = folder / "plain" / "server.properties"
    properties.write_text(PLAIN.format(port=PORT, controller=CONTROLLER_PORT, folder=folder / "plain"))
    logging = folder / "plain" / "log4j2.properties"
    logging.write_text(
        "rootLogger.level=info\nrootLogger.appenderRef.out.ref=out\nappender.out.type=Console\nappender.out.name=out\n"
    )
    began = time.monotonic()
    format_words = ["kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", str(properties)]
    subprocess.run([java, "-cp", classes, *format_words], check=True, capture_output=True, timeout=RUN_S)
    started = [
        java,
        "-Xmx512m",
        f"-Dlog4j2.configurationFile={logging}",
        "-cp",
        classes,
        "kafka.Kafka",
        str(properties),
    ]
    broker = subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert broker.stdout is not None
        for line in broker.stdout:
            if STARTED in line:
                return time.monotonic() - began
        return None
    finally:
        broker.kill()
        broker.communicate()


def measure(folder: Path, figures: dict[str, Any]) -> None:
    of_kafka = OF_KAFKA.replace("    JVM\n", WORDS)
    first = run(folder, of_kafka)
    figures["kafka_from_nothing_s"] = round(first[0][1], 2)
    run(folder, of_kafka, "--upcall-keep=15m")
    warm = run(folder, of_kafka, "--upcall-keep=15m")
    figures["kafka_ready_s"] = round(warm[0][1], 2)
    figures["second_test_ms"] = middle(next_tests_ms(warm))
    figures["next_tests_ms"] = next_tests_ms(warm)
    clusters = use.base(str(folder / "clusters"))
    end.end_all(clusters)
    java, words = json.loads((folder / "java.json").read_text())
    figures["kafka_plain_start_s"] = plain_start_s(folder, java, words)
    everything = run(folder, OF_ALL)
    figures["all_ready_s"] = round(everything[0][1], 2)
    figures["second_test_of_all_ms"] = middle(next_tests_ms(everything))
    figures["left_processes"] = len(footprint.processes(clusters))
    figures["left_folders"] = sorted(one.name for one in clusters.iterdir())


def main() -> int:
    report = Report("pytest_plugin", PROMISES, seed=None)
    with tempfile.TemporaryDirectory(prefix="upcall-bench-") as name:
        folder = Path(name)
        (folder / "pytest.ini").write_text(SETTINGS)
        (folder / "conftest.py").write_text(NOTES)
        (folder / "clusters").mkdir()
        try:
            measure(folder, report.figures)
        finally:
            end.end_all(use.base(str(folder / "clusters")))
    return report.finish()


if __name__ == "__main__":
    os.environ.setdefault("NO_COLOR", "1")
    sys.exit(main())

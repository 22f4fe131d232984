"""The plug-in of pytest with a real Kafka: one cluster for all workers of a run, kept for the next if a person says so,
and nothing left behind, however a run ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from upcall.cli import footprint
from upcall.pytest import end, use

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.real

HOME = os.environ.get("HOME", "")
WAIT_S = 900.0
"""A condition, not a speed: the first start of all may have to fetch."""
NOTES = """
import json, os, time
from pathlib import Path
from confluent_kafka import Consumer, Producer

def note(name, kafka, **more):
    cluster = json.loads((kafka.cluster.folder / "cluster.json").read_text())["cluster"]
    found = {"cluster": cluster, "worker": os.environ.get("PYTEST_XDIST_WORKER", ""), **more}
    Path(f"{name}.part").write_text(json.dumps(found))
    Path(f"{name}.part").rename(f"{name}.json")

def there_and_back(kafka, topic):
    producer = Producer(kafka.settings(acks="all"))
    producer.produce(topic, b"a word")
    assert producer.flush(120) == 0
    consumer = Consumer(kafka.settings(group_id=kafka.prefix + "reads", auto_offset_reset="earliest"))
    consumer.subscribe([topic])
    end = time.monotonic() + 300
    while (message := consumer.poll(1.0)) is None or message.error():
        assert time.monotonic() < end
    consumer.close()
    return message.value()
"""


@pytest.fixture(autouse=True)
def folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the clusters of these runs lie. What they run is in the user's own cache."""
    monkeypatch.setenv("HOME", HOME)
    (pytester.path / "clusters").mkdir()
    pytester.makeini("[pytest]\nupcall_folder = clusters\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(notes=NOTES)
    found = use.base(str(pytester.path / "clusters"))
    yield found
    if found.exists():
        assert end.end_all(found) == []


def noted(pytester: pytest.Pytester, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((pytester.path / f"{name}.json").read_text())
    return found


def until(look: Callable[[], bool]) -> None:
    until_s = time.monotonic() + WAIT_S
    while not look():
        assert time.monotonic() < until_s
        time.sleep(0.1)


def nothing_left(folder: Path) -> bool:
    return not footprint.processes(folder) and not list(folder.iterdir())


def begun(pytester: pytest.Pytester, *words: str) -> "subprocess.Popen[bytes]":
    """A run that goes on while the test does something to it."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words]
    return subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_workers_share_a_cluster_and_nothing_is_left_after_them(pytester: pytest.Pytester, folder: Path) -> None:
    pytester.makepyfile("""
        import pytest
        from notes import note, there_and_back

        @pytest.mark.parametrize("number", [1, 2])
        def test_it(kafka, number):
            topic = kafka.topic("orders", partitions=2)
            assert there_and_back(kafka, topic) == b"a word"
            note(number, kafka, topic=topic, servers=kafka.java_properties()["bootstrap.servers"])
    """)
    pytester.runpytest_subprocess("-n", "2", "--dist", "each", timeout=WAIT_S).assert_outcomes(passed=4)
    one, other = noted(pytester, "1"), noted(pytester, "2")
    assert one["cluster"] == other["cluster"]
    assert one["servers"] == other["servers"]
    assert one["topic"] != other["topic"]
    assert nothing_left(folder)


def test_nothing_is_left_of_a_run_that_was_killed(pytester: pytest.Pytester, folder: Path) -> None:
    pytester.makepyfile("""
        import time
        from notes import note

        def test_it(kafka):
            note("there", kafka)
            time.sleep(3600)
    """)
    run = begun(pytester)
    until(lambda: (pytester.path / "there.json").exists() or run.poll() is not None)
    assert footprint.processes(folder)
    run.kill()
    run.wait()
    until(lambda: nothing_left(folder))


@pytest.mark.parametrize("after", ["cluster.json", "keeper/status.json", "master/upcall.sqlite"])
def test_nothing_is_left_of_a_run_that_is_interrupted_as_its_cluster_comes_up(
    pytester: pytest.Pytester, folder: Path, after: str
) -> None:
    pytester.makepyfile("def test_it(kafka): pass")
    run = begun(pytester)
    until(lambda: any(folder.glob(f"run-*/data/{after}")) or run.poll() is not None)
    run.send_signal(signal.SIGINT)
    assert run.wait(WAIT_S) == pytest.ExitCode.INTERRUPTED
    until(lambda: nothing_left(folder))


def test_what_is_kept_is_the_next_runs_without_what_a_killed_one_left(pytester: pytest.Pytester, folder: Path) -> None:
    pytester.makepyfile(
        test_killed="""
        import time
        from notes import note

        def test_it(kafka):
            note("killed", kafka, topic=kafka.topic("orders"))
            time.sleep(3600)
        """,
        test_next="""
        from notes import note

        def test_it(kafka):
            kafka.topic("orders")
            topics = [name for name in kafka.admin.list_topics(timeout=60).topics if name.startswith("test-")]
            note("next", kafka, topics=topics, prefix=kafka.prefix)
        """,
    )
    run = begun(pytester, "--upcall-keep=15m", "test_killed.py")
    until(lambda: (pytester.path / "killed.json").exists() or run.poll() is not None)
    run.kill()
    run.wait()
    said = pytester.runpytest_subprocess("--upcall-keep=15m", "test_next.py", timeout=WAIT_S)
    said.assert_outcomes(passed=1)
    killed, following = noted(pytester, "killed"), noted(pytester, "next")
    assert following["cluster"] == killed["cluster"]
    assert following["topics"] == [following["prefix"] + "orders"]
    assert footprint.processes(folder)
    assert end.end_all(folder) == []
    assert nothing_left(folder)


def test_without_network_and_with_an_empty_cache_it_is_one_error_of_each_test(
    pytester: pytest.Pytester, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPCALL_CACHE", str(pytester.path / "cache"))
    monkeypatch.setenv("UPCALL_OFFLINE", "1")
    pytester.makepyfile("def test_it(kafka): pass\ndef test_other(kafka): pass")
    said = pytester.runpytest_subprocess(timeout=WAIT_S)
    said.assert_outcomes(errors=2)
    text = "\n".join(said.outlines)
    assert "Traceback" not in text
    # Once of each test, with what would help.
    told = [line for line in said.outlines if "the network is switched off" in line and line.startswith("kafka is ")]
    assert len(told) == 2
    assert all("expected a network connection once: run `upcall fetch`" in line for line in told)
    assert nothing_left(folder)

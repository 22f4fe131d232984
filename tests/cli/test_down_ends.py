"""`down` always ends, and says what it had to do: real processes, of which one is stopped, or does not listen."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from upcall.cli import down, footprint, keeping
from upcall.client.folder import folder_at

DEAF = """
import upcall.service as up


class Deaf(up.Service):
    def pods(self):
        return [up.Pod("main")]

    def task(self, member):
        words = "trap '' TERM; echo ready; while :; do sleep 0.2; done"
        return up.Declaration(command=("/bin/sh", "-c", words), grace_s=1.0)
"""
HELLO = Path(__file__).parents[2] / "examples" / "hello.py"


class Cluster:
    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "upcall.cli", *words, "--data", str(self.root)]
        return subprocess.run(command, capture_output=True, text=True, timeout=down.DOWN_S, check=False)

    def good(self, *words: str) -> subprocess.CompletedProcess[str]:
        done = self.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def pid(self, name: str) -> int:
        status = json.loads((self.root / "keeper" / "status.json").read_bytes())
        if name == "keeper":
            return int(status["supervisor"]["pid"])
        return next(int(one["identity"]["pid"]) for one in status["processes"] if one["name"] == name)

    def stopped(self, name: str) -> None:
        os.kill(self.pid(name), signal.SIGSTOP)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path.resolve() / "data")
    made.good("up", "--nodes", "1", "--memory-mib-per-node", "512")
    yield made
    keeping.end(folder_at(made.root))
    assert footprint.processes(made.root) == []


def test_services_end_in_their_order_though_master_and_agent_are_stopped(cluster: Cluster) -> None:
    cluster.good("install", str(HELLO), "--set", "count=1")
    for name in ("master", "agent-node-1"):
        cluster.stopped(name)
    began = time.monotonic()
    done = cluster.good("down")
    assert time.monotonic() - began < down.DOWN_S
    for name in ("master", "agent-node-1"):
        assert f"{name} did not answer: ended, and started anew" in done.stderr
    assert footprint.processes(cluster.root) == []


def test_a_task_that_ignores_its_end_is_killed_and_named(cluster: Cluster, tmp_path: Path) -> None:
    deaf = tmp_path / "deaf.py"
    deaf.write_text(DEAF)
    cluster.good("install", str(deaf))
    done = cluster.good("down", "-o", "json")
    by_force = json.loads(done.stdout)["by_force"]
    assert by_force == ["deaf.main-0: killed after its grace of 1 s"]


def test_a_keeper_that_is_stopped_is_killed_and_all_that_it_kept_ends(cluster: Cluster) -> None:
    cluster.stopped("keeper")
    done = cluster.good("down")
    assert "the keeper did not answer" in done.stderr
    assert footprint.processes(cluster.root) == []


def test_what_nobody_keeps_any_more_is_ended(cluster: Cluster) -> None:
    cluster.good("install", str(HELLO), "--set", "count=1")
    pids = [cluster.pid(name) for name in ("keeper", "master", "agent-node-1")]
    os.kill(pids[0], signal.SIGSTOP)  # so that it starts none of the others again
    for pid in reversed(pids):
        os.kill(pid, signal.SIGKILL)
    done = cluster.run("down")
    assert done.returncode == 1
    assert "nothing keeps this cluster any more" in done.stderr
    assert footprint.processes(cluster.root) == []

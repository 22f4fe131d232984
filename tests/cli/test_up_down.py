"""A real cluster on this machine, by the commands alone: up, killed, up again, interrupted, down. Nothing stays."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from upcall.cli import footprint, keeping
from upcall.client.folder import folder_at

HELLO = Path(__file__).parents[2] / "examples" / "hello.py"
TIMEOUT_S = 240.0
Done = subprocess.CompletedProcess[str]


class Cluster:
    """A data folder, and the command line on it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "upcall.cli", *words, "--data", str(self.root)]

    def run(self, *words: str) -> Done:
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd="/"
        )

    def begin(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def up(self) -> Done:
        return self.run("up", "--nodes", "2", "--memory-mib-per-node", "512")

    def processes(self) -> list[int]:
        return footprint.processes(self.root)


def good(done: Done) -> Done:
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster((tmp_path / "data").resolve())
    yield made
    keeping.end(folder_at(made.root))
    assert made.processes() == []


def test_a_cluster_comes_up_survives_being_killed_and_goes_down(cluster: Cluster) -> None:
    assert "2 nodes" in good(cluster.up()).stdout
    refused = cluster.up()
    assert refused.returncode == 1
    assert "this cluster is up already" in refused.stderr
    good(cluster.run("install", str(HELLO), "--set", "count=2"))
    before = json.loads(good(cluster.run("status", "--output", "json")).stdout)
    assert [one["state"] for one in before["services"]] == ["running"]
    assert "http://" in good(cluster.run("open")).stdout

    until = time.monotonic() + TIMEOUT_S
    while (pids := cluster.processes()) and time.monotonic() < until:
        for pid in pids:  # More than once: who stands by for the keeper may start another one before its own turn.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    good(cluster.run("up"))
    after = json.loads(good(cluster.run("status", "--output", "json")).stdout)
    assert after["cluster"] == before["cluster"]
    while json.loads(good(cluster.run("service", "show", "hello", "-o", "json")).stdout)["state"] != "running":
        assert time.monotonic() < until, cluster.run("why").stdout
        time.sleep(0.5)

    good(cluster.run("down"))
    assert cluster.processes() == []
    assert (cluster.root / "cluster.json").exists()
    again = cluster.run("down")
    assert again.returncode == 1
    assert "not up" in again.stderr


def test_interrupts_while_it_goes_down_do_not_skip_the_shutdown(cluster: Cluster) -> None:
    good(cluster.up())
    good(cluster.run("install", str(HELLO)))
    process = cluster.begin("down")
    assert process.stderr is not None
    assert "shutting down hello" in process.stderr.readline()
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    _, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, errors
    assert "still shutting down" in errors
    assert cluster.processes() == []
    good(cluster.run("up"))
    events = good(cluster.run("events", "-n", "500")).stdout
    assert "shutdown" in events


def test_an_interrupted_up_leaves_nothing_running(cluster: Cluster) -> None:
    process = cluster.begin("up", "--nodes", "2", "--memory-mib-per-node", "512")
    until = time.monotonic() + TIMEOUT_S
    while not cluster.processes() and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=TIMEOUT_S)
    if process.returncode == 0:
        pytest.skip("it was up before the interrupt came")
    assert process.returncode == 130, errors
    assert cluster.processes() == []
    good(cluster.run("up"))


def test_a_port_that_is_taken_meanwhile_is_named_and_nothing_starts(cluster: Cluster) -> None:
    good(cluster.up())
    good(cluster.run("down"))
    url = json.loads((cluster.root / "cluster.json").read_text())["url"]
    address, _, port = url.removeprefix("https://").partition(":")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((address, int(port)))
        other.listen()
        refused = cluster.run("up")
    assert refused.returncode == 1
    assert f"port {port} in use" in refused.stderr
    assert cluster.processes() == []


def test_other_node_counts_at_a_later_up_are_refused(cluster: Cluster) -> None:
    good(cluster.up())
    good(cluster.run("down"))
    refused = cluster.run("up", "--nodes", "5")
    assert refused.returncode == 1
    assert "was made with --nodes 2, not 5" in refused.stderr
    assert cluster.processes() == []


def test_a_shared_folder_that_is_none_is_refused_with_nothing_written(tmp_path: Path) -> None:
    refused = Cluster(tmp_path / "data").run("up", "--share", str(tmp_path / "nosuch"))
    assert refused.returncode == 1
    assert "nosuch is no folder" in refused.stderr
    assert not (tmp_path / "data").exists()


def test_a_path_with_a_space_is_refused_with_nothing_written(tmp_path: Path) -> None:
    refused = Cluster(tmp_path / "my data").run("up")
    assert refused.returncode == 1
    assert "a space" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_own_code_that_cannot_be_imported_is_named(cluster: Cluster, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_module\n")
    good(cluster.up())
    for path, said in ((broken, "no_such_module"), (tmp_path / "none.py", "none.py")):
        refused = cluster.run("install", str(path))
        assert refused.returncode == 1
        assert said in refused.stderr
    assert json.loads(cluster.run("service", "list", "-o", "json").stdout) == []

"""What `up` began is finished by the cluster, not by the terminal: real processes, whose starter goes away."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from live_files import files
from upcall.cli import keeping
from upcall.client.folder import folder_at
from upcall.keeper.lock import Lock

HELLO = Path(__file__).parents[2] / "examples" / "hello.py"
TIMEOUT_S = 240.0


class Cluster:
    def __init__(self, root: Path) -> None:
        self.root = root

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "upcall.cli", *words, "--data", str(self.root)]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*words), capture_output=True, text=True, timeout=TIMEOUT_S, check=False)

    def good(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def hello(self) -> str:
        done = self.run("service", "show", "hello", "-o", "json")
        return str(json.loads(done.stdout)["state"]) if done.returncode == 0 else done.stderr

    def member(self) -> int:
        """The process of its newest incarnation."""
        found = files(self.root, "tasks/hello.web-0.*/running.json")
        newest = max(found, key=lambda path: int(path.parent.name.rpartition(".")[2]))
        return int(json.loads(newest.read_bytes())["task"]["pid"])

    def until_hello_runs(self) -> None:
        until = time.monotonic() + TIMEOUT_S
        while (state := self.hello()) != "running":
            assert time.monotonic() < until, state
            time.sleep(0.3)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with a service, that was taken down."""
    made = Cluster(tmp_path_factory.mktemp("cluster").resolve() / "data")
    made.good("up", "--nodes", "1", "--memory-mib-per-node", "512")
    # It may take its time to end, as long as a test lasts.
    patient = made.root.parent / "hello.py"
    patient.write_text(HELLO.read_text().replace("ready=up.Check(", f"grace_s={TIMEOUT_S}, ready=up.Check("))
    made.good("install", str(patient), "--set", "count=1")
    made.good("down")
    yield made
    keeping.end(folder_at(made.root))


@pytest.fixture
def down(kept: Cluster) -> Cluster:
    if keeping.running(folder_at(kept.root)):
        kept.good("down")
    return kept


def test_up_begins_itself_when_the_keeper_that_it_found_is_gone_before_all_is_up(down: Cluster) -> None:
    folder = folder_at(down.root)
    keeping.wanted_up(folder)
    with Lock.made(str(down.root)) as found:
        assert found.take()
        process = subprocess.Popen(down.command("up"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        said = process.stderr.readline()
        assert "it runs in part" in said
    out, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, out + said + errors
    assert keeping.running(folder)


def test_up_whose_reader_goes_away_raises_the_whole_cluster(down: Cluster) -> None:
    """``upcall up 2>&1 | head -1``, as early as can be: nobody reads a word."""
    read, write = os.pipe()
    process = subprocess.Popen(down.command("up"), stdout=write, stderr=write)
    os.close(write)
    os.close(read)
    process.wait(TIMEOUT_S)
    down.until_hello_runs()
    assert "up already" in down.run("up").stderr


def test_the_cluster_finishes_an_up_that_was_killed(down: Cluster) -> None:
    """The services that `down` had shut down start, though nobody is left who could ask for it."""
    process = subprocess.Popen(down.command("up"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + TIMEOUT_S
    while not keeping.processes_of(folder_at(down.root)):  # The keeper has begun.
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    down.until_hello_runs()


def test_up_goes_on_where_a_down_was_killed(down: Cluster) -> None:
    down.good("up")
    down.until_hello_runs()
    # The member cannot end before it is let, so `down` is killed in the middle, however fast this machine is.
    member = down.member()
    os.kill(member, signal.SIGSTOP)
    try:
        process = subprocess.Popen(down.command("down"), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        until = time.monotonic() + TIMEOUT_S
        while (state := down.hello()) != "shut down":
            assert time.monotonic() < until, state
        assert process.poll() is None, "it came to its end"
        process.kill()
        process.wait()
        assert down.hello() == "shut down"
    finally:
        os.kill(member, signal.SIGCONT)
    done = down.run("up")
    assert done.returncode == 0, done.stderr
    assert "up already" not in done.stderr
    down.until_hello_runs()

"""``upcall demo`` as a command, around a small composition: until Ctrl-C, down again, going on, and measured once.

The flight itself is run by `make demo`; here a service of one's own, installed as a distribution, takes its place.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_cluster import WAIT_S, Cluster

HELLO = Path(__file__).parents[2] / "examples" / "hello.py"
COMPOSITION = """
requires: {nodes: 3, memory_mib: 192}
services:
  - {package: greeter, options: {count: 2}, notes: {first: {text: hello}}}
actions:
  - {service: greeter, action: note, arguments: {word: seen}}
"""
WATCH = """
import time
from types import SimpleNamespace
def watch(client):
    number = 0
    while True:
        number += 1
        ready = client.service("greeter").ready
        matched = {"seed": 7, "sensor": 3} if number > 2 and ready == 2 else None
        yield SimpleNamespace(text=f"look {number}: {ready} ready", found=[f"found {number}"], matched=matched)
        time.sleep(0.1)
"""
ACTION = '''
    @up.action
    async def note(self, word: str) -> dict[str, str]:
        """Says it again; only while somebody is ready."""
        self.somebody()
        return {"word": word}

    @up.action
    async def notes(self) -> list[dict[str, str]]:
        """All that were kept."""
        self.somebody()
        return [{"name": name, "text": text} for name, text in (await self.state.get("notes", {})).items()]

    @up.action
    async def keep(self, name: str, text: str) -> None:
        """Another one."""
        self.somebody()
        await self.state.update("notes", lambda known: {**known, name: text}, {})

    @up.action
    async def throw_away(self, name: str) -> None:
        """It is gone."""
        await self.state.update("notes", lambda known: {key: known[key] for key in known if key != name}, {})

    def somebody(self) -> None:
        if not any(member.ready for member in self.members.values()):
            raise NotNow("nobody is ready")

    contents = (up.Contents("notes", show="notes", make="keep", drop="throw-away"),)
'''
COMMAND = """
import sys
import upcall.cli.demo.measured as measured
from upcall.cli.main import run
measured.PROMISES = tuple(one for one in measured.PROMISES if one.binds == "everywhere")
sys.exit(run())
"""


class Demo:
    """The command in a process of its own, and what it said so far."""

    def __init__(self, folder: Path, *words: str) -> None:
        env = {**os.environ, "PYTHONPATH": str(folder / "site"), "UPCALL_DATA": str(folder / "data"), "NO_COLOR": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "demo", "toy", *words], cwd=folder, env=env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.lines: list[str] = []
        self._found = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if "found 3" in line:
                self._found.set()
        self._found.set()

    def until_watching(self) -> None:
        assert self._found.wait(WAIT_S), "\n".join(self.lines)
        assert self.process.poll() is None, "\n".join(self.lines)

    def end(self) -> int:
        code = self.process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        return code


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    package = tmp_path / "site" / "toy_demo"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "demo.yaml").write_text(COMPOSITION)
    (package / "demo.py").write_text(WATCH)
    code = HELLO.read_text().replace("class Hello", "class Greeter")
    code = code.replace(
        "import upcall.service as up\n", "import upcall.service as up\nfrom upcall.protocol.errors import NotNow\n"
    )
    (package / "greeter.py").write_text(code + ACTION)
    known = tmp_path / "site" / "toy_demo-1.dist-info"
    known.mkdir()
    (known / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-demo\nVersion: 1\n")
    (known / "entry_points.txt").write_text(
        "[upcall.services]\ngreeter = toy_demo.greeter\n[upcall.demos]\ntoy = toy_demo.demo\n"
    )
    yield tmp_path
    for name in ("data", "data-once"):
        left = Cluster(tmp_path / name)
        if left.data.exists():
            left.upcall("down", check=False)
            left.until_no_process()


def test_the_demo_is_watched_until_an_interrupt_and_goes_on_where_it_was(folder: Path) -> None:
    """The second time what the service holds is looked at while its members still start."""
    for _ in range(2):
        demo = Demo(folder)
        demo.until_watching()
        demo.process.send_signal(signal.SIGINT)
        assert demo.end() == 0, "\n".join(demo.lines)
        said = "\n".join(demo.lines)
        assert "greeter: note done" in said
        assert f"afterwards `upcall open --data {folder / 'data'}` makes another" in said
        assert "taking it down; the data is kept" in said
        assert f"down; data is kept in {folder / 'data'}" in said
        Cluster(folder / "data").until_no_process()
        assert (folder / "data" / "cluster.json").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_whatever_ends_the_demo_takes_it_down(folder: Path, number: signal.Signals) -> None:
    demo = Demo(folder)
    demo.until_watching()
    demo.process.send_signal(number)
    assert demo.end() == 0, "\n".join(demo.lines)
    Cluster(folder / "data").until_no_process()


def test_a_cluster_that_was_up_before_the_demo_stays_up_and_the_demo_says_so(folder: Path) -> None:
    cluster = Cluster(folder / "data", env={"PYTHONPATH": str(folder / "site")})
    cluster.up()
    demo = Demo(folder)
    demo.until_watching()
    demo.process.send_signal(signal.SIGINT)
    assert demo.end() == 0, "\n".join(demo.lines)
    assert not any("taking it down" in line for line in demo.lines)
    assert any("runs on with the demo in it" in line for line in demo.lines)
    assert cluster.client.service("greeter").state == "running"


def test_once_is_measured_on_an_empty_folder_that_goes_again(folder: Path) -> None:
    demo = Demo(folder, "--once")
    assert demo.end() == 0, "\n".join(demo.lines)
    report = json.loads((folder / "build" / "demo.json").read_text())
    assert report["first_anomaly"] == {"seed": 7, "sensor": 3}
    assert (report["seed"], report["left_processes"], report["full_size"]) == (7, 0, True)
    assert report["options"] == {"greeter": {"count": 2}}
    assert report["peak_memory_mib"] > 0
    assert not (folder / "data").exists()
    assert not (folder / "data-once").exists()


def test_a_measurement_beside_a_running_cluster_is_refused(folder: Path) -> None:
    cluster = Cluster(folder / "data")
    cluster.up()
    demo = Demo(folder, "--once")
    assert demo.end() == 1
    assert any("a cluster is up, and its work would be measured too" in line for line in demo.lines)
    shutil.rmtree(folder / "build", ignore_errors=True)

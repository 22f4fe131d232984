"""Real control groups, wherever this user may make some."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from upcall.agent import cgroups
from upcall.keeper.delegation import LEAF

pytestmark = pytest.mark.root

FORKS = """
import os, time
first = os.getpid()
os.fork()
if os.fork() == 0:
    os.setsid()
if os.getpid() == first:
    print("on", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def v2_group() -> Iterator[Path]:
    """A v2 group of our own."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if line.split(" ")[2] == "cgroup2":
            group = Path(line.split(" ")[1]) / f"upcall-test-{os.getpid()}"
            try:
                group.mkdir()
            except OSError:
                break
            yield group
            for folder in sorted(group.rglob("*"), reverse=True):
                if folder.is_dir():
                    folder.rmdir()
            if group.exists():
                group.rmdir()
            return
    pytest.skip("no cgroup v2 tree in which this user may make groups")


def run_in(procs: list[str], script: str) -> "subprocess.Popen[bytes]":
    def enter() -> None:
        for path in procs:
            Path(path).write_text("0")

    return subprocess.Popen([sys.executable, "-c", script], preexec_fn=enter, stdout=subprocess.PIPE)


def test_v2_kills_everything_in_the_group(v2_group: Path) -> None:
    groups_of = cgroups.V2(v2_group)
    groups = groups_of.create("a.b.1", "127.1.2.3", 0.5, 64)
    process = run_in(groups_of.procs(groups), FORKS)
    assert process.stdout is not None
    assert process.stdout.readline() == b"on\n"
    assert len((v2_group / "a.b.1" / "cgroup.procs").read_text().split()) >= 2
    assert "group-kill" in groups_of.features
    while not groups_of.kill(groups):
        process.poll()
    assert process.wait() == -9
    groups_of.remove(groups)
    assert not (v2_group / "a.b.1").exists()


def test_v2_without_controllers_says_so_and_limits_nothing(v2_group: Path) -> None:
    if (v2_group / "cgroup.controllers").read_text().split():
        pytest.skip("this tree has controllers")
    assert cgroups.V2(v2_group).features[:3] == ("no-memory-limits", "no-cpu-weights", "group-kill")


def test_a_supervisor_alone_in_its_group_makes_room(v2_group: Path) -> None:
    script = f"from upcall.keeper import delegation; print(delegation.settle({str(v2_group)!r}))"
    process = run_in([str(v2_group / "cgroup.procs")], script + "; input()")
    assert process.stdout is not None
    assert process.stdout.readline() == b"True\n"
    process.wait()
    assert (v2_group / LEAF).is_dir()
    assert (v2_group / "cgroup.procs").read_text() == ""


def test_a_supervisor_that_is_not_alone_changes_nothing(v2_group: Path) -> None:
    other = run_in([str(v2_group / "cgroup.procs")], "print('on', flush=True); import time; time.sleep(1000)")
    assert other.stdout is not None
    other.stdout.readline()
    script = f"from upcall.keeper import delegation; print(delegation.settle({str(v2_group)!r}))"
    process = run_in([str(v2_group / "cgroup.procs")], script)
    assert process.communicate()[0] == b"False\n"
    assert not (v2_group / LEAF).exists()
    other.kill()
    other.wait()


def test_without_any_group_everything_is_promised_weaker(tmp_path: Path) -> None:
    groups_of = cgroups.V1({})
    assert groups_of.features == ("no-memory-limits", "no-cpu-weights", "no-group-kill", "no-own-addresses")
    assert not groups_of.count_processes
    groups = groups_of.create("a.b.1", "127.1.2.3", 1.0, 64)
    assert groups == {}
    assert groups_of.kill(groups)
    assert groups_of.out_of_memory_kills(groups) == 0
    assert groups_of.usage(groups) == (None, None)


def test_v1_limits_weighs_and_kills(tmp_path: Path) -> None:
    node = tmp_path / "node-1"
    node.mkdir()
    groups_of = cgroups.detect(node)
    if not isinstance(groups_of, cgroups.V1) or "memory-limits" not in groups_of.features:
        pytest.skip("no v1 memory controller in which this user may make groups")
    groups = groups_of.create("a.b.1", "127.1.2.3", 0.5, 64)
    assert (Path(groups["memory"]) / "memory.limit_in_bytes").read_text() == f"{64 << 20}\n"
    groups_of.limit(groups, 2.0, 128)
    assert (Path(groups["memory"]) / "memory.limit_in_bytes").read_text() == f"{128 << 20}\n"
    process = run_in(groups_of.procs(groups), FORKS)
    assert process.stdout is not None
    assert process.stdout.readline() == b"on\n"
    usage = groups_of.usage(groups)
    assert usage.memory_mib is not None
    assert usage.memory_mib > 1
    while not groups_of.kill(groups):
        process.poll()
    process.wait()
    groups_of.remove(groups)
    groups_of.tidy([])
    assert not Path(groups["memory"]).parent.exists()


SPAWN = """
import os, time
made = 0
try:
    for _ in range(40):
        if os.fork() == 0:
            time.sleep(1000)
        made += 1
except OSError:
    pass
print(made, flush=True)
time.sleep(1000)
"""


def test_the_processes_of_a_task_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = tmp_path / "node-1"
    node.mkdir()
    groups_of = cgroups.detect(node)
    if not groups_of.count_processes:
        pytest.skip("no controller of processes in a group that this user may make")
    monkeypatch.setattr(cgroups, "PROCESSES_MAX", 20)
    groups = groups_of.create("a.b.1", "127.1.2.3", 0.5, 64)
    process = run_in(groups_of.procs(groups), SPAWN)
    assert process.stdout is not None
    assert process.stdout.readline() == b"19\n"
    while not groups_of.kill(groups):
        process.poll()
    process.wait()
    groups_of.remove(groups)
    groups_of.tidy([])

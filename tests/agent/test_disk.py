"""What a task keeps on disk is watched: told when it nears its bound, and beyond it, and nothing ends it for that."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from agent_node import Master, Node

from upcall.agent import disk
from upcall.agent.disk import EVERY_S, SELDOM_S, Disks, disk_mib, until_next_s
from upcall.protocol.agent import DiskUse, Launch, Status, Usage
from upcall.protocol.declaration import Declaration, Resources, Volume


async def test_a_task_that_writes_more_than_it_may_is_told_and_runs_on(node: Node, master: Master) -> None:
    script = 'dd if=/dev/zero of="$0/big" bs=1M count=6 2>/dev/null; sleep 1000'
    await node.launch("db.main.1", "sh", "-c", script, "{{volume.data}}", volumes=(Volume(name="data", size_mib=4),))
    assert "no-disk-limits" in (await master.registered(1)).features
    await master.state("db.main.1", "ready")

    def told() -> list[DiskUse]:
        return [disks for usage in master.of(Usage) for one in usage.tasks for disks in one.filling]

    await master.until(told, "that its volume is full")
    assert told()[0] == DiskUse(volume="data", used_mib=6, bound_mib=4)
    count = len(master.of(Usage))
    await master.until(lambda: len(master.of(Usage)) > count, "another measurement")
    states = [said.status.state for said in master.of(Status) if said.status.task == "db.main.1"]
    assert states[-1] == "ready", "an agent ends no task, and calls none unwell, because it wrote too much"


class Watched:
    """One task with a volume of 10 MiB, its folder, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.now_s, self.volume = 1000.0, folder / "volume"
        self.volume.mkdir()
        declared = Declaration(command=("x",), volumes=(Volume(name="data", size_mib=10),), resources=Resources())
        launch = Launch(task="db.main.1", declaration=declared, generation=1, fence=1, address="127.0.0.1")
        self.task: Any = SimpleNamespace(
            id="db.main.1", started=object(), runs=True, record=SimpleNamespace(launch=launch)
        )
        machine: Any = SimpleNamespace(
            volumes=SimpleNamespace(paths=lambda member, place, names: {"data": str(self.volume)}),
            places=SimpleNamespace(sandbox=lambda task: folder / "sandbox"),
        )
        self.disks = Disks(machine, lambda: self.now_s)

    def holds(self, mib: int) -> tuple[DiskUse, ...]:
        """So much is in it, and the next look is due."""
        with (self.volume / "file").open("wb") as file:
            file.write(b"x" * (mib << 20))
        self.now_s += SELDOM_S
        self.disks.look([self.task])
        return self.disks.filling("db.main.1")


def test_what_lives_around_its_mark_is_not_told_again_and_again(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    assert watched.holds(8) == ()
    assert watched.holds(9) == (DiskUse(volume="data", used_mib=9, bound_mib=10),)
    assert [len(watched.holds(mib)) for mib in (11, 9, 11)] == [1, 1, 1]
    assert watched.holds(8) == ()
    assert watched.disks.used_mib("db.main.1") == pytest.approx(8, abs=0.5)


def test_a_task_that_is_over_is_forgotten(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    assert watched.holds(11)
    watched.task.runs = False
    watched.disks.look([watched.task])
    assert watched.disks.filling("db.main.1") == ()


def test_the_next_look_comes_before_the_mark_can_be_reached_and_seldom_where_nothing_grows() -> None:
    assert until_next_s(100, 1000, 0.0) == SELDOM_S
    assert until_next_s(100, 1000, 1.0) == SELDOM_S
    assert until_next_s(880, 1000, 1.0) == 10.0  # 20 s to the mark at 900
    assert until_next_s(899, 1000, 50.0) == EVERY_S
    assert until_next_s(940, 1000, 1.0) == 30.0  # and to the bound
    assert until_next_s(1100, 1000, 5.0) < SELDOM_S, "what is over is looked at until it has room again"


def test_a_folder_with_many_files_takes_a_small_share_of_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(tmp_path)
    walks = list[str]()

    def slow(folders: Any) -> float:
        watched.now_s += 10.0
        walks.append("walk")
        return 1.0

    monkeypatch.setattr(disk, "disk_mib", slow)
    began_s = watched.now_s
    while watched.now_s < began_s + 4000:
        watched.disks.look([watched.task])
        watched.now_s += EVERY_S
    assert len(walks) * 10.0 <= 2 * disk.SHARE * 4000 + 20, "of two folders"


def test_a_snapshot_by_links_counts_once_and_holes_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"x" * (2 << 20))
    (tmp_path / "snapshot").mkdir()
    os.link(tmp_path / "data", tmp_path / "snapshot" / "data")
    with (tmp_path / "index").open("wb") as file:
        file.truncate(64 << 20)
    assert disk_mib([tmp_path]) == pytest.approx(2, abs=0.2)


def test_a_file_that_vanishes_while_it_is_counted_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(bytes(1 << 20))
    scandir = os.scandir

    class Vanishing:
        def __init__(self, entry: os.DirEntry[str]) -> None:
            self.path, self._entry = entry.path, entry

        def is_dir(self, *, follow_symlinks: bool) -> bool:
            return False

        def stat(self, *, follow_symlinks: bool) -> os.stat_result:
            if self._entry.name == "b":
                raise FileNotFoundError(self.path)
            return self._entry.stat(follow_symlinks=False)

    @contextmanager
    def listed(path: str) -> Iterator[list[Vanishing]]:
        with scandir(path) as found:
            yield [Vanishing(entry) for entry in sorted(found, key=lambda one: one.name)]

    monkeypatch.setattr(disk.os, "scandir", listed)
    assert disk_mib([tmp_path]) == 2

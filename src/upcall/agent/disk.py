"""What a task keeps on disk, its volumes and its sandbox, against what each may hold: watched and told, not enforced.

No file system that we may count on bounds a folder without its administrator's help, so a node says
``no-disk-limits``. What is left is to look. A look costs one ``stat`` a file, so it is rare: about when a folder could
have reached its mark at the pace at which it grew, at most every :data:`EVERY_S` and at least every :data:`SELDOM_S`;
and no folder takes more than a :data:`SHARE` of a thread, however many files are in it.

What is nearly full is told with each measurement until it is well below again. What follows from that is the master's
to say: a task is never ended here because it wrote too much.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from upcall.agent.bring_up import member_id
from upcall.agent.machine import Machine
from upcall.agent.task import Task
from upcall.protocol.agent import DiskUse

EVERY_S: Final = 5.0
SELDOM_S: Final = 60.0
SHARE: Final = 0.05
NEAR: Final = 0.90
"""Of its bound; from here on it is told."""
CLEAR: Final = 0.85
"""Below this it is told no more: what lives around its mark is not told again and again."""
SANDBOX_MIB: Final = 2048
"""What a sandbox may hold whose task declares nothing, or less: above what any of our own packages leaves there."""
ENTRIES_MAX: Final = 200_000
"""Of one walk; beyond, what was found counts (a lower bound)."""

_MIB: Final = 1 << 20


@dataclass
class _Folder:
    bound_mib: float
    used_mib: float = 0.0
    looked_s: float = 0.0
    next_s: float = 0.0
    near: bool = False


class Disks:
    """Blocking. One thread looks, and another may read what it found meanwhile."""

    def __init__(self, machine: Machine, clock: Callable[[], float] = time.monotonic) -> None:
        self._machine, self._clock = machine, clock
        self._folders: dict[str, dict[str, _Folder]] = {}
        """Task -> volume -> its folder; the sandbox's name is empty."""

    def look(self, tasks: Iterable[Task]) -> None:
        """At what is due."""
        running = [task for task in tasks if task.started is not None and task.runs]
        self._folders = {task.id: self._folders.get(task.id, {}) for task in running}
        for task in running:
            for name, path, bound_mib in self._kept(task):
                folder = self._folders[task.id].setdefault(name, _Folder(bound_mib))
                folder.bound_mib = bound_mib
                if self._clock() >= folder.next_s:
                    self._measure(folder, path)

    def used_mib(self, task: str) -> float:
        return sum(folder.used_mib for folder in list(self._folders.get(task, {}).values()))

    def filling(self, task: str) -> tuple[DiskUse, ...]:
        """What is nearly full, or over its bound."""
        found = list(self._folders.get(task, {}).items())
        return tuple(
            DiskUse(volume=name, used_mib=round(folder.used_mib), bound_mib=round(folder.bound_mib))
            for name, folder in found
            if folder.near
        )

    def _kept(self, task: Task) -> Iterator[tuple[str, Path, float]]:
        launch = task.record.launch
        declared = launch.declaration
        volumes = {volume.name: volume.size_mib for volume in declared.volumes}
        paths = self._machine.volumes.paths(member_id(task.id), launch.fence, volumes)
        for name, path in paths.items():
            yield name, Path(path), volumes[name]
        yield "", self._machine.places.sandbox(task.id), max(declared.resources.disk_mib, SANDBOX_MIB)

    def _measure(self, folder: _Folder, path: Path) -> None:
        began_s = self._clock()
        used_mib = disk_mib([path])
        now_s = self._clock()
        since_s = began_s - folder.looked_s
        rate = (used_mib - folder.used_mib) / since_s if folder.looked_s and since_s > 0 else 0.0
        folder.used_mib, folder.looked_s = used_mib, began_s
        folder.near = used_mib >= folder.bound_mib * (CLEAR if folder.near else NEAR)
        pause_s = until_next_s(used_mib, folder.bound_mib, rate)
        folder.next_s = now_s + max(pause_s, (now_s - began_s) / SHARE)


def until_next_s(used_mib: float, bound_mib: float, mib_a_second: float) -> float:
    """Half the time in which it comes to its next mark, should it go on growing as it did."""
    mark = next((mark for mark in (bound_mib * NEAR, bound_mib) if used_mib < mark), None)
    if mark is None or mib_a_second <= 0:
        return SELDOM_S if mark is not None and used_mib < bound_mib * CLEAR else SELDOM_S / 4
    return min(SELDOM_S, max(EVERY_S, (mark - used_mib) / mib_a_second / 2))


def room_mib(volumes: Path) -> int:
    """What volumes here may hold: what is free, and what they hold already."""
    disk = os.statvfs(volumes)
    return int(disk.f_bavail * disk.f_frsize / _MIB + disk_mib([volumes]))


def disk_mib(folders: Iterable[Path]) -> float:
    """Blocks in use below the folders. A file with several names (a snapshot) counts once."""
    blocks = entries = 0
    linked: set[tuple[int, int]] = set()
    ahead = [str(folder) for folder in folders]
    while ahead and entries < ENTRIES_MAX:
        with contextlib.suppress(OSError), os.scandir(ahead.pop()) as found:
            for entry in found:
                entries += 1
                try:
                    if entry.is_dir(follow_symlinks=False):
                        ahead.append(entry.path)
                        continue
                    file = entry.stat(follow_symlinks=False)
                except OSError:
                    continue  # Files come and go while they are counted; what lies beside them stays.
                if file.st_nlink > 1:
                    if (file.st_dev, file.st_ino) in linked:
                        continue
                    linked.add((file.st_dev, file.st_ino))
                blocks += file.st_blocks
    return blocks * 512 / _MIB

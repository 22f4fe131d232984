"""What each task uses: CPU time and memory from its control groups, or added up over its processes.

Without groups the processes below the task's shim are added up from one look at ``/proc``: the CPU time of those that
ended is in their parents' figures once these waited for them, and shared pages count for each process (an upper
bound). Disk is walked rarely: it changes slowly and costs much.
"""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from upcall.agent.bring_up import member_id
from upcall.agent.machine import Machine
from upcall.agent.task import Task
from upcall.keeper import processes
from upcall.keeper.identity import Stat
from upcall.protocol.agent import TaskUsage, Usage

EVERY_S = 5.0
DISK_EVERY_S = 60.0
ENTRIES_MAX = 200_000
"""Of one walk over a task's folders."""

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MIB = 1 << 20


class Usages:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._disk_mib: dict[str, tuple[float, float]] = {}
        """When it was walked, and what was found."""

    def measure(self, tasks: Iterable[Task]) -> Usage:
        """Blocking."""
        running = [task for task in tasks if task.started is not None and task.runs]
        known = {task.id for task in running}
        self._disk_mib = {task: found for task, found in self._disk_mib.items() if task in known}
        everything: dict[int, Stat] | None = None
        found = []
        for task in running:
            cpu_s, memory_mib = self._machine.groups.usage(task.record.groups)
            if cpu_s is None or memory_mib is None:
                everything = processes.table() if everything is None else everything
                counted = _count(task, everything)
                cpu_s = counted[0] if cpu_s is None else cpu_s
                memory_mib = counted[1] if memory_mib is None else memory_mib
            found.append(TaskUsage(task=task.id, cpu_s=cpu_s, memory_mib=memory_mib, disk_mib=self._disk(task)))
        return Usage(tasks=tuple(found))

    def _disk(self, task: Task) -> float:
        now_s = time.monotonic()
        known = self._disk_mib.get(task.id)
        if known and now_s - known[0] < DISK_EVERY_S:
            return known[1]
        launch = task.record.launch
        names = [volume.name for volume in launch.declaration.volumes]
        volumes = self._machine.volumes.paths(member_id(task.id), launch.fence, names)
        mib = disk_mib([self._machine.places.task(task.id), *map(Path, volumes.values())])
        self._disk_mib[task.id] = (now_s, mib)
        return mib


def _count(task: Task, everything: dict[int, Stat]) -> tuple[float, float]:
    assert task.started is not None
    below = processes.descendants(task.started.shim.pid, everything)
    cpu_ticks = sum(stat.cpu_ticks for stat in below)
    pages = sum(stat.resident_pages for stat in below)
    return cpu_ticks / _TICKS_A_SECOND, pages * _PAGE_BYTES / _MIB


def disk_room_mib(volumes: Path) -> int:
    """What volumes here may hold: what is free, and what they hold already."""
    disk = os.statvfs(volumes)
    return int(disk.f_bavail * disk.f_frsize / _MIB + disk_mib([volumes]))


def disk_mib(folders: Iterable[Path]) -> float:
    """Blocks in use below the folders; a walk that meets too many entries stops there (a lower bound)."""
    blocks = entries = 0
    ahead = [str(folder) for folder in folders]
    while ahead and entries < ENTRIES_MAX:
        try:
            with os.scandir(ahead.pop()) as found:
                for entry in found:
                    entries += 1
                    if entry.is_dir(follow_symlinks=False):
                        ahead.append(entry.path)
                    else:
                        blocks += entry.stat(follow_symlinks=False).st_blocks
        except OSError:
            continue  # Files come and go while they are counted.
    return blocks * 512 / _MIB

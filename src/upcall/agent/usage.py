"""What each task uses: CPU time and memory from its control groups, or added up over its processes.

Without groups the processes below the task's shim are added up from one look at ``/proc``: the CPU time of those that
ended is in their parents' figures once these waited for them, and shared pages count for each process (an upper
bound). Disk is :mod:`upcall.agent.disk`.
"""

import os
from collections.abc import Iterable

from upcall.agent.disk import Disks
from upcall.agent.machine import Machine
from upcall.agent.task import Task
from upcall.keeper import processes
from upcall.keeper.identity import Stat
from upcall.protocol.agent import TaskUsage, Usage

EVERY_S = 5.0

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MIB = 1 << 20


class Usages:
    def __init__(self, machine: Machine, disks: Disks) -> None:
        self._machine, self._disks = machine, disks

    def measure(self, tasks: Iterable[Task]) -> Usage:
        """Blocking."""
        running = [task for task in tasks if task.started is not None and task.runs]
        everything: dict[int, Stat] | None = None
        found = []
        for task in running:
            cpu_s, memory_mib = self._machine.groups.usage(task.record.groups)
            if cpu_s is None or memory_mib is None:
                everything = processes.table() if everything is None else everything
                counted = _count(task, everything)
                cpu_s = counted[0] if cpu_s is None else cpu_s
                memory_mib = counted[1] if memory_mib is None else memory_mib
            found.append(
                TaskUsage(
                    task=task.id,
                    cpu_s=cpu_s,
                    memory_mib=memory_mib,
                    disk_mib=self._disks.used_mib(task.id),
                    filling=self._disks.filling(task.id),
                )
            )
        return Usage(tasks=tuple(found))


def _count(task: Task, everything: dict[int, Stat]) -> tuple[float, float]:
    assert task.started is not None
    below = processes.descendants(task.started.shim.pid, everything)
    cpu_ticks = sum(stat.cpu_ticks for stat in below)
    pages = sum(stat.resident_pages for stat in below)
    return cpu_ticks / _TICKS_A_SECOND, pages * _PAGE_BYTES / _MIB

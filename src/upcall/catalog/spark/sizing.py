"""How Spark's processes use what they were given: memory and cores in, heaps out. Pure.

A worker's memory is for itself and for its executors with their Python processes, which are its children and count
against its limit. Spark refuses drivers with less than 450 MiB of heap, and executors likewise.
"""

from dataclasses import dataclass
from typing import Final

DAEMON_HEAP_MIB: Final = 160
DAEMON_MEMORY_MIB: Final = 256
"""What a master, or the worker itself, holds in all."""
EXECUTOR_HEAP_MIB_MIN: Final = 480
EXECUTOR_OVERHEAD_MIB: Final = 160
"""Beside an executor's heap: code, class data, direct buffers."""
PYTHON_MEMORY_MIB: Final = 120
"""One Python worker with numpy and pyarrow."""
DRIVER_HEAP_MIB_MIN: Final = 480
DRIVER_OVERHEAD_MIB: Final = 320
"""Beside a driver's heap: its own native memory and the Python process of the application."""


@dataclass(frozen=True)
class WorkerSizing:
    """What a worker offers."""

    cores: int
    executor_memory_mib: int
    """All that executors' heaps may take together."""


def size_worker(memory_mib: int, cores: int) -> WorkerSizing:
    least = DAEMON_MEMORY_MIB + EXECUTOR_OVERHEAD_MIB + cores * PYTHON_MEMORY_MIB + EXECUTOR_HEAP_MIB_MIN
    if memory_mib < least:
        raise ValueError(f"a Spark worker with {cores} cores needs at least {least} MiB of memory, got {memory_mib}")
    heap = memory_mib - DAEMON_MEMORY_MIB - EXECUTOR_OVERHEAD_MIB - cores * PYTHON_MEMORY_MIB
    return WorkerSizing(cores=cores, executor_memory_mib=heap)


def driver_heap_mib(memory_mib: int) -> int:
    least = DRIVER_HEAP_MIB_MIN + DRIVER_OVERHEAD_MIB
    if memory_mib < least:
        raise ValueError(f"a Spark driver needs at least {least} MiB of memory, got {memory_mib}")
    return min(memory_mib - DRIVER_OVERHEAD_MIB, 8 << 10)

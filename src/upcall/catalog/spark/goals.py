"""What people want of Spark, and what its options are then. Pure."""

import math
from typing import Final, Literal

from pydantic import Field

from upcall.catalog.spark.options import SparkOptions
from upcall.catalog.spark.sizing import (
    DAEMON_MEMORY_MIB,
    EXECUTOR_HEAP_MIB_MIN,
    EXECUTOR_OVERHEAD_MIB,
    PYTHON_MEMORY_MIB,
)
from upcall.service import Derived, Machine, ServiceGoals, unmet, usual

CORE_MB_S: Final = 5.0
"""What one task (a Python worker with Arrow) is planned to read in a second."""


class SparkGoals(ServiceGoals):
    survive: Literal["1-node"] | None = Field(None, description="jobs go on, slower, without it")
    write_mb_s: float | None = Field(None, gt=0, le=10_000, description="so much (MB) comes in a second, for all jobs")


def options_for(goals: SparkGoals, given: SparkOptions, machine: Machine) -> dict[str, Derived]:
    """``given``: what a person said, with defaults for the rest."""
    said, found = given.model_fields_set, dict[str, Derived]()
    least = 2 if goals.survive else 1
    if len(machine.nodes) < least:
        needs = f"needs {least} nodes (one worker on each of them), there are {len(machine.nodes)}"
        raise unmet("survive", goals.survive, needs)
    cores = given.cores
    tasks = math.ceil((goals.write_mb_s or 0.0) / CORE_MB_S)
    workers = max(least, math.ceil(tasks / cores))
    if workers > len(machine.nodes) and "workers" not in said and "cores" not in said:
        workers = max(least, len(machine.nodes))
        cores = math.ceil(tasks / workers)
    if workers > len(machine.nodes):
        needs = f"needs {workers} workers with {cores} cores each, there are {len(machine.nodes)} nodes"
        raise unmet("write_mb_s", f"{goals.write_mb_s:g}", needs, "more nodes, more cores of each worker, or less")
    why = [*(["one of two goes on when a node is gone"] if goals.survive else [])]
    why += [f"{goals.write_mb_s:g} MB/s at {CORE_MB_S:g} of each task: {tasks} tasks"] if goals.write_mb_s else []
    named = ", ".join(name for name in ("survive", "write_mb_s") if getattr(goals, name))
    found["workers"] = Derived(workers, "; ".join(why), goal=named, at_least=True)
    if goals.write_mb_s:
        memory = DAEMON_MEMORY_MIB + EXECUTOR_OVERHEAD_MIB + cores * PYTHON_MEMORY_MIB + EXECUTOR_HEAP_MIB_MIN
        found["cores"] = Derived(cores, f"{tasks} tasks over {workers} workers", goal="write_mb_s", at_least=True)
        why_memory = f"itself, an executor and {cores} Python workers: {memory} MiB"
        found["memory_mib"] = Derived(
            max(memory, usual(given, "memory_mib")), why_memory, goal="write_mb_s", at_least=True
        )
    return found

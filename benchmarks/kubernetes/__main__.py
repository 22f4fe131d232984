"""``make kubernetes-report``: each figure that is promised of Kubernetes, measured by a command of its own.

CELLS=webhook make kubernetes-report     one of them alone; its figures are kept by commit, as those of each cell
SABOTAGE=webhook-thinks ...              what must turn it red (:mod:`sabotages`)
SECONDS_MEASURED=120 ...                 for how long `idle` looks
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks import cells
from benchmarks.cells import Asked, Figures, Kept
from benchmarks.kubernetes import image, paths, suites
from benchmarks.kubernetes.sabotages import SABOTAGES, Sabotage
from upcall.cli.figures import Promise, Report

TARGET: Final = "kubernetes"
FOLDER: Final = "tests/kubernetes"
FAILOVERS: Final = (f"{FOLDER}/test_replicas.py", f"{FOLDER}/test_control_plane.py")
FAILOVER: Final = "failover_s"

Cell = Callable[[Path | None, Sabotage | None], Figures]
PROMISES: Final[dict[str, tuple[Promise, ...]]] = {
    "paths": (
        Promise("paths_claimed_equals_observed", "12 of 12, for each of two packages", lambda value: value == 12),
    ),
    "drain": (
        Promise("drain_failed_requests", "0: every write acknowledged within 5 s", lambda value: value == 0),
        Promise("drain_lost_upcalls", "0: every acknowledged write is read back", lambda value: value == 0),
        Promise("drain_duration_ratio", "at most 0.7 times the duration of readiness", lambda value: value <= 0.7),
    ),
    "failover": (Promise(FAILOVER, "at most 15 s", lambda value: value <= 15, "reference"),),
    "idle": (
        Promise("control_plane_memory_mib", "at most 150 MiB", lambda value: value <= 150, "reference"),
        Promise("api_calls_per_minute_idle", "at most 10, of both replicas", lambda value: value <= 10),
    ),
    "webhook": (Promise("webhook_p99_ms", "at most 20 ms", lambda value: value <= 20, "reference"),),
    "plan": (Promise("pods_per_s", "reported", lambda value: value > 0),),
    "scale": (
        Promise("scale_takeover_s", "at most 4 s, after the Lease's 11", lambda value: value <= 4, "reference"),
        *(
            Promise(f"scale_{what}_ratio", "at most 2: what is there besides costs nothing", lambda value: value <= 2)
            for what in ("pod", "node", "silence")
        ),
    ),
    "image": (Promise("image_reproducible", "true", lambda value: value is True),),
}


def failover(sabotage: Path | None) -> Figures:
    """The slowest of all ways in which a leader goes without a word: until another answers."""
    noted = suites.noted(FAILOVERS, "is_killed", "stopped", sabotage=sabotage)
    found = {name: value for name, value in noted.items() if name.startswith(FAILOVER)}
    return found | {FAILOVER: max(found.values())}


def drain(sabotage: Path | None, of: Sabotage | None) -> Figures:
    more = {"UPCALL_DRAINED_BY": of.drained_by} if of is not None and of.drained_by else {}
    return suites.noted([f"{FOLDER}/figures/measure_drain.py"], sabotage=sabotage, **more)


def scale(sabotage: Path | None) -> Figures:
    """In a process of its own, whose memory is nobody else's."""
    more = {"PYTHONPATH": str(sabotage)} if sabotage is not None else {}
    command = [sys.executable, "-m", "benchmarks.kubernetes.scale"]
    done = subprocess.run(command, env=os.environ | more, stdout=subprocess.PIPE, check=True)
    found: Figures = json.loads(done.stdout)
    return found


def measured(file: str) -> Cell:
    return lambda sabotage, _: suites.noted([f"{FOLDER}/figures/{file}.py"], sabotage=sabotage)


CELLS: Final[dict[str, Cell]] = {
    "image": lambda sabotage, _: image.measure(sabotage),
    "scale": lambda sabotage, _: scale(sabotage),
    "paths": lambda sabotage, _: paths.measure(sabotage),
    "failover": lambda sabotage, _: failover(sabotage),
    "webhook": measured("measure_webhook"),
    "plan": measured("measure_plan"),
    "idle": measured("measure_idle"),
    "drain": drain,
}


def main() -> int:
    try:
        name = cells.sabotage(SABOTAGES)
        sabotage = SABOTAGES.get(name)
        wanted = cells.chosen(list(CELLS), [sabotage.cell] if sabotage is not None else CELLS)
        if sabotage is not None and wanted != [sabotage.cell]:
            raise Asked(f"{cells.SABOTAGE}={name} is about {cells.CELLS}={sabotage.cell} alone")
    except Asked as wrong:
        print(wrong, file=sys.stderr)
        return 2
    target = f"{TARGET}-{name}" if name else TARGET
    report = Report(target, tuple(promise for cell in wanted for promise in PROMISES[cell]))
    for cell, figures in cells.played(wanted, Kept.of(target), 1, opened(name, sabotage)).items():
        broke = figures.pop(cells.BROKE, None)
        report.figures |= figures | ({f"{cell}_{cells.BROKE}": broke} if broke else {})
    return report.finish()


def opened(name: str, sabotage: Sabotage | None) -> cells.Open:
    """Each cell has a test cluster of its own."""

    @contextmanager
    def alone(_first: str) -> Iterator[cells.Measure]:
        def measure(cell: str) -> Figures:
            return CELLS[cell](sabotage.folder(name) if sabotage is not None else None, sabotage)

        yield measure

    return alone


if __name__ == "__main__":
    sys.exit(main())

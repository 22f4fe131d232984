"""``make operations``."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from benchmarks import cells
from benchmarks.cells import Asked, Figures, Kept
from benchmarks.operations.cassandra import CassandraStage
from benchmarks.operations.kafka import KafkaStage
from benchmarks.operations.spark import SparkStage
from benchmarks.operations.stage import FIGURES, ROWS, Stage
from upcall.cli.figures import Promise, Report

TARGET: Final = "operations"
STAGES: Final[tuple[type[Stage], ...]] = (KafkaStage, CassandraStage, SparkStage)
SABOTAGES: Final = {name: "" for stage in STAGES for name in stage.sabotages}
CELLS: Final = [f"{stage.system}_{row}" for stage in STAGES for row in ROWS if row in stage.rows]
SABOTAGED: Final = "kafka_rolling_restart"
"""The cell that is played where one is sabotaged and none is named."""
PROMISED: Final = {
    "duration_s": ("it came to its end", lambda value: value >= 0),
    "failed": ("0: every request answered within 5 s of when it was due", lambda value: value == 0),
    "lost": ("0: all that was acknowledged is read back", lambda value: value == 0),
    "twice": ("0: nothing is there twice", lambda value: value == 0),
}


def main() -> int:
    try:
        sabotage = cells.sabotage(SABOTAGES)
        quick = [SABOTAGED] if sabotage else [f"kafka_{row}" for row in ROWS]
        played = cells.chosen(CELLS, quick)
        rounds = cells.rounds()
        for stage in STAGES if sabotage else ():
            if sabotage not in stage.sabotages and any(system_of(cell) == stage.system for cell in played):
                raise Asked(f"{cells.SABOTAGE}={sabotage} is nothing for {stage.system}")
    except Asked as wrong:
        print(wrong, file=sys.stderr)
        return 2
    target = f"{TARGET}-{sabotage}" if sabotage else TARGET
    promises = [Promise(f"{cell}_{name}", *PROMISED[name]) for cell in played for name in FIGURES]
    report = Report(target, tuple(promises))
    found: dict[str, list[Figures]] = {cell: [] for cell in played}
    for number in range(1, rounds + 1):
        for stage in STAGES:
            of_it = [cell for cell in played if system_of(cell) == stage.system]
            for cell, figures in cells.played(of_it, Kept.of(target), number, opened(stage, sabotage)).items():
                found[cell].append(figures)
    for cell, each in found.items():
        report.figures |= {f"{cell}_{name}": value for name, value in cells.worst(each).items()}
    return report.finish()


def opened(stage: type[Stage], sabotage: str) -> cells.Open:
    """A cluster in the state in which the first cell begins; each other one is brought to its own."""

    @contextmanager
    def on_it(first: str) -> Iterator[cells.Measure]:
        with stage.opened(stage.rows[row_of(first)].at, sabotage) as system:

            def measure(cell: str) -> Figures:
                system.bring_to(stage.rows[row_of(cell)].at)
                return system.measure(row_of(cell))

            yield measure

    return on_it


def system_of(cell: str) -> str:
    return cell.partition("_")[0]


def row_of(cell: str) -> str:
    return cell.partition("_")[2]


if __name__ == "__main__":
    sys.exit(main())

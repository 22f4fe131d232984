"""``make operations``."""

import sys
from collections.abc import Sequence
from typing import Final

from benchmarks import cells
from benchmarks.cells import Asked, Figures, Kept, say
from benchmarks.operations import kafka
from benchmarks.operations.kafka import KafkaStage
from benchmarks.operations.stage import FIGURES, ROWS, Stage
from upcall.cli.figures import Promise, Report

TARGET: Final = "operations"
STAGES: Final[tuple[type[Stage], ...]] = (KafkaStage,)
SYSTEMS: Final = ("kafka", "cassandra", "spark")
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
        sabotage = cells.sabotage(kafka.SABOTAGES)
        quick = [SABOTAGED] if sabotage else [f"kafka_{row}" for row in ROWS]
        wanted = cells.chosen([f"{system}_{row}" for system in SYSTEMS for row in ROWS], quick)
        rounds = cells.rounds()
    except Asked as wrong:
        print(wrong, file=sys.stderr)
        return 2
    target = f"{TARGET}-{sabotage}" if sabotage else TARGET
    there = {f"{stage.system}_{row}" for stage in STAGES for row in stage.rows}
    played = [cell for cell in wanted if cell in there]
    promises = [Promise("not_there", "empty: every row is there", lambda cells: not cells)]
    promises += [Promise(f"{cell}_{name}", *PROMISED[name]) for cell in played for name in FIGURES]
    report = Report(target, tuple(promises))
    report.figures["not_there"] = ", ".join(cell for cell in wanted if cell not in there)
    found: dict[str, list[Figures]] = {cell: [] for cell in played}
    for number in range(1, rounds + 1):
        for stage in STAGES:
            rows = [row for row in ROWS if f"{stage.system}_{row}" in played]
            for row, figures in round_of(stage, rows, Kept.of(target), number, sabotage).items():
                found[f"{stage.system}_{row}"].append(figures)
    for cell, each in found.items():
        report.figures |= {f"{cell}_{name}": value for name, value in cells.worst(each).items()}
    return report.finish()


def round_of(stage: type[Stage], rows: Sequence[str], kept: Kept, number: int, sabotage: str) -> dict[str, Figures]:
    """Each row, kept or measured now; once one breaks, what comes after it begins on a new cluster."""
    found: dict[str, Figures] = {}
    left = []
    for row in rows:
        before = kept.find(f"{stage.system}_{row}.{number}")
        if before is None:
            left.append(row)
        else:
            say(f"{stage.system} {row}: kept of this commit")
            found[row] = before
    while left:
        done = 0
        try:
            with stage.opened(stage.rows[left[0]].at, sabotage) as opened:
                for row in left:
                    say(f"{stage.system} {row}")
                    done += 1
                    opened.bring_to(stage.rows[row].at)
                    found[row] = opened.measure(row)
                    say(f"  {found[row]}")
                    kept.keep(f"{stage.system}_{row}.{number}", found[row])
        except Exception as broken:
            if not done:
                raise
            say(f"  broke: {broken}")
            found.setdefault(left[done - 1], {"broke": f"{type(broken).__name__}: {broken}".splitlines()[0]})
        left = left[done:]
    return found


if __name__ == "__main__":
    sys.exit(main())

"""``make availability``."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from benchmarks import cells
from benchmarks.availability.events import EVENTS, FROM, NEW, OLD, SABOTAGES, WAYS, Played
from benchmarks.availability.plot import draw
from benchmarks.cells import Asked, Figures, Kept
from upcall.cli.figures import BUILD, Promise, Report

TARGET: Final = "availability"
SABOTAGED: Final = {
    "upcalls-are-blind": ("rolling_restart_upcalls_down",),
    "upcalls-are-readiness": ("rolling_restart_readiness_health", "rolling_restart_upcalls_health"),
    "deletes-records": ("drain_upcalls_health",),
}
"""The cells that are played where one is sabotaged and none is named."""
FASTER: Final = 0.7
"""Of the time of ``readiness``."""

CELLS: Final = {f"{event}_{way}_{start}": (event, way, start) for event in EVENTS for start in FROM for way in WAYS}


def main() -> int:
    try:
        sabotage = cells.sabotage(SABOTAGES)
        quick = SABOTAGED[sabotage] if sabotage else [cell for cell in CELLS if cell.endswith("_health")]
        wanted, rounds = cells.chosen(list(CELLS), quick), cells.rounds()
    except Asked as wrong:
        print(wrong, file=sys.stderr)
        return 2
    target = f"{TARGET}-{sabotage}" if sabotage else TARGET
    report = Report(target, promises(wanted))
    found: dict[str, list[Figures]] = {cell: [] for cell in wanted}
    for number in range(1, rounds + 1):
        for cell, figures in cells.played(wanted, Kept.of(target), number, opened(sabotage)).items():
            found[cell].append(figures)
    figures = {cell: cells.worst(each) for cell, each in found.items()}
    for cell, each in figures.items():
        report.figures |= {f"{cell}_{name}": value for name, value in each.items()}
    report.figures |= ratios(figures)
    code = report.finish()
    picture = BUILD / f"{target}.svg"
    picture.write_text(draw(figures))
    print(f"drawn in {picture}")
    return code


def opened(sabotage: str) -> cells.Open:
    """Six brokers, in the version that the first cell begins with."""

    @contextmanager
    def six(first: str) -> Iterator[cells.Measure]:
        with Played.opened(OLD if CELLS[first][0] == "upgrade" else NEW) as brokers:

            def measure(cell: str) -> Figures:
                return brokers.measure(*CELLS[cell], sabotage)

            yield measure

    return six


def promises(wanted: list[str]) -> tuple[Promise, ...]:
    """Of the cells with ``upcalls``; of the others nothing is promised."""
    ours = [cell for cell in wanted if CELLS[cell][1] == "upcalls"]
    found = []
    for cell in ours:
        found += [
            Promise(f"{cell}_failed_requests", "0", lambda value: value == 0),
            Promise(f"{cell}_lost", "0: every acknowledged write is read back", lambda value: value == 0),
            Promise(f"{cell}_under_min_isr_s", "0: no partition below its minimum", lambda value: value == 0),
        ]
        event, _, start = CELLS[cell]
        if f"{event}_readiness_{start}" in wanted:
            words = f"at most {FASTER} times the duration of readiness"
            found.append(Promise(f"{event}_{start}_to_readiness", words, lambda value: value <= FASTER))
    return tuple(found)


def ratios(figures: dict[str, Figures]) -> Figures:
    """How long ``upcalls`` took, to each of the others that is there. A tie is a tie."""
    found: Figures = {}
    for event in EVENTS:
        for start in FROM:
            ours = figures.get(f"{event}_upcalls_{start}", {}).get("duration_s")
            for way in ("readiness", "operator"):
                theirs = figures.get(f"{event}_{way}_{start}", {}).get("duration_s")
                if ours and theirs:
                    found[f"{event}_{start}_to_{way}"] = round(ours / theirs, 2)
    return found


if __name__ == "__main__":
    sys.exit(main())

"""``make availability``."""

import sys
from typing import Final

from benchmarks import cells
from benchmarks.availability.events import EVENTS, FROM, NEW, OLD, WAYS, Played
from benchmarks.availability.plot import draw
from benchmarks.cells import Asked, Figures, Kept, say
from upcall.cli.figures import BUILD, Promise, Report

TARGET: Final = "availability"
SABOTAGES: Final = ("upcalls-are-blind",)
SABOTAGED: Final = ("rolling_restart_upcalls_down",)
FASTER: Final = 0.7
"""Of the time of ``readiness``."""

CELLS: Final = {f"{event}_{way}_{start}": (event, way, start) for event in EVENTS for start in FROM for way in WAYS}


def main() -> int:
    try:
        sabotage = cells.sabotage(SABOTAGES)
        quick = SABOTAGED if sabotage else [cell for cell in CELLS if cell.endswith("_health")]
        wanted, rounds = cells.chosen(list(CELLS), quick), cells.rounds()
    except Asked as wrong:
        print(wrong, file=sys.stderr)
        return 2
    target = f"{TARGET}-{sabotage}" if sabotage else TARGET
    report = Report(target, promises(wanted))
    found: dict[str, list[Figures]] = {cell: [] for cell in wanted}
    for number in range(1, rounds + 1):
        for cell, figures in round_of(wanted, Kept.of(target), number, sabotage).items():
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


def promises(wanted: list[str]) -> tuple[Promise, ...]:
    """Of the cells with ``upcalls``; of the others nothing is promised."""
    ours = [cell for cell in wanted if CELLS[cell][1] == "upcalls"]
    found = []
    for cell in ours:
        found += [
            Promise(f"{cell}_failed_requests", "0", lambda value: value == 0),
            Promise(f"{cell}_lost", "0: every acknowledged write is read back", lambda value: value == 0),
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


def round_of(wanted: list[str], kept: Kept, number: int, sabotage: str) -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    left = []
    for cell in wanted:
        before = kept.find(f"{cell}.{number}")
        if before is None:
            left.append(cell)
        else:
            say(f"{cell}: kept of this commit")
            found[cell] = before
    while left:
        done = 0
        try:
            version = OLD if CELLS[left[0]][0] == "upgrade" else NEW
            with Played.opened(version) as played:
                for cell in left:
                    event, way, start = CELLS[cell]
                    say(cell)
                    done += 1
                    played_by = "blind" if (sabotage, way) == ("upcalls-are-blind", "upcalls") else way
                    found[cell] = played.measure(event, way, start, played_by)
                    say(f"  {found[cell]}")
                    kept.keep(f"{cell}.{number}", found[cell])
        except Exception as broken:
            if not done:
                raise
            say(f"  broke: {broken}")
            found.setdefault(left[done - 1], {"broke": f"{type(broken).__name__}: {broken}".splitlines()[0]})
        left = left[done:]
    return found


if __name__ == "__main__":
    sys.exit(main())

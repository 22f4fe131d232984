"""How well faults in sensors are found: recall and precision of each kind, on seeds and a flight not used for tuning.

The detector is the one of the stream job: the tests of a second (`detect.tests`), then episodes (`detect.detector`).
Readings come from the generator, with heavy-tailed noise; labels from the fault plan, at most one sensor in 200 faulty
at once. Matches are one to one (`matching`). Thresholds were set on seeds 3 to 6; the seeds here are others.

    climb       AIB232E, the first half hour          second    ELY1747, another flight, its first half hour
    approach    AIB232E, the last half hour           quiet     AIB232E, half an hour without any fault

    python -m benchmarks.detect                       CELLS=climb,quiet   only these
    SABOTAGE=thresholds-doubled                       what must turn it red: many faults are missed
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np

from upcall.cli.figures import Promise, Report
from upcall.fastdata.detect import detector, drift
from upcall.fastdata.detect.detector import BlockDetector
from upcall.fastdata.detect.episodes import Episode, EpisodeKind
from upcall.fastdata.detect.tests import score
from upcall.fastdata.faults import Fault, schedule
from upcall.fastdata.flights import load_flight
from upcall.fastdata.generator import Generator
from upcall.fastdata.matching import match
from upcall.fastdata.recordings import fetch_recording
from upcall.fastdata.runs import Run
from upcall.fastdata.sensors import SENSORS
from upcall.fastdata.windows import statistics

RATE_HZ: Final = 128
SECONDS: Final = 1_800
LATE_S: Final = {EpisodeKind.DRIFT: 60}
"""Faults that begin so shortly before a cell's end cannot be seen any more; ten seconds for the other kinds."""
DAY_S: Final = 86_400


@dataclass(frozen=True)
class Cell:
    flight: str
    seed: int
    faults: str
    from_end: bool = False


CELLS: Final = {
    "climb": Cell("AIB232E", 101, "dense"),
    "approach": Cell("AIB232E", 102, "dense", from_end=True),
    "second": Cell("ELY1747", 103, "dense"),
    "quiet": Cell("AIB232E", 104, "none"),
}

PROMISES: Final = (
    Promise("events", "at least 500 labelled faults", lambda value: value >= 500),
    Promise("recall", "at least 0.95 of them found", lambda value: value >= 0.95),
    Promise("precision", "at least 0.95 of what was found is one", lambda value: value >= 0.95),
    Promise("recall_second", "at least 0.95 on another flight", lambda value: value >= 0.95),
    Promise("false_per_sensor_day", "at most 0.01 where nothing is wrong", lambda value: value <= 0.01),
    Promise("readings_per_s", "at least 20 million on one core", lambda value: value >= 20e6, "reference"),
)


@dataclass
class Outcome:
    labels: list[Fault]
    found: list[Episode]
    seen_at: dict[tuple[str, int, str, int], int]
    judging_s: float
    readings: int


def fly(cell: Cell, seconds: int) -> Outcome:
    """One stretch of a flight through the detector."""
    flight = load_flight(fetch_recording(cell.flight))
    seconds = min(seconds, flight.seconds)
    run = Run(
        flight=flight.name,
        flight_digest=flight.digest,
        seed=cell.seed,
        rate_hz=RATE_HZ,
        start_us=0,
        begin_s=flight.seconds - seconds if cell.from_end else 0,
        seconds=seconds,
        noise="heavy",
        faults=cell.faults,
    )
    generator = Generator(run, flight)
    detectors = {block: BlockDetector(run.run_id, block) for block in run.block_numbers}
    episodes: dict[tuple[str, int, str, int], Episode] = {}
    seen_at: dict[tuple[str, int, str, int], int] = {}
    judging_s = 0.0
    for second in range(seconds):
        for block in run.block_numbers:
            counts = generator.generate(block, second * RATE_HZ, RATE_HZ)
            began = time.process_time()
            changed = detectors[block].observe(second, statistics(counts, block)[0], score(counts, block))
            judging_s += time.process_time() - began
            for episode in changed:
                seen_at.setdefault(episode.key, second)
                episodes[episode.key] = episode
    ends = {kind: (seconds - LATE_S.get(kind, 10)) * RATE_HZ for kind in EpisodeKind}
    labels = [label for label in schedule(run) if label.begin_sample < ends[EpisodeKind(label.kind.value)]]
    found = [each for each in episodes.values() if each.begin * RATE_HZ < ends[each.kind]]
    return Outcome(labels, found, seen_at, judging_s, seconds * RATE_HZ * SENSORS)


def double_thresholds() -> None:
    """The sabotage: everything must be twice as clear as it has to be."""
    for name in ("STEP_SIGMA", "STEP_ERRORS", "NOISE_RATIO", "SPIKE_SIGMA", "STUCK_SHARE"):
        setattr(detector, name, 2 * getattr(detector, name))
    drift.AMOUNT_SIGMA.update({ticks: 2 * sigma for ticks, sigma in drift.AMOUNT_SIGMA.items()})
    drift.SLOPE_ERRORS *= 2  # type: ignore[misc]


def main() -> int:
    sabotage = os.environ.get("SABOTAGE", "")
    if sabotage not in ("", "thresholds-doubled"):
        print(f"SABOTAGE={sabotage} is not known here; thresholds-doubled is", file=sys.stderr)
        return 2
    chosen = [name for name in os.environ.get("CELLS", ",".join(CELLS)).split(",") if name]
    unknown = [name for name in chosen if name not in CELLS]
    if unknown:
        print(f"no cell {unknown[0]!r}; there are {', '.join(CELLS)}", file=sys.stderr)
        return 2
    if sabotage:
        double_thresholds()
    seconds = int(os.environ.get("SECONDS_PER_CELL", SECONDS))
    report = Report(f"detect-{sabotage}" if sabotage else "detect", PROMISES)
    figures = report.figures
    labels, hits, found = 0, 0, 0
    by_kind: Counter[tuple[str, str]] = Counter()
    latencies: dict[str, list[float]] = {}
    judging_s, readings = 0.0, 0
    for name in chosen:
        outcome = fly(CELLS[name], seconds)
        judging_s, readings = judging_s + outcome.judging_s, readings + outcome.readings
        matches = match(outcome.labels, outcome.found, RATE_HZ)
        if name == "quiet":
            figures["false_per_sensor_day"] = len(outcome.found) / (SENSORS * seconds / DAY_S)
            continue
        labels, hits, found = labels + len(outcome.labels), hits + len(matches.pairs), found + len(outcome.found)
        figures[f"recall_{name}"] = len(matches.pairs) / len(outcome.labels)
        for label in outcome.labels:
            by_kind["all", label.kind.value] += 1
        for label, episode in matches.pairs:
            by_kind["hit", label.kind.value] += 1
            seen_s = outcome.seen_at[episode.key] + 1 - label.begin_sample / RATE_HZ
            latencies.setdefault(label.kind.value, []).append(seen_s)
    if labels:
        figures |= {"events": labels, "recall": hits / labels, "precision": hits / found if found else 0.0}
    for kind in EpisodeKind:
        if by_kind["all", kind.value]:
            figures[f"recall_of_{kind.value}"] = by_kind["hit", kind.value] / by_kind["all", kind.value]
        if kind.value in latencies:
            figures[f"seen_after_s_{kind.value}"] = float(np.median(latencies[kind.value]))
    figures["readings_per_s"] = readings / judging_s
    # A part of the cells answers for a part of the promises.
    is_whole = set(chosen) == set(CELLS)
    report.promises = tuple(each for each in PROMISES if is_whole or (each.name in figures and each.name != "events"))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

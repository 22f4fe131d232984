"""Whether the store holds what was scheduled: every block of every second, compared with what the schedule says.

Nobody on the way is asked. Which seconds must be there follows from the run's start and the wall clock; what must be in
them is computed again from the run and the flight, and compared bit by bit.

    lost     readings that were due and are not in a stored window
    twice    readings that count more than once in a stored window
    wrong    stored values (mean, least, greatest, deviation of a sensor in a second) that differ from the computed ones

Only this module and the aircraft know the generator; the detector and the job never see it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from upcall.fastdata.flights import Flight, load_flight
from upcall.fastdata.generator import Generator
from upcall.fastdata.keyspace import KEYSPACE
from upcall.fastdata.login import read_login
from upcall.fastdata.queries import Queries, StoredSecond
from upcall.fastdata.runs import MICROS, Run
from upcall.fastdata.sensors import SENSORS_PER_BLOCK
from upcall.fastdata.windows import statistics

CATCH_UP_S: Final = 10
PATIENCE_S: Final = 60.0
"""For how long one question is asked again."""
"""The last seconds before now may still be on their way, unless said otherwise."""
CHUNK_S: Final = 60
EXAMPLES_MAX: Final = 20


@dataclass(slots=True)
class Report:
    run_id: str
    seconds: int = 0
    windows: int = 0
    """Seconds of blocks that were due."""
    readings_due: int = 0
    readings_lost: int = 0
    readings_twice: int = 0
    readings_wrong: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        return self.windows > 0 and not (self.readings_lost or self.readings_twice or self.readings_wrong)

    def note(self, says: str) -> None:
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(says)


def compare(report: Report, run: Run, block: int, second: int, stored: StoredSecond | None, expected: bytes) -> None:
    """One second of a block: what is stored against what must be."""
    rate = run.rate_hz
    report.windows += 1
    report.readings_due += rate * SENSORS_PER_BLOCK
    where = f"second {second} of block {block}"
    if stored is None:
        report.readings_lost += rate * SENSORS_PER_BLOCK
        report.note(f"{where}: not stored")
        return
    # Counts stand with each strip: a row that was written over by a part of it would differ from its neighbours.
    span = stored.last_samples - stored.first_samples + 1
    share = SENSORS_PER_BLOCK // len(stored.counts)
    twice = int(np.maximum(stored.counts - span, 0).sum()) * share
    lost = int(np.maximum(rate - stored.counts, 0).sum()) * share
    is_elsewhere = (stored.first_samples < second * rate) | (stored.last_samples >= (second + 1) * rate)
    if twice or lost or is_elsewhere.any():
        report.readings_twice += twice
        report.readings_lost += lost
        report.readings_wrong += int(is_elsewhere.sum()) * share
        report.note(f"{where}: {stored.counts.min()} to {stored.counts.max()} samples of {rate}")
    if lost:
        return  # which samples are there is not known, so their statistics cannot be told
    differing = int(
        np.count_nonzero(stored.values.view(np.uint32) != np.frombuffer(expected, np.uint32).reshape(4, -1))
    )
    if differing:
        report.readings_wrong += differing
        report.note(f"{where}: {differing} values differ")


async def verify(
    queries: Queries,
    run: Run,
    flight: Flight,
    *,
    first: int = 0,
    until: int | None = None,
    catch_up_s: int = CATCH_UP_S,
) -> Report:
    """All seconds of the run from `first` to before `until`; by default those due `catch_up_s` ago."""
    due = run.seconds_due(time.time_ns() // 1_000 - catch_up_s * MICROS)
    until = due if until is None else min(until, run.seconds)
    report = Report(run.run_id, seconds=max(0, until - first))
    generator = Generator(run, flight)
    for begin in range(first, until, CHUNK_S):
        end = min(begin + CHUNK_S, until)
        for block in run.block_numbers:
            stored = await queries.block_seconds(run.run_id, block, begin, end - 1)
            await asyncio.to_thread(_compare_chunk, report, run, generator, block, range(begin, end), stored)
    return report


def _compare_chunk(
    report: Report, run: Run, generator: Generator, block: int, seconds: range, stored: dict[int, StoredSecond]
) -> None:
    for second in seconds:
        counts = generator.generate(block, second * run.rate_hz, run.rate_hz)
        compare(report, run, block, second, stored.get(second), statistics(counts, block).tobytes())


async def _main(arguments: argparse.Namespace) -> int:
    login = read_login(arguments.login_file)
    queries = Queries.connect(
        arguments.cassandra.split(","), keyspace=arguments.keyspace, login=login, patience_s=PATIENCE_S
    )
    try:
        known = {run.run_id: run for run in await queries.runs()}
        run = known.get(arguments.run) if arguments.run else next(iter(known.values()), None)
        if run is None:
            print(
                f"no run {arguments.run or 'at all'} is stored; known are {', '.join(known) or 'none'}", file=sys.stderr
            )
            return 2
        flight = load_flight(arguments.flight)
        report = await verify(queries, run, flight, first=arguments.first, catch_up_s=arguments.catch_up_s)
    finally:
        queries.close()
    said: dict[str, Any] = asdict(report)
    print(json.dumps(said, indent=1))
    return 0 if report.is_right else 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m upcall.fastdata.verify", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--cassandra", required=True, help="addresses, separated by commas")
    parser.add_argument("--login-file", default="", help="one line user:password")
    parser.add_argument("--flight", required=True, help="the recorded flight's file")
    parser.add_argument("--run", default="", help="its name; by default the latest")
    parser.add_argument("--keyspace", default=KEYSPACE)
    parser.add_argument("--first", type=int, default=0, help="first second to compare")
    parser.add_argument("--catch-up-s", type=int, default=CATCH_UP_S, help="seconds before now that may be under way")
    return asyncio.run(_main(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())

"""The comparison with the schedule finds what is lost, twice or wrong. A check that cannot fail would be none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from practice import practice_flight, practice_run

from upcall.fastdata.flights import Flight
from upcall.fastdata.generator import Generator
from upcall.fastdata.queries import StoredSecond
from upcall.fastdata.runs import Run
from upcall.fastdata.sensors import SENSORS_PER_BLOCK
from upcall.fastdata.verify import Report, verify
from upcall.fastdata.windows import statistics

STRIPS = 10
UNTIL = 5


class StoredRun:
    """Queries over what a faultless job would have stored."""

    def __init__(self, run: Run, flight: Flight) -> None:
        generator, rate = Generator(run, flight), run.rate_hz
        self.rows: dict[tuple[int, int], StoredSecond] = {}
        for block in run.block_numbers:
            for second in range(UNTIL):
                self.rows[block, second] = StoredSecond(
                    statistics(generator.generate(block, second * rate, rate), block),
                    np.full(STRIPS, rate),
                    np.full(STRIPS, second * rate),
                    np.full(STRIPS, (second + 1) * rate - 1),
                )

    async def block_seconds(self, run_id: str, block: int, first: int, last: int) -> dict[int, StoredSecond]:
        return {s: row for (b, s), row in self.rows.items() if b == block and first <= s <= last}

    def change(self, block: int, second: int, **changes: Any) -> None:
        self.rows[block, second] = replace(self.rows[block, second], **changes)


@pytest.fixture
def flight() -> Flight:
    return practice_flight(120)


@pytest.fixture
def run(flight: Flight) -> Run:
    return practice_run(flight, blocks=2, rate_hz=64, faults="dense")


@pytest.fixture
def stored(run: Run, flight: Flight) -> StoredRun:
    return StoredRun(run, flight)


async def report_of(stored: StoredRun, run: Run, flight: Flight) -> Report:
    return await verify(stored, run, flight, until=UNTIL)  # type: ignore[arg-type]


async def test_what_is_right_is_right(stored: StoredRun, run: Run, flight: Flight) -> None:
    report = await report_of(stored, run, flight)
    assert report.is_right
    assert (report.windows, report.readings_due) == (2 * UNTIL, 2 * UNTIL * 64 * SENSORS_PER_BLOCK)


async def test_second_that_is_not_there_is_lost(stored: StoredRun, run: Run, flight: Flight) -> None:
    del stored.rows[10, 3]
    report = await report_of(stored, run, flight)
    assert (report.readings_lost, report.readings_twice, report.readings_wrong) == (64_000, 0, 0)
    assert report.examples == ["second 3 of block 10: not stored"]


async def test_row_written_over_by_a_part_of_it_is_found(stored: StoredRun, run: Run, flight: Flight) -> None:
    counts = np.full(STRIPS, 64)
    counts[4] = 16
    stored.change(0, 1, counts=counts)
    report = await report_of(stored, run, flight)
    assert (report.readings_lost, report.readings_twice) == (48 * 100, 0)


async def test_samples_that_count_twice_are_found(stored: StoredRun, run: Run, flight: Flight) -> None:
    stored.change(0, 1, counts=np.full(STRIPS, 80))
    assert (await report_of(stored, run, flight)).readings_twice == 16 * SENSORS_PER_BLOCK


async def test_single_bit_of_a_single_value_is_found(stored: StoredRun, run: Run, flight: Flight) -> None:
    values = stored.rows[0, 2].values.copy()
    values.view(np.uint32)[3, 777] ^= 1
    stored.change(0, 2, values=values)
    report = await report_of(stored, run, flight)
    assert (report.readings_lost, report.readings_wrong) == (0, 1)


async def test_second_stored_under_another_ones_key_is_found(stored: StoredRun, run: Run, flight: Flight) -> None:
    stored.rows[0, 2] = stored.rows[0, 3]
    assert (await report_of(stored, run, flight)).readings_wrong > 0


async def test_nothing_due_is_not_called_right(stored: StoredRun, run: Run, flight: Flight) -> None:
    report = await verify(stored, run, flight, until=0)  # type: ignore[arg-type]
    assert not report.is_right

"""The driver's part without Spark and without a store: what is found, what raw frames are asked for, and that a job
that begins anew says what the one before it would have."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from upcall.fastdata.detect.episodes import Episode, EpisodeKind
from upcall.fastdata.detect.tests import score_bytes
from upcall.fastdata.judging import RAW_AFTER_S, RAW_BEFORE_S, Findings, Judge
from upcall.fastdata.sensors import BLOCKS, SENSORS_PER_BLOCK, block_of
from upcall.fastdata.windows import Window, statistics

sys.path.insert(0, str(Path(__file__).parent / "detect"))
from wing import Wing

RUN = "run"
BLOCK = 6
RATE = 128


def window(wing: Wing, second: int, shift: dict[int, float]) -> Window:
    counts = wing.second(second, shift_sigma=shift)
    return Window(
        RUN, BLOCK, second, RATE, RATE, second * RATE, (second + 1) * RATE - 1, 2, 100 + 4 * second, 103 + 4 * second,
        statistics(counts, BLOCK).tobytes(), score_bytes(counts, BLOCK),
    )  # fmt: skip


class Stored:
    """What a store would hold, in memory."""

    def __init__(self) -> None:
        self.windows: list[Window] = []
        self.rows: dict[tuple[Any, ...], Episode] = {}
        self.tick_rows: list[tuple[int, Any, Any]] = []

    def take(self, windows: list[Window], findings: Findings) -> None:
        self.windows += windows
        self.rows |= findings.episodes
        self.tick_rows += [(t.tick, t.levels.astype(np.float32), t.neighbours) for t in findings.ticks]

    def ticks(self, run_id: str, block: int, until: int, count: int) -> list[tuple[int, Any, Any]]:
        return [row for row in self.tick_rows if until - count < row[0] <= until]

    def recent_seconds(self, run_id: str, block: int, until: int, count: int) -> list[Window]:
        return [one for one in self.windows if until - count < one.second <= until]

    def episodes(self, run_id: str, hours: Iterable[int]) -> list[list[Episode]]:
        by_block: list[list[Episode]] = [[] for _ in range(BLOCKS)]
        for episode in self.rows.values():
            by_block[block_of(episode.sensor)].append(episode)
        return by_block


@pytest.fixture(scope="module")
def flown() -> list[Window]:
    wing = Wing(BLOCK, seed=21, swing_counts=200)
    faults = {5: (20, 52, 7.0), 400: (31, 90, -5.0)}
    return [
        window(wing, second, {c: sigma for c, (begin, end, sigma) in faults.items() if begin <= second < end})
        for second in range(70)
    ]


def judged(windows: list[Window], stored: Stored, until: int = -1, size: int = 3, judge: Judge | None = None) -> Judge:
    judge = judge or Judge(stored)
    for at in range(0, len(windows), size):
        batch = windows[at : at + size]
        stored.take(batch, judge.judge(batch, {(RUN, BLOCK): until}, {}))
    return judge


def test_episodes_carry_their_sensor_and_health_shows_them(flown: list[Window]) -> None:
    stored = Stored()
    judge = judged(flown, stored)
    first = BLOCK * SENSORS_PER_BLOCK
    assert {key[1:] for key in stored.rows} == {(first + 5, "step", 20), (first + 400, "step", 31)}
    health = np.frombuffer(judge.health((RUN, BLOCK)), np.uint8)
    assert np.flatnonzero(health).tolist() == [400]
    assert judge.missing((RUN, BLOCK)) == 0


@pytest.mark.parametrize("crash", [15, 22, 33, 53, 60])
def test_job_that_begins_anew_finds_the_same(flown: list[Window], crash: int) -> None:
    whole = Stored()
    judged(flown, whole)
    stored = Stored()
    judged(flown[:crash], stored)
    judged(flown[crash:], stored, until=crash - 1)
    assert {k: (e.end, e.is_open, e.seen) for k, e in stored.rows.items()} == {
        k: (e.end, e.is_open, e.seen) for k, e in whole.rows.items()
    }
    assert [row[0] for row in stored.tick_rows] == [row[0] for row in whole.tick_rows]


def test_episodes_that_were_stored_just_before_a_crash_are_told_again(flown: list[Window]) -> None:
    """The crash came after the episodes and before the block's row: the last seconds are judged once more."""
    stored = Stored()
    judged(flown[:55], stored)
    before = dict(stored.rows)
    del stored.windows[50:]
    judged(flown[50:55], stored, until=49)
    assert stored.rows == before


def test_raw_seconds_around_an_episode_are_asked_for_once(flown: list[Window]) -> None:
    judge = Judge(Stored())
    wanted = [one for each in flown for one in judge.judge([each], {}, {}).wanted]
    seconds = [one.second for one in wanted]
    assert seconds == sorted(set(seconds))
    [first, second] = sorted({20, 31})
    assert set(range(first - RAW_BEFORE_S, first + RAW_AFTER_S + 1)) <= set(seconds)
    assert set(range(second - RAW_BEFORE_S, second + RAW_AFTER_S + 1)) <= set(seconds)
    assert len(seconds) <= 14
    assert (wanted[0].partition, wanted[0].first_offset) == (2, 100 + 4 * wanted[0].second)


def test_missing_samples_and_seconds_are_added_up(flown: list[Window]) -> None:
    judge = Judge(Stored())
    judge.judge([flown[1], replace(flown[2], count=100), flown[5]], {(RUN, BLOCK): 0}, {(RUN, BLOCK): 7})
    assert judge.missing((RUN, BLOCK)) == 7 + 28 + 2 * RATE


def test_kinds_are_the_words_that_labels_use() -> None:
    assert {kind.value for kind in EpisodeKind} == {"step", "spike", "stuck", "noise", "drift"}

"""What is shown follows from what is stored: rates, lag, and which episodes are labelled."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from practice import practice_flight, practice_run

from upcall.fastdata import tab
from upcall.fastdata.detect.episodes import Episode, EpisodeKind
from upcall.fastdata.faults import FaultKind, schedule
from upcall.fastdata.queries import Counted, Latest
from upcall.fastdata.runs import MICROS, Run
from upcall.fastdata.sensors import SENSORS, SENSORS_PER_BLOCK
from upcall.fastdata.watch import RATE_OVER_S, Snapshot, snapshot


class StoredState:
    """Queries over a state made up here."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.until = 40
        self.packed_bytes = 1_000
        label = next(each for each in schedule(run) if each.kind is not FaultKind.DRIFT)
        begin = int(label.begin_sample / run.rate_hz)
        self.found = [
            episode(run, label.sensor, label.kind.value, begin),
            episode(run, (label.sensor + 1) % SENSORS, "step", begin),
        ]

    async def runs(self, limit: int) -> list[Run]:
        return [self.run]

    async def latest(self, run_id: str) -> Latest:
        health = np.zeros(SENSORS, np.uint8)
        means = np.zeros(SENSORS, np.float32)
        return Latest(self.until, self.until, self.run.rate_hz, self.run.blocks, 0, means, health)

    async def counted(self, topic: str) -> Counted:
        return Counted(10, self.packed_bytes, 2_000, 0, 0, 0, 0)

    async def episodes(self, run_id: str, first: int, last: int, limit: int) -> list[Episode]:
        return self.found


def episode(run: Run, sensor: int, kind: str, begin: int) -> Episode:
    return Episode(run.run_id, sensor, EpisodeKind(kind), begin, begin + 3, True, begin + 1, 5.5, 0.9, 49, 1.25, 1.0)


@pytest.fixture
def state() -> StoredState:
    flight = practice_flight(300)
    start_us = time.time_ns() // 1_000 - 60 * MICROS
    return StoredState(practice_run(flight, blocks=4, faults="dense", start_us=start_us))


async def taken(state: StoredState, before: Snapshot | None = None) -> Snapshot:
    now = await snapshot(state, before)  # type: ignore[arg-type]
    assert now is not None
    return now


async def test_lag_is_how_long_ago_the_last_complete_second_was_due(state: StoredState) -> None:
    now = await taken(state)
    assert 18.9 < now.lag_s < 60  # second 40 was complete when second 41 began, 19 s ago


async def test_rates_are_differences_between_snapshots(state: StoredState) -> None:
    before = replace(await taken(state), at=time.monotonic() - 10)
    state.until += 20
    state.packed_bytes += 5_000_000
    now = await taken(state, before)
    assert now.readings_per_s == pytest.approx(2 * 128 * 4 * SENSORS_PER_BLOCK, rel=0.2)
    assert now.mb_per_s == pytest.approx(now.readings_per_s * 4 / 1e6)
    assert now.packed_mb_per_s == pytest.approx(0.5, rel=0.2)
    assert before.readings_per_s == 0


async def test_a_rate_is_not_known_before_something_differs_or_long_did_not(state: StoredState) -> None:
    first = await taken(state)
    rates = tab.Rates()
    rates.take(first)
    rates.take(replace(first, at=first.at + 1))  # a second look, and the next lump did not come yet
    assert not rates.are_known
    shown = tab.describe(first, None, {}, rates.are_known)["now"]
    assert (shown["readings_per_s"], shown["mb_per_s"], shown["packed_mb_per_s"]) == (None, None, None)
    flowing = replace(first, at=first.at + 2, readings_per_s=2e6, packed_mb_per_s=3.0)
    rates.take(flowing)
    assert tab.describe(flowing, None, {}, rates.are_known)["now"]["readings_per_s"] == 2e6
    rates.take(replace(first, at=first.at + 3))
    assert rates.are_known  # it stopped: 0 is the rate now
    rates.take(replace(first, at=first.at + 4, run=replace(first.run, seed=first.run.seed + 1)))
    assert not rates.are_known
    rates.take(replace(first, at=first.at + 4.5 + RATE_OVER_S, run=replace(first.run, seed=first.run.seed + 1)))
    assert rates.are_known  # nothing flows: that is a rate too


async def test_labelled_episodes_are_told_from_others(state: StoredState) -> None:
    now = await taken(state)
    assert list(now.matched) == [state.found[0].key]


async def test_tab_tells_what_the_snapshot_says(state: StoredState) -> None:
    now = await taken(state)
    flight = practice_flight(300)
    told = tab.describe(now, flight, {each.key: each.key in now.matched for each in now.episodes}, True)
    assert (told["now"]["found"], told["now"]["matched"]) == (2, 1)
    assert told["now"]["flight"]["altitude_ft"] == flight.second_of(40)["altitude_ft"]
    assert [bool(each["labelled"]) for each in told["episodes"]] == [True, False]
    assert "should be 1 " in told["episodes"][1]["says"]
    begun = tab.beginning(state.run, flight)
    assert begun["flying"] == 4 * SENSORS_PER_BLOCK
    assert len(begun["flight"]["altitude_ft"]) == len(begun["flight"]["latitude"])
    assert "recorded flight, modelled sensors" in begun["run"]["title"]


def test_sensors_places_fit_the_wire() -> None:
    import base64

    told = tab.layout()
    x = np.frombuffer(base64.b64decode(told["x"]), "<i2")
    y = np.frombuffer(base64.b64decode(told["y"]), "<i2")
    assert len(x) == len(y) == SENSORS
    assert (y[: SENSORS // 2] < 0).all()
    assert (y[SENSORS // 2 :] > 0).all()
    assert len(told["kinds"]) == 20

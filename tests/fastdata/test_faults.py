"""The schedule of labelled faults: drawn from the seed, bounded, found without history."""

from collections import Counter
from itertools import pairwise

import pytest
from practice import practice_flight, practice_run

from upcall.fastdata.faults import Fault, FaultKind, fault_of_slot, faults_in_second, schedule

FLIGHT = practice_flight(7_200)


@pytest.mark.parametrize("seed", range(40))
def test_the_first_fault_begins_within_fifteen_seconds_and_is_soon_found(seed: int) -> None:
    first = schedule(practice_run(FLIGHT, seed=seed))[0]
    assert 5 * 128 <= first.begin_sample < 15 * 128
    assert first.kind is not FaultKind.DRIFT


def test_the_begin_is_drawn_from_the_seed() -> None:
    begins = {schedule(practice_run(FLIGHT, seed=seed), 0, 20)[0].begin_sample for seed in range(20)}
    assert len(begins) > 15


@pytest.mark.parametrize("plan", ["steady", "dense"])
@pytest.mark.parametrize("blocks", [1, 4, 20])
def test_few_sensors_are_faulty_at_once_and_none_twice(plan: str, blocks: int) -> None:
    run = practice_run(FLIGHT, faults=plan, blocks=blocks)
    changes: list[tuple[int, int, int]] = []
    for fault in schedule(run):
        changes += [(fault.begin_sample, 1, fault.sensor), (fault.end_sample, -1, fault.sensor)]
    faulty: Counter[int] = Counter()
    for _sample, change, sensor in sorted(changes):
        faulty[sensor] += change
        faulty += Counter()
        assert faulty.total() <= run.sensors // 200
        assert faulty[sensor] <= 1


def test_faults_come_steadily_in_all_kinds() -> None:
    faults = schedule(practice_run(FLIGHT))
    begins = [fault.begin_sample / 128 for fault in faults]
    assert max(b - a for a, b in pairwise(begins)) <= 20
    assert len(faults) > 1_100  # more than 500 in an hour
    kinds = Counter(fault.kind for fault in faults)
    assert set(kinds) == set(FaultKind)
    assert max(kinds.values()) - min(kinds.values()) <= 1


def test_faults_spread_over_wings_and_flying_blocks() -> None:
    run = practice_run(FLIGHT, blocks=4)
    assert {fault.block for fault in schedule(run)} == {0, 1, 10, 11}


def test_any_stretch_shows_the_same_faults_as_the_whole() -> None:
    run = practice_run(FLIGHT)
    whole = schedule(run)
    for first, seconds in ((0, 1), (0, 30), (13, 5), (299, 1), (3_600, 60), (7_190, 100)):
        end = min(run.seconds, first + seconds)
        touching = [fault for fault in whole if fault.touches(first * 128, (end - first) * 128)]
        assert schedule(run, first, seconds) == touching
        for second in range(first, end):
            by_block = faults_in_second(run, second)
            found = {fault for faults in by_block.values() for fault in faults}
            assert found == {fault for fault in touching if fault.touches(second * 128, 128)}
            assert all(fault.block == block for block, faults in by_block.items() for fault in faults)


def test_a_run_without_faults_has_none() -> None:
    assert schedule(practice_run(FLIGHT, faults="none")) == []
    assert faults_in_second(practice_run(FLIGHT, faults="none"), 50) == {}


def test_the_rate_changes_samples_and_not_seconds() -> None:
    slow, quick = schedule(practice_run(FLIGHT, rate_hz=128)), schedule(practice_run(FLIGHT, rate_hz=1_024))
    assert [(f.sensor, f.kind) for f in slow[:50]] == [(f.sensor, f.kind) for f in quick[:50]]
    assert all(abs(a.begin_sample / 128 - b.begin_sample / 1_024) < 20 for a, b in zip(slow, quick, strict=False))


def test_magnitudes_lie_where_the_plan_says() -> None:
    run = practice_run(FLIGHT)
    faults = [fault_of_slot(run, slot) for slot in range(1_000)]

    def of(kind: FaultKind) -> list[Fault]:
        return [fault for fault in faults if fault.kind is kind]

    assert {abs(fault.magnitude_sigma) for fault in of(FaultKind.STEP)} == set(range(4, 10))
    assert {fault.magnitude_sigma for fault in of(FaultKind.NOISE)} == set(range(3, 7))
    assert {fault.end_sample - fault.begin_sample for fault in of(FaultKind.SPIKE)} == {1}
    assert all(90 * 128 <= fault.end_sample - fault.begin_sample < 240 * 128 for fault in of(FaultKind.DRIFT))
    assert {fault.magnitude_sigma > 0 for fault in of(FaultKind.DRIFT)} == {True, False}
    assert all(abs(fault.magnitude_counts) >= 3 * abs(fault.magnitude_sigma) for fault in faults)

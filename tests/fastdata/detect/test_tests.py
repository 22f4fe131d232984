"""The tests of one second, on readings made up here: neighbours share a driver, each has a bias and gain of its own."""

from __future__ import annotations

import numpy as np
import pytest
from wing import Wing

from upcall.fastdata.detect.residuals import residuals
from upcall.fastdata.detect.tests import (
    LEVEL,
    NOISE_RATIO,
    SAMPLES_MIN,
    SPIKE,
    SPIKE_SIGMA,
    SPREAD,
    STUCK,
    STUCK_SHARE,
    score,
)
from upcall.fastdata.sensors import NEIGHBOURS, TABLE, block_slice

BLOCK = 3


def seconds_of(wing: Wing, n: int = 20) -> list[np.ndarray]:
    return [wing.second(s) for s in range(n)]


def test_residual_of_healthy_sensors_is_their_noise_whatever_the_group_does() -> None:
    wing = Wing(BLOCK, seed=1, swing_counts=2_000)
    left = residuals(wing.second(0), BLOCK)
    own = left - left.mean(axis=0)
    assert np.abs(own.std(axis=0) - 1).max() < 0.6
    assert np.abs(left.mean(axis=0)).max() < 6  # the bias


def test_residual_is_the_value_less_the_group_median_in_sigmas() -> None:
    counts = Wing(BLOCK, seed=2).second(0)
    sensors = block_slice(BLOCK)
    values = TABLE.offset[sensors] + TABLE.scale[sensors] * counts
    group = slice(100, 150)
    middle = np.sort(values[:, group], axis=1)[:, NEIGHBOURS // 2]
    said = (values[:, group] - middle[:, None]) / TABLE.noise_units[sensors][group]
    assert residuals(counts, BLOCK)[:, group] == pytest.approx(said, abs=1e-3)


def test_healthy_seconds_stay_well_below_all_thresholds() -> None:
    wing = Wing(BLOCK, seed=3, swing_counts=2_000, tails=True)
    scores = np.stack([score(second, BLOCK) for second in seconds_of(wing)]).astype(float)
    assert np.abs(scores[:, SPIKE]).max() < SPIKE_SIGMA
    assert scores[:, SPREAD].max() < NOISE_RATIO - 0.2
    assert scores[:, STUCK].max() < STUCK_SHARE - 0.1
    jumps = np.diff(scores[:, LEVEL], axis=0)
    assert np.abs(jumps).max() < 1.0


@pytest.mark.parametrize("size", [11, -11, 30])
def test_single_reading_scores_as_a_spike_with_its_sign(size: int) -> None:
    wing = Wing(BLOCK, seed=4, tails=True)
    found = 0
    for second in range(20):
        counts = wing.second(second)
        column = 50 * second + 7
        noise = TABLE.noise_counts[block_slice(BLOCK)][column]
        counts[77, column] += size * noise
        scores = score(counts, BLOCK)
        found += abs(float(scores[SPIKE, column])) >= SPIKE_SIGMA and np.sign(scores[SPIKE, column]) == np.sign(size)
        assert scores[SPREAD, column] < NOISE_RATIO
    assert found >= 18


def test_step_within_a_second_is_no_spike() -> None:
    wing = Wing(BLOCK, seed=5)
    for begin in range(0, 124, 4):
        counts = wing.second(begin)
        counts[begin:, 10] += 9 * TABLE.noise_counts[block_slice(BLOCK)][10]
        assert abs(float(score(counts, BLOCK)[SPIKE, 10])) < SPIKE_SIGMA


def test_noise_of_three_times_the_usual_scores_three() -> None:
    wing = Wing(BLOCK, seed=6)
    ratios = []
    for second in range(10):
        counts = wing.second(second, noise_times={500: 3.0})
        ratios.append(float(score(counts, BLOCK)[SPREAD, 500]))
    assert np.mean(ratios) == pytest.approx(3, rel=0.15)
    assert min(ratios) > NOISE_RATIO


def test_stuck_reading_repeats_itself() -> None:
    counts = Wing(BLOCK, seed=7, swing_counts=500).second(0)
    counts[40:, 900] = counts[40, 900]
    scores = score(counts, BLOCK)
    assert scores[STUCK, 900] >= STUCK_SHARE
    assert np.flatnonzero(scores[STUCK] >= STUCK_SHARE).tolist() == [900]


def test_too_few_samples_are_not_judged() -> None:
    counts = Wing(BLOCK, seed=8).second(0)
    assert np.isnan(score(counts[: SAMPLES_MIN - 1], BLOCK)).all()
    assert np.isfinite(score(counts[:SAMPLES_MIN], BLOCK)).all()


def test_extreme_counts_stay_finite() -> None:
    counts = Wing(BLOCK, seed=9).second(0)
    counts[:, 3] = 32_767
    counts[::2, 4] = -32_768
    assert np.isfinite(score(counts, BLOCK)).all()

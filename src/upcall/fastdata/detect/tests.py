"""What one second says of each sensor, by itself: four scores from the order of its residuals.

A second of a sensor is sorted; everything follows from a few places of that order, so a few wild readings move
nothing but the score that looks for them.

    level    where the sensor stands against its neighbours: the mean of the middle half, in sigmas. Its noise is about
             0.1 sigma. Steps and drifts are changes of the level from second to second (`episodes`, `drift`).
    spread   its deviation against the one its data sheet states: half the distance between the 16th and the 84th
             percentile, 1 when healthy, with an error of 8 % for 128 samples.
    spike    the farthest reading, in deviations of the second itself, with its sign. The deviation is at least the
             stated one, and at least a third of the fourth-farthest reading on the same side: heavy tails, a noisy
             sensor or a step within the second raise many readings, a spike raises one to three.
    stuck    how many readings repeat the one before, of all. A healthy sensor with a noise of 3 counts repeats one in
             ten.

Thresholds. 20,000 sensors make 1.7 billion tests of each kind a day; at 6 to 7 deviations of the score itself a normal
distribution yields less than one false alarm in that time. The noise here has heavier tails, so spikes are measured
in deviations of the second that they stand in.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from upcall.fastdata.detect.residuals import residuals

Counts = npt.NDArray[np.int16]
Scores = npt.NDArray[np.float16]

SCORES: Final = ("level", "spread", "spike", "stuck")
LEVEL, SPREAD, SPIKE, STUCK = range(4)

SAMPLES_MIN: Final = 32
"""Fewer samples of a second (the rest was lost) are not judged: their scores are `nan`."""
SPIKE_SIGMA: Final = 7.0
NOISE_RATIO: Final = 1.8
"""Ten deviations of the spread at 128 samples; a sensor of three times its noise scores 3."""
STUCK_SHARE: Final = 0.45
"""A tenth is usual; 0.45 is eleven deviations away. A sensor that stands still for half a second reaches it."""

_FEW: Final = 4
"""A spike is fewer readings than this."""
_TAIL: Final = 3.0
"""The fourth-farthest of 128 readings lies at about two deviations; three allow for heavy tails."""
_SCORE_MAX: Final = 60_000.0
"""float16 ends at 65,504."""


def score(counts: Counts, block: int) -> Scores:
    """`[4, sensors]` for one second of a block."""
    samples, sensors = counts.shape
    if samples < SAMPLES_MIN:
        return np.full((len(SCORES), sensors), np.nan, np.float16)
    # Sensor by sensor: a second of one sensor stands together and is sorted in the processor's vectors.
    order = np.ascontiguousarray(residuals(counts, block).T)
    order.sort(axis=1)
    middle = order[:, samples // 2]
    spread = (order[:, samples * 84 // 100] - order[:, samples * 16 // 100]) / 2
    above, below = order[:, -1] - middle, middle - order[:, 0]
    is_up = above >= below
    farthest = np.where(is_up, above, below)
    fourth = np.where(is_up, order[:, -_FEW] - middle, middle - order[:, _FEW - 1])
    deviation = np.maximum(np.maximum(spread, fourth / _TAIL), 1)
    scores = np.empty((len(SCORES), sensors), np.float32)
    scores[LEVEL] = order[:, samples // 4 : samples - samples // 4].mean(axis=1)
    scores[SPREAD] = spread
    scores[SPIKE] = np.where(is_up, farthest, -farthest) / deviation
    scores[STUCK] = np.count_nonzero(counts[1:] == counts[:-1], axis=0) / (samples - 1)
    return np.clip(scores, -_SCORE_MAX, _SCORE_MAX, out=scores).astype(np.float16)


def score_bytes(counts: Counts, block: int) -> bytes:
    return score(counts, block).tobytes()

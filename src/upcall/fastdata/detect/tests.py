"""What one second says of each sensor, by itself: four scores from the order of its residuals.

The median of 50 neighbours wanders by a third of a sigma from sample to sample, because they stand a few sigmas apart
and it passes from one to the next. So first each sensor's own middle is taken off; what the group then still does
together, the mean of its bounded residuals, is taken off too. What is left is the sensor's own noise, as good as alone.

It is sorted, sensor by sensor; everything follows from a few places of that order, so a few wild readings move nothing
but the score that looks for them.

    level    where the sensor stands against its neighbours: the mean of its middle half, in sigmas. Its noise is about
             0.1 sigma. Steps and drifts are changes of the level from second to second (`episodes`, `drift`).
    spread   its deviation against the one its data sheet states: half the distance between the 16th and the 84th
             percentile, 1 when healthy, with an error of 8 % for 128 samples.
    spike    the farthest reading, in deviations of the second itself, with its sign. The deviation is at least the
             stated one, and at least a third of the fourth-farthest reading on the same side: heavy tails, a noisy
             sensor or a step within the second raise many readings, a spike raises one to three.
    stuck    how many readings repeat the one before, of all. A healthy sensor with a noise of 3 counts repeats one in
             ten.

Thresholds. 20,000 sensors make 1.7 billion tests of each kind a day; at 6 to 7 deviations of the score itself a normal
distribution yields less than one false alarm in that time. Readings have heavier tails than that, so a spike must
stand out farther.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from upcall.fastdata.detect.residuals import MIDDLE, Float32s, residuals
from upcall.fastdata.sensors import NEIGHBOURS

Counts = npt.NDArray[np.int16]
Scores = npt.NDArray[np.float16]

SCORES: Final = ("level", "spread", "spike", "stuck")
LEVEL, SPREAD, SPIKE, STUCK = range(4)

SAMPLES_MIN: Final = 32
"""Fewer samples of a second (the rest was lost) are not judged: their scores are `nan`."""
SPIKE_SIGMA: Final = 8.5
"""A normal distribution would allow 6.5; converters were seen to yield readings of 7 deviations every second."""
NOISE_RATIO: Final = 1.8
"""Ten deviations of the spread at 128 samples; a sensor of three times its noise scores 3."""
STUCK_SHARE: Final = 0.45
"""A tenth is usual; 0.45 is eleven deviations away. A sensor that stands still for half a second reaches it."""

_FEW: Final = 4
"""A spike is fewer readings than this."""
_TAIL: Final = 3.0
"""The fourth-farthest of 128 readings lies at about two deviations; three allow for heavy tails."""
_BOUND: Final = 3.0
"""Sigmas up to which a residual counts for what the group does: one faulty neighbour moves it by 0.06."""
_LEVEL_BOUND: Final = 8.0
"""Healthy levels lie within a few sigmas."""
_SCORE_MAX: Final = 60_000.0
"""float16 ends at 65,504."""


def score(counts: Counts, block: int) -> Scores:
    """`[4, sensors]` for one second of a block."""
    samples, sensors = counts.shape
    if samples < SAMPLES_MIN:
        return np.full((len(SCORES), sensors), np.nan, np.float16)
    own = residuals(counts, block)
    # Every fourth sample is enough to find a sensor's middle: it need not be exact, only much the same for all.
    rough = np.sort(own[::4].T, axis=1)[:, (samples + 3) // 8]
    own -= rough
    common = np.clip(own, -_BOUND, _BOUND).reshape(samples, -1, NEIGHBOURS).mean(axis=2)
    own.reshape(samples, -1, NEIGHBOURS)[...] -= common[:, :, None]
    # A second of one sensor stands together and is sorted in the processor's vectors.
    order = np.ascontiguousarray(own.T)
    order.sort(axis=1)
    middle = order[:, samples // 2]
    spread = (order[:, samples * 84 // 100] - order[:, samples * 16 // 100]) / 2
    above, below = order[:, -1] - middle, middle - order[:, 0]
    is_up = above >= below
    farthest = np.where(is_up, above, below)
    fourth = np.where(is_up, order[:, -_FEW] - middle, middle - order[:, _FEW - 1])
    deviation = np.maximum(np.maximum(spread, fourth / _TAIL), 1)
    scores = np.empty((len(SCORES), sensors), np.float32)
    scores[LEVEL] = _level(order[:, samples // 4 : samples - samples // 4].mean(axis=1) + rough)
    scores[SPREAD] = spread
    scores[SPIKE] = np.where(is_up, farthest, -farthest) / deviation
    scores[STUCK] = np.count_nonzero(counts[1:] == counts[:-1], axis=0) / (samples - 1)
    return np.clip(scores, -_SCORE_MAX, _SCORE_MAX, out=scores).astype(np.float16)


def _level(level: Float32s) -> Float32s:
    """Against the mean of the neighbours' levels, bounded: unlike their median it moves evenly as they move apart."""
    by_group = level.reshape(-1, NEIGHBOURS)
    middle = np.sort(by_group, axis=1)[:, MIDDLE, None]
    apart = by_group - middle
    against: Float32s = apart - np.clip(apart, -_LEVEL_BOUND, _LEVEL_BOUND).mean(axis=1, keepdims=True)
    return against.reshape(-1)


def score_bytes(counts: Counts, block: int) -> bytes:
    return score(counts, block).tobytes()

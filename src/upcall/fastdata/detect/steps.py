"""Steps: a level that stands off from the seconds before, twice in a row and in the same direction.

What the neighbours' movement explains is taken off, by the gain that the trail of ticks gave. What a gain that is not
known well yet *could* explain raises the threshold: in a fast climb a sensor must stand off farther to be believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from upcall.fastdata.detect.drift import Bools, Floats, Gains, median
from upcall.fastdata.detect.recent import Recent

BEFORE: Final = slice(0, 5)
"""Of the recent seconds, those that a step is compared with."""
BEFORE_MIN: Final = 3
STEP_SIGMA: Final = 2.0
STEP_ERRORS: Final = 7.0
LEVEL_NOISE: Final = 0.12
"""Of a second's level against its neighbours' median, sigmas."""


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """For each sensor of a block, as of the newest second."""

    is_step: Bools
    size: Floats
    threshold: Floats
    before: Floats
    """The level that it stands off from."""
    began_before: Bools
    """Already in the second before the two: it began in the middle of that one."""


def steps(recent: Recent, gains: Gains) -> Steps:
    off = recent.levels - gains.gain * recent.xs
    before, known = median(off[BEFORE])
    one, two = off[-2] - before, off[-1] - before
    size = np.where(one * two > 0, np.minimum(np.abs(one), np.abs(two)), 0.0)
    moved = np.abs(recent.xs[-2:] - median(recent.xs[BEFORE])[0]).max(axis=0)
    threshold = np.maximum(STEP_SIGMA, STEP_ERRORS * np.hypot(LEVEL_NOISE, gains.error * moved))
    is_step = (known >= BEFORE_MIN) & (size >= threshold)
    is_step &= np.isfinite(size)
    return Steps(is_step, size, threshold, before, np.abs(off[-3] - before) > size / 4)

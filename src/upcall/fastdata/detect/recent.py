"""The last seconds of a block: what each sensor showed, and what its neighbours read.

A second comes as its row of means and its scores (`tests`). What follows from it alone is flagged at once, so far as
the sensor stands alone with it: what many neighbours show together is the aircraft's doing. Its level, and what the
neighbours read, are remembered for a few seconds, because a step is told from the seconds before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from upcall.fastdata.detect.drift import Bools, Floats
from upcall.fastdata.detect.episodes import COMMON_MAX
from upcall.fastdata.detect.tests import NOISE_RATIO, STUCK_SHARE, Scores
from upcall.fastdata.sensors import NEIGHBOURS, SENSORS_PER_BLOCK, TABLE, block_slice

RECENT: Final = 8
"""Seconds compared for a step: five before, one in which it begins, two after."""
GAP_MAX_S: Final = 10
"""After a longer gap the seconds before it are not compared with those after it."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A second's scores, and the flags that need no memory."""

    level: Floats
    x: Floats
    """What the neighbours read, in each sensor's sigmas."""
    spread: Floats
    spike: Floats
    stuck: Floats
    is_stuck: Bools
    is_noisy: Bools


class Recent:
    """Of one block, in the order of the seconds."""

    def __init__(self, block: int) -> None:
        self.second = -1
        self.per_unit: Floats = 1.0 / TABLE.noise_units[block_slice(block)]
        """Sigmas of each sensor in a unit of its readings."""
        self.levels: Floats = np.full((RECENT, SENSORS_PER_BLOCK), np.nan)
        """`[seconds, sensors]`, the last one newest; `nan` where it is not known, or not to be compared."""
        self.xs: Floats = np.full((RECENT, SENSORS_PER_BLOCK), np.nan)
        self.means: Floats = np.full(SENSORS_PER_BLOCK, np.nan)
        """Of the newest second, in units."""

    def take(self, second: int, means: npt.NDArray[np.float32], scores: Scores) -> Seen | None:
        """Moves on to a second; `None` when it says nothing (its scores are unknown)."""
        missing = min(second - self.second - 1, RECENT)
        if second - self.second > GAP_MAX_S:
            missing = RECENT
        unknown: Floats = np.full(SENSORS_PER_BLOCK, np.nan)
        for _ in range(missing):
            self._advance(unknown, unknown)
        self.second = second
        level, spread, spike, stuck = scores.astype(np.float64)
        if np.isnan(level).all():
            self._advance(unknown, unknown)
            return None
        self.means = means.astype(np.float64)
        by_group = np.sort(self.means.reshape(-1, NEIGHBOURS), axis=1)
        x = np.repeat(by_group[:, NEIGHBOURS // 2], NEIGHBOURS) * self.per_unit
        self._advance(level, x)
        is_stuck = alone(stuck >= STUCK_SHARE)
        is_noisy = alone((spread >= NOISE_RATIO) & ~is_stuck)
        return Seen(level, x, spread, spike, stuck, is_stuck, is_noisy)

    def _advance(self, level: Floats, x: Floats) -> None:
        for rows, newest in ((self.levels, level), (self.xs, x)):
            rows[:-1] = rows[1:]
            rows[-1] = newest

    def forget_until(self, column: int, second: int) -> None:
        """What came up to this second is not to be compared with what comes."""
        self.levels[: max(0, RECENT - (self.second - second)), column] = np.nan

    def neighbours_say(self, column: int) -> float:
        """What the neighbours read now, in the sensor's unit."""
        return float(self.xs[-1, column] / self.per_unit[column])


def alone(flagged: Bools) -> Bools:
    """Flags without those that many neighbours share: these are the aircraft's doing."""
    by_group = flagged.reshape(-1, NEIGHBOURS)
    common = by_group.sum(axis=1) > COMMON_MAX
    if not common.any():
        return flagged
    alone: Bools = (by_group & ~common[:, None]).reshape(-1)
    return alone

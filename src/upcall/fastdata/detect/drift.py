"""Slow changes: a sensor's level against its neighbours, over minutes, and what of it their own movement explains.

A sensor's level (`tests`) should stay where it is. It moves for two reasons: because the sensor drifts, and because
its gain is a little off, so that it follows a climb or a turn by a thousandth more or less than its neighbours do. So
the level `y` is fitted over the trailing minutes as

    y = a + b x + c t         x: what the neighbours read, in the sensor's sigmas; t: seconds

where `b` has a prior: a gain is off by about 0.6 per mille, not more. The prior is what tells a drift from a climb:
where `x` itself is a ramp, `c` and `b` cannot both be known, and the error of `c` says so. A drift is a slope that is
many times its own error *and* adds up to something within the window.

Robust by construction: the fit takes *ticks*, the median of ten seconds' levels, each the mean of a middle half; ticks
in which the sensor had another fault are left out. Two windows are looked at: a minute for what moves fast, five for
what moves slowly. Everything follows from stored seconds, so the trail of ticks can be made again from the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

TICK_S: Final = 10
TICK_SECONDS_MIN: Final = 6
"""Seconds of a tick that must be known, or the tick is not."""
TICKS: Final = 30
"""Ticks remembered: five minutes."""
WINDOWS: Final = (6, TICKS)
"""Ticks of the fast and the slow test."""
AMOUNT_SIGMA: Final = {6: 1.2, TICKS: 1.5}
"""What the slope must add up to within its window; a gust or an uneven group stays below."""
SPAN_MIN: Final = 0.6
"""Known ticks must span this part of a window."""
SLOPE_ERRORS: Final = 5.0
GAIN_PRIOR: Final = 6e-4
"""Deviation of the relative error of a gain."""
TICK_NOISE: Final = 0.15
"""Sigmas. A tick's own noise is 0.03; most of this is the group's median, which passes from one neighbour to the next
as they move."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """For each sensor of a block."""

    gain: Floats
    """b"""
    gain_error: Floats
    slope: Floats
    """c, sigmas a second"""
    slope_error: Floats
    span_s: Floats
    """From the first to the last known tick."""

    def amount(self) -> Floats:
        return np.abs(self.slope) * self.span_s


def fit(y: Floats, x: Floats) -> Fit:
    """`y`, `x`: `[ticks, sensors]`, the last one newest; `nan` where a tick is not known."""
    known = np.isfinite(y) & np.isfinite(x)
    n = known.sum(axis=0)
    weight = np.maximum(n, 1)
    t = np.broadcast_to(np.arange(len(y), dtype=np.float64)[:, None] * TICK_S, y.shape)
    y, x, t = (_centred(each, known, weight) for each in (y, x, t))
    s_xx, s_xt, s_tt = _dot(x, x), _dot(x, t), _dot(t, t)
    s_xy, s_ty, s_yy = _dot(x, y), _dot(t, y), _dot(y, y)
    a_xx = s_xx + (TICK_NOISE / GAIN_PRIOR) ** 2
    # Too few ticks: no slope can be told, and the gain is what the prior says.
    enough = n >= 3
    a_tt = np.where(enough, s_tt, 1.0)
    s_xt, s_ty = np.where(enough, s_xt, 0.0), np.where(enough, s_ty, 0.0)
    determinant = a_xx * a_tt - s_xt**2  # positive: a_xx > s_xx, and s_xx s_tt >= s_xt**2
    gain = (a_tt * s_xy - s_xt * s_ty) / determinant
    slope = (a_xx * s_ty - s_xt * s_xy) / determinant
    left = s_yy - gain * s_xy - slope * s_ty
    noise_2 = np.maximum(TICK_NOISE**2, left / np.maximum(n - 3, 1))
    return Fit(
        gain=gain,
        gain_error=np.sqrt(TICK_NOISE**2 * a_tt / determinant),
        slope=slope,
        slope_error=np.where(enough, np.sqrt(noise_2 * a_xx / determinant), np.inf),
        span_s=np.where(enough, np.ptp(np.where(known, t, 0.0), axis=0), 0.0),
    )


def drifting(y: Floats, x: Floats) -> tuple[Bools, Floats, Floats]:
    """Which sensors drift, how clearly (times the least that counts), and their slope; by the better of the windows."""
    clarity = np.zeros(y.shape[1])
    slope = np.zeros(y.shape[1])
    for ticks in WINDOWS:
        one = fit(y[-ticks:], x[-ticks:])
        is_long = one.span_s >= SPAN_MIN * ticks * TICK_S
        margin = np.minimum(
            np.abs(one.slope) / (SLOPE_ERRORS * one.slope_error),
            one.amount() / AMOUNT_SIGMA[ticks],
        )
        margin = np.where(is_long & np.isfinite(y[-1]), margin, 0.0)
        slope = np.where(margin > clarity, one.slope, slope)
        clarity = np.maximum(clarity, margin)
    return clarity >= 1.0, clarity, slope


class Trail:
    """The ticks of a block that the fit looks at."""

    def __init__(self, sensors: int) -> None:
        self.levels: Floats = np.full((TICKS, sensors), np.nan)
        self.neighbours: Floats = np.full((TICKS, sensors), np.nan)
        self.newest = -1
        """Number of the newest tick: second // TICK_S."""
        self.is_fitted = True
        """Nothing of it has changed since the gains were taken from it."""
        self._seconds: list[tuple[int, Floats, Floats]] = []

    def add_second(self, second: int, level: Floats, x: Floats) -> bool:
        """True when the second completed a tick."""
        tick = second // TICK_S
        if tick <= self.newest:
            return False  # restored already
        self._seconds = [row for row in self._seconds if row[0] // TICK_S == tick]
        self._seconds.append((second, level.copy(), x))
        if second % TICK_S != TICK_S - 1:
            return False
        y, known = median(np.stack([row[1] for row in self._seconds]))
        y[known < TICK_SECONDS_MIN] = np.nan
        self.add_tick(tick, y, median(np.stack([row[2] for row in self._seconds]))[0])
        self._seconds.clear()
        return True

    def add_tick(self, tick: int, level: Floats, x: Floats) -> None:
        for _ in range(min(tick - self.newest, TICKS)):  # ticks that were never completed stay unknown
            self.levels[:-1] = self.levels[1:]
            self.neighbours[:-1] = self.neighbours[1:]
            self.levels[-1] = self.neighbours[-1] = np.nan
        self.levels[-1], self.neighbours[-1] = level, x
        self.newest = tick
        self.is_fitted = False

    def leave_out(self, column: int, begin: int, end: int) -> None:
        """The sensor had a fault in these seconds: its ticks there say nothing about what comes."""
        self.is_fitted = False
        first = begin // TICK_S - (self.newest - TICKS + 1)
        last = (end - 1) // TICK_S - (self.newest - TICKS + 1)
        if last >= 0:
            self.levels[max(first, 0) : last + 1, column] = np.nan
        for second, level, _ in self._seconds:
            if begin <= second < end:
                level[column] = np.nan


class Gains:
    """How far each sensor follows its neighbours, as the trail told it last."""

    def __init__(self, sensors: int) -> None:
        self.gain: Floats = np.zeros(sensors)
        self.error: Floats = np.full(sensors, GAIN_PRIOR)

    def follow(self, trail: Trail) -> None:
        """Fitted again when the trail has changed."""
        if not trail.is_fitted:
            fitted = fit(trail.levels, trail.neighbours)
            self.gain, self.error = fitted.gain, fitted.gain_error
            trail.is_fitted = True


def median(rows: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The (lower) median of each column's known values and how many there are; `nan` where there is none."""
    order = np.sort(rows, axis=0)  # nan last
    known = np.isfinite(rows).sum(axis=0)
    place = np.maximum(known - 1, 0) // 2
    middle: Floats = np.take_along_axis(order, place[None], axis=0)[0]
    return middle, known


def _centred(values: Floats, known: Bools, weight: npt.NDArray[np.int64]) -> Floats:
    values = np.where(known, values, 0.0)
    centred: Floats = np.where(known, values - values.sum(axis=0) / weight, 0.0)
    return centred


def _dot(left: Floats, right: Floats) -> Floats:
    product: Floats = np.einsum("ij,ij->j", left, right)
    return product

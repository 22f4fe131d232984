"""Noise of the converters: tables of 65,536 quantiles, looked up by 16 random bits.

The distribution is binomial: the sum of `4 * sigma**2` coins, less its mean, has exactly the deviation `sigma` and is
as good as normal for the sigmas used here (3 to 6 counts). Unlike a normal distribution it can be tabulated in whole
numbers alone: no logarithm whose last bit depends on the processor. `heavy` has tails: one reading in 32 comes from a
distribution of twice the deviation. A table ends where its rarest entry stands, once in 65,536 readings on either
side: 4.0 to 4.3 sigma for `normal`, 7.0 for `heavy`. What is farther out than that is a fault.
"""

from __future__ import annotations

from functools import cache
from math import comb
from typing import Final

import numpy as np
import numpy.typing as npt

TABLE_SIZE: Final = 65_536
HEAVY_ONE_IN: Final = 32
HEAVY_TIMES: Final = 2


@cache
def noise_table(sigma_counts: int, noise: str) -> npt.NDArray[np.int8]:
    """The quantiles, ascending; made once for each sigma, read-only. At most 127 counts either way."""
    usual = _binomial(4 * sigma_counts**2)
    if noise == "heavy":
        wide = _binomial(4 * (HEAVY_TIMES * sigma_counts) ** 2)
        weights = _mixed(usual, wide)
    else:
        weights = usual
    table = _quantiles(weights)
    table.setflags(write=False)
    return table


def _binomial(coins: int) -> dict[int, int]:
    """Weight of each deviation from the mean; `coins` is even, so the mean is whole. They sum to `2**coins`."""
    return {heads - coins // 2: comb(coins, heads) for heads in range(coins + 1)}


def _mixed(usual: dict[int, int], wide: dict[int, int]) -> dict[int, int]:
    """`wide` once in `HEAVY_ONE_IN`, over one common denominator."""
    usual_total, wide_total = sum(usual.values()), sum(wide.values())
    return {
        value: (HEAVY_ONE_IN - 1) * usual.get(value, 0) * wide_total + weight * usual_total
        for value, weight in wide.items()
    }


def _quantiles(weights: dict[int, int]) -> npt.NDArray[np.int8]:
    """Entry `i` is the value at probability `(i + 1/2) / TABLE_SIZE`: symmetric, with mean exactly zero."""
    total = sum(weights.values())
    table = np.empty(TABLE_SIZE, np.int8)
    filled = 0
    below = 0
    for value in sorted(weights):
        below += weights[value]
        # entries i with (i + 1/2) / SIZE < below / total
        upto = min(TABLE_SIZE, -(-(2 * below * TABLE_SIZE - total) // (2 * total)))
        if upto > filled:
            table[filled:upto] = value
            filled = upto
    assert filled == TABLE_SIZE
    assert int(table.sum(dtype=np.int64)) == 0
    return table

"""How far each reading is from what its neighbours say, in sigmas.

The 50 sensors of a group share one physical driver: what the aircraft does moves all of them alike, what only one of
them does is its own. So the residual of a reading is its value less the *median* of its group at the same sample: the
median, because up to half of the neighbours could be wrong without moving it far.

Values are compared, not counts: each converter has its own gain and zero. They are compared in the common fraction of
the group's unit (`value = (gain * count - gain * zero) / fraction`), which are whole numbers below 2**24, hence exact
in float32. The residual is then divided by the sensor's noise as its data sheet states it.

What a residual of a healthy sensor holds, besides its noise: a constant bias and a gain that is off by a thousandth
or so, times the group's excursion. `tests` judges within a second, where both are constant; `drift` takes care of
them over minutes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from upcall.fastdata.sensors import NEIGHBOURS, TABLE, block_slice

Counts = npt.NDArray[np.int16]
Float32s = npt.NDArray[np.float32]

MIDDLE = NEIGHBOURS // 2
"""The upper of the two middle neighbours: taking one alone moves all residuals by the same small constant."""

_GAIN = TABLE.gain.astype(np.float32)
_ZERO = (TABLE.gain.astype(np.int64) * TABLE.zero_counts).astype(np.float32)
_PER_SIGMA = (1.0 / (TABLE.noise_counts.astype(np.float64) * TABLE.gain)).astype(np.float32)


def residuals(counts: Counts, block: int) -> Float32s:
    """`[samples, sensors]`, in sigmas."""
    sensors = block_slice(block)
    values = counts * _GAIN[sensors]
    values -= _ZERO[sensors]
    by_group = values.reshape(len(counts), -1, NEIGHBOURS)
    # Sorting 50 neighbours takes vector instructions and is faster than selecting the middle one.
    middle = np.sort(by_group, axis=2)[:, :, MIDDLE, None]
    by_group -= middle
    values *= _PER_SIGMA[sensors]
    return values

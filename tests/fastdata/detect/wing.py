"""A block of sensors for tests of the detector, made up here and not by the project's generator: a swinging driver for
each group, biases, gains that are off, noise with or without heavy tails."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from upcall.fastdata.sensors import GAIN_UNIT, GROUPS_PER_BLOCK, NEIGHBOURS, SENSORS_PER_BLOCK, TABLE, block_slice


class Wing:
    def __init__(
        self, block: int, seed: int, *, swing_counts: float = 200, climb_counts_per_s: float = 0, tails: bool = False
    ) -> None:
        rng = np.random.default_rng(seed)
        self.block = block
        self._seed = seed
        self._swing = swing_counts
        self._climb = climb_counts_per_s
        self._tails = tails
        sensors = block_slice(block)
        self.noise_counts = TABLE.noise_counts[sensors].astype(float)
        self._zero = TABLE.zero_counts[sensors]
        self._gain = GAIN_UNIT / TABLE.gain[sensors] * (1 + rng.uniform(-1e-3, 1e-3, SENSORS_PER_BLOCK))
        self._bias = rng.uniform(-3, 3, SENSORS_PER_BLOCK) * self.noise_counts
        self._phase = rng.uniform(0, 6, GROUPS_PER_BLOCK)

    def second(
        self,
        second: int,
        *,
        shift_sigma: Mapping[int, float] | None = None,
        noise_times: Mapping[int, float] | None = None,
        rate_hz: int = 128,
    ) -> np.ndarray:
        """`[samples, sensors]` int16; `shift_sigma` and `noise_times` are by column."""
        rng = np.random.default_rng([self._seed, second])
        t = second + np.arange(rate_hz)[:, None] / rate_hz
        driver = self._swing * np.sin(0.9 * t + self._phase) + self._climb * t
        shape = (rate_hz, SENSORS_PER_BLOCK)
        noise = rng.standard_normal(shape)
        if self._tails:  # one reading in 32 has twice the deviation; beyond 5.5 it would be a spike to anyone
            noise = np.clip(noise * np.where(rng.random(shape) < 1 / 32, 2, 1), -5.5, 5.5)
        for column, times in (noise_times or {}).items():
            noise[:, column] *= times
        shift = np.zeros(SENSORS_PER_BLOCK)
        for column, sigma in (shift_sigma or {}).items():
            shift[column] = sigma * self.noise_counts[column]
        counts = np.repeat(driver, NEIGHBOURS, axis=1) * self._gain + self._bias + shift + self._zero
        return np.clip(np.round(counts + noise * self.noise_counts), -32_768, 32_767).astype(np.int16)  # type: ignore[no-any-return]

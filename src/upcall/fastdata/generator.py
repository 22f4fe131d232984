"""The modelled readings: a pure function of (run, flight, sensor, sample number), in whole numbers from end to end.

    count = (gain[sensor] * driver[group, sample]) >> 14  +  zero[sensor]  +  noise[sensor, sample]       then its
    fault, if it has one

*driver* is what the group's 50 neighbours share: the physical model's value of this second and the next
(`physics.py`), interpolated; gusts, interpolated between lattice points drawn by hash, eight a second and two a
second; and a structural mode. *gain* and *zero* are those of the calibration (`sensors.py`), each a little wrong,
drawn from the seed: a gain by up to a thousandth, a zero by up to three deviations. *noise* is a quantile table looked
up by 16 bits of a hash of (seed, sensor, sample).

No floating point and no function whose last bit depends on the processor takes part: a test anywhere computes what
must be in the store, bit by bit. Nothing depends on how a stretch of time is cut into calls.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from upcall.fastdata import sensors
from upcall.fastdata.faults import Fault, FaultKind, faults_in_second
from upcall.fastdata.flights import Flight
from upcall.fastdata.hashing import Stream, noise_words, words
from upcall.fastdata.noise import noise_table
from upcall.fastdata.packing import Counts
from upcall.fastdata.physics import UNITY, Model, build_model
from upcall.fastdata.runs import Run

Int64s = npt.NDArray[np.int64]

GAIN_SHIFT: Final = 14
GUST_LATTICE_HZ: Final = (8, 2)
"""Lattice points a second of the two gust octaves; both divide every rate of a run."""
_INT16: Final = np.iinfo(np.int16)


class Generator:
    """All readings of a run. Cheap to ask in any order; holds no state but the drivers it computed last."""

    def __init__(self, run: Run, flight: Flight) -> None:
        if flight.digest != run.flight_digest:
            raise ValueError(
                f"run {run.run_id} is of flight {run.flight_digest[:12]}, "
                f"this is flight {flight.digest[:12]} ({flight.name})"
            )
        if run.begin_s + run.seconds > flight.seconds:
            raise ValueError(
                f"run {run.run_id} lasts until second {run.begin_s + run.seconds}, the flight until {flight.seconds}"
            )
        self.run = run
        self._model: Model = build_model(flight, run.seed)
        self._gain, self._base = _converters(run.seed)
        self._sensor_keys = words(run.seed, Stream.SENSOR_KEY, np.arange(sensors.SENSORS // 4))
        self._tables = [
            (columns, noise_table(sensors.SHEETS[kind].noise_counts, run.noise))
            for kind, columns in sensors.kind_slices()
        ]
        self._last_drivers: tuple[int, int, npt.NDArray[np.int32]] | None = None

    def generate(self, block: int, first_sample: int, samples: int) -> Counts:
        """`[samples, 1000]` int16: the counts of a block, faults included. Samples may cross seconds."""
        if not (first_sample >= 0 and samples >= 1 and first_sample + samples <= self.run.samples):
            raise ValueError(
                f"samples {first_sample} to {first_sample + samples - 1}: "
                f"run {self.run.run_id} has 0 to {self.run.samples - 1}"
            )
        rate = self.run.rate_hz
        counts = np.empty((samples, sensors.SENSORS_PER_BLOCK), np.int16)
        at = first_sample
        while at < first_sample + samples:
            n = min(first_sample + samples - at, rate - at % rate)
            self._within_second(block, at, counts[at - first_sample :][:n])
            at += n
        return counts

    def _within_second(self, block: int, first_sample: int, out: Counts) -> None:
        noise = self._noise(block, first_sample, len(out))
        self._signal(block, first_sample, out)
        out += noise
        for fault in faults_in_second(self.run, first_sample // self.run.rate_hz).get(block, ()):
            if fault.touches(first_sample, len(out)):
                self._apply(fault, first_sample, out, noise)

    def _signal(self, block: int, first_sample: int, out: Counts) -> None:
        """Gain times driver plus zero, without noise."""
        columns = sensors.block_slice(block)
        groups = slice(block * sensors.GROUPS_PER_BLOCK, (block + 1) * sensors.GROUPS_PER_BLOCK)
        drivers = self._drivers(first_sample, len(out))[:, groups]
        shape = (sensors.GROUPS_PER_BLOCK, sensors.NEIGHBOURS)
        wide = drivers[:, :, None] * self._gain[columns].reshape(shape)
        wide += self._base[columns].reshape(shape)
        np.right_shift(wide, GAIN_SHIFT, out=wide)
        out[:] = wide.reshape(len(out), -1)

    def _noise(self, block: int, first_sample: int, samples: int) -> npt.NDArray[np.int8]:
        sample_keys = words(self.run.seed, Stream.SAMPLE_KEY, np.arange(first_sample, first_sample + samples))
        quarter = sensors.SENSORS_PER_BLOCK // 4
        # Little-endian lanes on every machine; on x86-64 and arm64 this costs nothing.
        lanes = (
            noise_words(sample_keys, self._sensor_keys[block * quarter : (block + 1) * quarter])
            .astype("<u8", copy=False)
            .view("<u2")
        )
        noise = np.empty(lanes.shape, np.int8)
        for columns, table in self._tables:
            noise[:, columns] = table.take(lanes[:, columns], mode="clip")  # 16 bits: never out of range
        return noise

    def _drivers(self, first_sample: int, samples: int) -> npt.NDArray[np.int32]:
        """`[samples, groups]`, within one second. All blocks of a moment ask for the same: the last answer is kept."""
        if self._last_drivers is None or self._last_drivers[:2] != (first_sample, samples):
            self._last_drivers = (first_sample, samples, self._compute_drivers(first_sample, samples))
        return self._last_drivers[2]

    def _compute_drivers(self, first_sample: int, samples: int) -> npt.NDArray[np.int32]:
        model, rate = self._model, self.run.rate_hz
        second, within = divmod(first_sample, rate)
        at = self.run.flight_second(second)
        step = np.arange(within, within + samples, dtype=np.int64)[:, None]
        now, then = model.drivers(at), model.drivers(at + 1)
        drivers = now + (then - now) * step // rate
        roughness = int(model.gusts[at]) * (rate - step) + int(model.gusts[min(at + 1, model.seconds)]) * step
        quick, slow = (self._lattice(octave, hz, second, step) for octave, hz in enumerate(GUST_LATTICE_HZ))
        drivers += (quick + slow) * model.gust_counts * roughness // (4_096 * rate * 64)
        # The mode's phase is that of the run's sample, so it never jumps; its strength follows the thrust.
        phase = (model.mode_step * (second % 65_536) + model.mode_step * step // rate) & 0xFFFF
        drivers += _sine(phase) * model.mode_counts // 16_384 * int(model.thrust[at]) // UNITY
        return drivers.astype(np.int32)

    def _lattice(self, octave: int, hz: int, second: int, step: Int64s) -> Int64s:
        """`[samples, groups]` in 1/64 deviation: one gust octave, linear between its lattice points."""
        spacing = self.run.rate_hz // hz
        points = second * hz + np.arange(hz + 1)
        groups = np.arange(sensors.GROUPS)
        numbers = (octave * 2**40 + points[:, None] * sensors.GROUPS + groups).reshape(-1)
        drawn = words(self.run.seed, Stream.GUST, numbers).astype("<u8", copy=False).view("<u2").reshape(-1, 4)
        # The sum of four uniform numbers is normal enough for weather; its deviation is 37,837.
        heights = (drawn.sum(axis=1, dtype=np.int64) - 131_070) * 64 // 37_837
        heights = heights.reshape(hz + 1, sensors.GROUPS)
        point, rest = np.divmod(step[:, 0], spacing)
        rest = rest[:, None]
        between: Int64s = (heights[point] * (spacing - rest) + heights[point + 1] * rest) // spacing
        return between

    def _apply(self, fault: Fault, first_sample: int, out: Counts, noise: npt.NDArray[np.int8]) -> None:
        """One fault's doing to the counts of its sensor, saturating as a converter does."""
        column = fault.sensor % sensors.SENSORS_PER_BLOCK
        begin = max(fault.begin_sample - first_sample, 0)
        end = min(fault.end_sample - first_sample, len(out))
        rows = slice(begin, end)
        healthy = out[rows, column].astype(np.int64)
        if fault.kind is FaultKind.STUCK:
            changed = np.full_like(healthy, self.healthy_count(fault.sensor, fault.begin_sample))
        elif fault.kind is FaultKind.NOISE:
            changed = healthy + (fault.magnitude_sigma - 1) * noise[rows, column].astype(np.int64)
        elif fault.kind is FaultKind.DRIFT:
            elapsed = np.arange(first_sample + begin, first_sample + end, dtype=np.int64) - fault.begin_sample
            changed = healthy + fault.magnitude_counts * elapsed // (fault.end_sample - fault.begin_sample)
        else:
            changed = healthy + fault.magnitude_counts
        out[rows, column] = np.clip(changed, _INT16.min, _INT16.max)

    def healthy_count(self, sensor: int, sample: int) -> int:
        """What a sensor would read at a sample if it had no fault."""
        block = sensors.block_of(sensor)
        counts = np.empty((1, sensors.SENSORS_PER_BLOCK), np.int16)
        self._signal(block, sample, counts)
        counts += self._noise(block, sample, 1)
        return int(counts[0, sensor % sensors.SENSORS_PER_BLOCK])


def _converters(seed: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Gain (times 2**14) and zero (times 2**14, with the half for rounding) of each sensor as it really is."""
    numbers = np.arange(sensors.SENSORS)
    table = sensors.TABLE
    ideal = (sensors.GAIN_UNIT << GAIN_SHIFT) // table.gain.astype(np.int64)
    error = (words(seed, Stream.GAIN_ERROR, numbers) % np.uint64(33)).astype(np.int64) - 16  # of 16,384: a thousandth
    sigma = table.noise_counts.astype(np.int64)
    drawn = (words(seed, Stream.BIAS, numbers) % np.uint64(6 * 64 + 1)).astype(np.int64) - 3 * 64
    bias = (drawn * sigma << GAIN_SHIFT) // 64
    base = (table.zero_counts.astype(np.int64) << GAIN_SHIFT) + bias + (1 << (GAIN_SHIFT - 1))
    return (ideal + error).astype(np.int32), base.astype(np.int32)


def _sine(phase: Int64s) -> Int64s:
    """Sine of `phase / 65,536` turns, times 16,384, by Bhaskara's rational approximation (within 0.2 %)."""
    half = phase & 0x7FFF
    product = half * (32_768 - half)
    sine = 16 * 16_384 * product // (5 * 32_768**2 - 4 * product)
    signed: Int64s = np.where(phase >= 32_768, -sine, sine)
    return signed

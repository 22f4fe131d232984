"""The physical model: what the recorded flight does to each group of sensors, second by second, in whole numbers.

From altitude, speed, track and vertical rate follow a few *signals* of the whole aircraft; a group's *driver* is a
weighted sum of them. Weights depend on the kind of its sensors, on where it sits along the span, and a little on the
airframe (drawn from the seed). A driver is in counts of the kind's data sheet, less than 24,000 either way, so no
converter ever saturates.

    lift          1/4096 of the take-off weight: the weight that is left, times the load factor (turns: 1 + tan^2(bank)
                  / 2; pull-ups: change of the vertical rate), once the wing carries (90 to 140 kt)
    temperature   1/128 degC: standard atmosphere at the altitude, plus the ram rise of the speed, lagged by 64 s
    pressure      1/32 hPa: standard atmosphere at the altitude, less 512 hPa
    ram           1/32 hPa: dynamic pressure from speed and density
    fuel          1/16384 of the tanks: burnt evenly over the recording, to a quarter
    thrust        1/16384: by vertical rate and altitude
    flaps         1/16384: out below 12,000 ft as the speed falls from 230 to 150 kt
    roll          change of the rate of turn, which takes ailerons
    gusts         1/4096: how rough the air is; weather drawn for each minute, rougher below 15,000 ft

What no signal tells (thermals, slosh, a wing's own modes) is added by the generator within the second: gusts and a
structural mode, scaled by `gusts` and `thrust`. The ground speed stands for the air speed: the recording knows no
wind. This is a model for a data pipeline, not of an aircraft's loads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from upcall.fastdata import sensors
from upcall.fastdata.flights import Flight
from upcall.fastdata.hashing import Stream, words
from upcall.fastdata.sensors import Kind

Int64s = npt.NDArray[np.int64]

DRIVER_MAX: Final = 24_000
UNITY: Final = 16_384
SIGNALS: Final = ("lift", "temperature", "pressure", "ram", "fuel", "thrust", "flaps", "roll", "one")

# Standard atmosphere (ISO 2533): pressure in pascals at 0, 2,000, 4,000 ... 46,000 ft.
_ISA_FEET: Final = 2_000
_ISA_PA: Final = (
    101_325, 94_213, 87_511, 81_200, 75_262, 69_682, 64_441, 59_524, 54_915, 50_600, 46_563, 42_791,
    39_271, 35_989, 32_932, 30_090, 27_449, 24_999, 22_729, 20_646, 18_754, 17_035, 15_474, 14_056,
)  # fmt: skip
_ALTITUDE_MAX_FT: Final = 45_999
_TROPOPAUSE_FT: Final = 36_089

# Weights of the signals, for each kind, at the wing's root: counts of the data sheet for each unit of the signal,
# times 16,384.
_WEIGHTS: Final = {
    Kind.STRAIN: {"lift": 40_960, "temperature": 1_024, "flaps": 410},
    Kind.VIBRATION: {"lift": 410, "thrust": 205},
    Kind.TEMPERATURE: {"temperature": 16_384, "thrust": 328},
    Kind.PRESSURE: {"pressure": 16_384, "ram": 9_830},
    Kind.FUEL: {"fuel": 10_240, "lift": 328, "roll": 1_638},
    Kind.ACTUATOR: {"flaps": 12_288, "roll": 16_384, "ram": -1_638},
}
# Shares of a signal left at the tip, in 1/256 of the root's: bending falls with the square of what lies outward,
# temperature not at all.
_AT_TIP: Final = {"lift": 20, "roll": 512, "flaps": 64, "thrust": 32, "fuel": 96}

# Fast components at full strength, counts of the data sheet: gusts, structural mode.
GUST_COUNTS: Final = {
    Kind.STRAIN: 140, Kind.VIBRATION: 240, Kind.TEMPERATURE: 6, Kind.PRESSURE: 30, Kind.FUEL: 90, Kind.ACTUATOR: 50,
}  # fmt: skip
MODE_COUNTS: Final = {
    Kind.STRAIN: 30, Kind.VIBRATION: 220, Kind.TEMPERATURE: 0, Kind.PRESSURE: 2, Kind.FUEL: 4, Kind.ACTUATOR: 4,
}  # fmt: skip
MODE_MILLIHERTZ: Final = (2_200, 9_400)
"""A group's structural mode lies between these: a wing's bending and torsion."""

_WEATHER_S: Final = 60


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A flight turned into signals, and the weights of all groups."""

    signals: Int64s
    """`[seconds, signals]`"""
    weights: Int64s
    """`[signals, groups]`"""
    gusts: Int64s
    """`[seconds]`, 1/4096"""
    thrust: Int64s
    """`[seconds]`, 1/16384"""
    gust_counts: Int64s
    mode_counts: Int64s
    mode_step: Int64s
    """`[groups]`: turns of the structural mode in one second, times 65,536."""

    @property
    def seconds(self) -> int:
        return len(self.signals) - 1

    def drivers(self, second: int) -> Int64s:
        """`[groups]`: the slow part of all drivers at the beginning of a second of the recording."""
        at = min(second, self.seconds)
        sums: Int64s = (self.signals[at] @ self.weights) // UNITY
        return np.clip(sums, -DRIVER_MAX, DRIVER_MAX)


def build_model(flight: Flight, seed: int) -> Model:
    signals = {name: np.clip(values, -65_536, 65_536) for name, values in _signals(flight).items()}
    groups = np.arange(sensors.GROUPS)
    kinds = sensors.TABLE.kind[:: sensors.NEIGHBOURS]
    gust_counts = np.array([GUST_COUNTS[kind] for kind in Kind])[kinds]
    mode_counts = np.array([MODE_COUNTS[kind] for kind in Kind])[kinds]
    low, high = MODE_MILLIHERTZ
    millihertz = low + (words(seed, Stream.AIRFRAME, 10_000 + groups) % np.uint64(high - low)).astype(np.int64)
    return Model(
        signals=np.stack([signals[name] for name in SIGNALS], axis=1),
        weights=_weights(seed, groups, kinds),
        gusts=_gusts(flight, seed),
        thrust=signals["thrust"],
        gust_counts=gust_counts,
        mode_counts=mode_counts,
        mode_step=millihertz * 65_536 // 1_000,
    )


def _weights(seed: int, groups: Int64s, kinds: npt.NDArray[np.int8]) -> Int64s:
    """Kind, place along the span, and up to a tenth either way by the airframe."""
    outward = (groups // sensors.GROUPS_PER_BLOCK) % sensors.BLOCKS_PER_WING  # 0 at the root ... 9 at the tip
    tip_share = outward * 256 // (sensors.BLOCKS_PER_WING - 1)
    weights = np.zeros((len(SIGNALS), len(groups)), np.int64)
    for place, name in enumerate(SIGNALS):
        at_root = np.array([_WEIGHTS[kind].get(name, 0) for kind in Kind])[kinds]
        along = 256 + (_AT_TIP.get(name, 256) - 256) * tip_share // 256
        own = 922 + (words(seed, Stream.AIRFRAME, place * sensors.GROUPS + groups) % np.uint64(205)).astype(np.int64)
        weights[place] = at_root * along * own // (256 * 1_024)
    # Flaps and slats sit at different angles, strain gauges at different preload: a constant of its own for each group.
    preload = (words(seed, Stream.AIRFRAME, 20_000 + groups) % np.uint64(1_001)).astype(np.int64) - 500
    weights[SIGNALS.index("one")] = preload
    return weights


def _signals(flight: Flight) -> dict[str, Int64s]:
    altitude = np.clip(flight.altitude_ft, 0, _ALTITUDE_MAX_FT)
    pressure_pa = _isa_pressure_pa(altitude)
    # 1.98 degC in 1,000 ft
    still_air = (15 * 128 * 1_000 - np.minimum(altitude, _TROPOPAUSE_FT) * 2_534 // 10) // 1_000
    kelvin_128 = still_air + 273 * 128
    # q = rho v^2 / 2 with rho = p / (287 T), v = 0.514 kt
    v2 = (flight.speed_kt * 514) ** 2 // 1_000_000
    ram_pa = pressure_pa * v2 * 128 // (2 * 287 * kelvin_128)
    ram_rise = v2 * 128 // 2_009  # v^2 / (2 c_p)
    turn = np.clip(_smooth(_change(flight.track_cdeg), 16), -400, 400)
    climb_change = np.clip(_smooth(_change(flight.vertical_rate_fpm), 16), -400, 400)
    # tan(bank) = omega v / g; in thousandths: cdeg/s * 1.745e-4 rad * kt * 0.514 / 9.81
    tan_bank = np.clip(turn * flight.speed_kt * 914 // 100_000, -700, 700)
    load = 4_096 + 4_096 * tan_bank**2 // 2_000_000 + climb_change * 2_122 // 1_000
    fuel_left = UNITY - UNITY * 3 // 4 * flight.t_s // max(1, flight.seconds)
    weight = 4_096 * (UNITY * 72 // 100 + fuel_left * 28 // 100) // UNITY
    carried = np.clip((flight.speed_kt - 90) * 4_096 // 50, 0, 4_096)
    thrust = np.clip(9_000 + flight.vertical_rate_fpm * 2 + altitude // 16, 2_000, UNITY)
    flaps = np.clip((230 - flight.speed_kt) * UNITY // 80, 0, UNITY) * (altitude < 12_000)
    return {
        "lift": load * weight // 4_096 * carried // 4_096,
        "temperature": _lag(still_air + ram_rise, 6),
        "pressure": pressure_pa * 32 // 100 - 512 * 32,
        "ram": ram_pa * 32 // 100,
        "fuel": fuel_left,
        "thrust": _smooth(thrust, 16),
        "flaps": _smooth(flaps, 32),
        "roll": np.clip(_smooth(_change(turn) * 16, 8), -2_000, 2_000),
        "one": np.full(len(flight.t_s), UNITY, np.int64),
    }


def _gusts(flight: Flight, seed: int) -> Int64s:
    """Weather of each minute, interpolated; below 15,000 ft it is rougher by up to half of the scale."""
    minute, second = np.divmod(flight.t_s, _WEATHER_S)
    drawn = (words(seed, Stream.WEATHER, np.arange(minute[-1] + 2)) >> np.uint64(52)).astype(np.int64)  # 0 to 4,095
    rough = drawn * drawn // 4_096 // 2
    weather = (rough[minute] * (_WEATHER_S - second) + rough[minute + 1] * second) // _WEATHER_S
    low = np.clip(15_000 - flight.altitude_ft, 0, 15_000) * 2_048 // 15_000
    gusts: Int64s = np.clip(200 + weather + low, 0, 4_096)
    return gusts


def _isa_pressure_pa(altitude_ft: Int64s) -> Int64s:
    table = np.array(_ISA_PA, np.int64)
    step, rest = np.divmod(altitude_ft, _ISA_FEET)
    between: Int64s = (table[step] * (_ISA_FEET - rest) + table[step + 1] * rest) // _ISA_FEET
    return between


def _change(values: Int64s) -> Int64s:
    """From each second to the next; none after the last."""
    return np.diff(values, append=values[-1:])


def _smooth(values: Int64s, width_s: int) -> Int64s:
    """The mean over `width_s` seconds around each one."""
    padded = np.concatenate(
        (np.repeat(values[:1], width_s // 2 + 1), values, np.repeat(values[-1:], width_s - width_s // 2 - 1))
    )
    sums = np.cumsum(padded)
    means: Int64s = (sums[width_s:] - sums[:-width_s]) // width_s
    return means


def _lag(values: Int64s, shift: int) -> Int64s:
    """First-order lag with a time constant of `2**shift` seconds."""
    lagged = np.empty_like(values)
    state = int(values[0]) << shift
    for at, value in enumerate(values.tolist()):
        state += value - (state >> shift)
        lagged[at] = state >> shift
    return lagged

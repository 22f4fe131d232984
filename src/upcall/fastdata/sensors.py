"""The 20,000 sensors of the two wings: what each measures, where it sits, how its counts are read. No truth about
faults is in here.

Numbering
    A sensor is a number from 0 to 19,999. Everything else is arithmetic on it:
    wing     = sensor // 10,000      left, right
    block    = sensor // 1,000       20 blocks: a span-wise section of a wing, and the unit of transport (one frame)
    group    = sensor // 50          400 groups: 50 neighbours of one kind, side by side, sharing one physical driver

    The 20 groups of a block stand in the same order in all blocks: 8 of strain, 4 of vibration, 3 of temperature, 2 of
    pressure, 1 of fuel, 2 of actuator position.

Calibration
    A sensor delivers counts of its converter, int16. `value = offset + scale * count`, in the unit of its kind, and
    neighbours of a group then read the same quantity. Scales are small integers over a power of two and offsets
    multiples of the same fraction, so that this sum is exact in float64 and in float32: no rounding, on any machine.
    Neighbours' scales differ by up to 12 % (each converter has its own), so counts are not compared, values are. A
    calibration is never perfect: what remains (a constant bias of some noise deviations, a gain off by up to a
    thousandth) is in the readings, not in here.

Position
    Wing coordinates in millimetres: `x_mm` aft of the leading edge's root, `y_mm` to the right of the aircraft's
    centre line (negative on the left wing). The plan form is a swept trapezoid of an A380's proportions (half span
    39.9 m, root chord 17.7 m, tip chord 4 m).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

SENSORS: Final = 20_000
WINGS: Final = 2
SENSORS_PER_WING: Final = SENSORS // WINGS
SENSORS_PER_BLOCK: Final = 1_000
BLOCKS: Final = SENSORS // SENSORS_PER_BLOCK
BLOCKS_PER_WING: Final = BLOCKS // WINGS
NEIGHBOURS: Final = 50
"""Sensors of a group, a sensor itself included."""
GROUPS: Final = SENSORS // NEIGHBOURS
GROUPS_PER_BLOCK: Final = SENSORS_PER_BLOCK // NEIGHBOURS

WING_LETTERS: Final = "LR"


class Kind(IntEnum):
    """What a sensor measures."""

    STRAIN = 0
    VIBRATION = 1
    TEMPERATURE = 2
    PRESSURE = 3
    FUEL = 4
    ACTUATOR = 5


@dataclass(frozen=True, slots=True)
class KindSheet:
    """The data sheet of a kind. One count is about `2**-lsb_shift` units; `zero` units stand at the middle of the
    converter's range."""

    kind: Kind
    code: str
    title: str
    unit: str
    lsb_shift: int
    zero: int
    noise_counts: int
    """Standard deviation of the noise, in counts, as the maker states it."""
    groups_per_block: int


SHEETS: Final = (
    KindSheet(Kind.STRAIN, "STR", "strain", "microstrain", 3, 0, 4, 8),
    KindSheet(Kind.VIBRATION, "VIB", "vibration", "g", 10, 0, 6, 4),
    KindSheet(Kind.TEMPERATURE, "TMP", "temperature", "degC", 7, 0, 3, 3),
    KindSheet(Kind.PRESSURE, "PRS", "pressure", "hPa", 5, 512, 3, 2),
    KindSheet(Kind.FUEL, "FUL", "fuel level", "mm", 4, 1024, 4, 1),
    KindSheet(Kind.ACTUATOR, "ACT", "actuator position", "deg", 9, 0, 3, 2),
)
"""In the order in which the groups of a block stand."""

assert sum(sheet.groups_per_block for sheet in SHEETS) == GROUPS_PER_BLOCK
assert all(sheet.kind == place for place, sheet in enumerate(SHEETS))

GAIN_UNIT: Final = 128
"""A sensor's scale is `gain / GAIN_UNIT` counts of its kind; gains run from 113 to 143."""

_GROUP_KINDS: Final = tuple(sheet.kind for sheet in SHEETS for _ in range(sheet.groups_per_block))

# Plan form of a wing, millimetres.
_ROOT_Y_MM, _TIP_Y_MM = 3_600, 39_900
_ROOT_CHORD_MM, _TIP_CHORD_MM = 17_700, 4_000
_SWEEP_PER_MILLE = 700  # the leading edge runs aft by 0.7 mm for each mm outward (35 degrees)
# A block's 20 groups stand 4 along the span by 5 along the chord; a group's 50 sensors 10 along the span by 5 along
# the chord.
_GROUPS_SPAN, _GROUPS_CHORD = 4, 5
_SENSORS_SPAN, _SENSORS_CHORD = 10, 5


@dataclass(frozen=True, slots=True, eq=False)
class SensorTable:
    """All sensors, as arrays by sensor number."""

    kind: npt.NDArray[np.int8]
    gain: npt.NDArray[np.int32]
    """scale = gain / GAIN_UNIT * 2**-lsb_shift"""
    zero_counts: npt.NDArray[np.int32]
    """The count that stands for `zero` units."""
    scale: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    noise_counts: npt.NDArray[np.int16]
    noise_units: npt.NDArray[np.float64]
    """The stated noise in units: `noise_counts * scale`, the sigma by which a detector measures."""
    x_mm: npt.NDArray[np.int32]
    y_mm: npt.NDArray[np.int32]

    def block(self, block: int) -> slice:
        """The sensors of a block, in the order of a frame's columns."""
        return block_slice(block)


def block_slice(block: int) -> slice:
    if not 0 <= block < BLOCKS:
        raise ValueError(f"block {block}: blocks are numbered 0 to {BLOCKS - 1}")
    return slice(block * SENSORS_PER_BLOCK, (block + 1) * SENSORS_PER_BLOCK)


def block_of(sensor: int) -> int:
    return sensor // SENSORS_PER_BLOCK


def group_of(sensor: int) -> int:
    return sensor // NEIGHBOURS


def neighbours(sensor: int) -> range:
    """The sensors of its group, itself included."""
    first = group_of(sensor) * NEIGHBOURS
    return range(first, first + NEIGHBOURS)


def kind_of(sensor: int) -> Kind:
    return _GROUP_KINDS[group_of(sensor) % GROUPS_PER_BLOCK]


def kind_slices() -> tuple[tuple[Kind, slice], ...]:
    """Where each kind's sensors stand among the columns of a block: the same in all blocks."""
    slices = []
    column = 0
    for sheet in SHEETS:
        width = sheet.groups_per_block * NEIGHBOURS
        slices.append((sheet.kind, slice(column, column + width)))
        column += width
    return tuple(slices)


def name(sensor: int) -> str:
    """`L03-STR-05-17`: left wing, its fourth block from the root, strain, group 5 of the block, sensor 17 of the
    group."""
    if not 0 <= sensor < SENSORS:
        raise ValueError(f"sensor {sensor}: sensors are numbered 0 to {SENSORS - 1}")
    wing, in_wing = divmod(sensor, SENSORS_PER_WING)
    block, in_block = divmod(in_wing, SENSORS_PER_BLOCK)
    group, place = divmod(in_block, NEIGHBOURS)
    return f"{WING_LETTERS[wing]}{block:02d}-{SHEETS[_GROUP_KINDS[group]].code}-{group:02d}-{place:02d}"


def number(sensor_name: str) -> int:
    """The sensor of that name; one clear error for what is none."""
    try:
        wing_block, _code, group, place = sensor_name.split("-")
        sensor = (
            WING_LETTERS.index(wing_block[0]) * SENSORS_PER_WING
            + int(wing_block[1:]) * SENSORS_PER_BLOCK
            + int(group) * NEIGHBOURS
            + int(place)
        )
        if name(sensor) == sensor_name:
            return sensor
    except (ValueError, IndexError):
        pass
    raise ValueError(f"no sensor {sensor_name!r}: names are like {name(3_267)}")


def build_table() -> SensorTable:
    """The table, from integers alone."""
    sensor = np.arange(SENSORS, dtype=np.int64)
    group = sensor // NEIGHBOURS
    kind = np.array(_GROUP_KINDS, np.int64)[group % GROUPS_PER_BLOCK]
    lsb_shift = np.array([sheet.lsb_shift for sheet in SHEETS], np.int64)[kind]
    zero = np.array([sheet.zero for sheet in SHEETS], np.int64)[kind]
    noise_counts = np.array([sheet.noise_counts for sheet in SHEETS], np.int16)[kind]
    # The spread of the converters: fixed by the airframe, the same in every run. Weyl sequences: well spread, integer,
    # without a seed.
    gain = 113 + (sensor * 40_503 >> 4) % 31
    zero_counts = (sensor * 48_271 >> 3) % 1_024 - 512
    # offset + scale * count = zero + scale * (count - zero_counts), all over 2**(lsb_shift + 7): exact
    fraction = np.left_shift(np.int64(GAIN_UNIT), lsb_shift)
    scale = gain / fraction
    offset = (zero * fraction - gain * zero_counts) / fraction
    x_mm, y_mm = _positions(sensor)
    return SensorTable(
        kind=kind.astype(np.int8),
        gain=gain.astype(np.int32),
        zero_counts=zero_counts.astype(np.int32),
        scale=scale,
        offset=offset,
        noise_counts=noise_counts,
        noise_units=noise_counts * scale,
        x_mm=x_mm.astype(np.int32),
        y_mm=y_mm.astype(np.int32),
    )


def _positions(sensor: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    wing, in_wing = np.divmod(sensor, SENSORS_PER_WING)
    block, in_block = np.divmod(in_wing, SENSORS_PER_BLOCK)
    group, place = np.divmod(in_block, NEIGHBOURS)
    group_chord, group_span = np.divmod(group, _GROUPS_SPAN)
    place_chord, place_span = np.divmod(place, _SENSORS_SPAN)
    rows = BLOCKS_PER_WING * _GROUPS_SPAN * _SENSORS_SPAN  # along the span
    columns = _GROUPS_CHORD * _SENSORS_CHORD  # along the chord
    row = (block * _GROUPS_SPAN + group_span) * _SENSORS_SPAN + place_span
    column = group_chord * _SENSORS_CHORD + place_chord
    outward = (_TIP_Y_MM - _ROOT_Y_MM) * (2 * row + 1) // (2 * rows)
    chord = _ROOT_CHORD_MM - (_ROOT_CHORD_MM - _TIP_CHORD_MM) * outward // (_TIP_Y_MM - _ROOT_Y_MM)
    x_mm = outward * _SWEEP_PER_MILLE // 1000 + chord * (2 * column + 1) // (2 * columns)
    y_mm = (_ROOT_Y_MM + outward) * (2 * wing - 1)
    return x_mm, y_mm


TABLE: Final = build_table()
"""The sensors of the aircraft; made once, read by all."""
for _array in (
    TABLE.kind,
    TABLE.gain,
    TABLE.zero_counts,
    TABLE.scale,
    TABLE.offset,
    TABLE.noise_counts,
    TABLE.noise_units,
    TABLE.x_mm,
    TABLE.y_mm,
):
    _array.setflags(write=False)

"""Labelled faults: which sensor goes wrong how, from when to when, by how much. Drawn from the seed; never seen by a
detector.

The plan divides a run into slots of equal length; each slot begins one fault. All of it is drawn by hashing the slot's
number, so the faults of any second are found without going through those before. Sensors follow a full cycle over all
that fly, with a stride that shares no factor with their number: no sensor is faulty twice at a time, and faults
spread over both wings and all kinds of sensors.

    kind    what it does to the counts                            lasts            magnitude
    step    adds a constant                                       20 to 60 s       4 to 9 sigma, either sign
    spike   adds to one single reading                            one sample       12 to 24 sigma, either sign
    stuck   repeats the count of its first sample                 20 to 60 s       none
    noise   multiplies the deviation of the noise                 20 to 60 s       3 to 6 times
    drift   adds a ramp that reaches its magnitude at the end     90 to 240 s      8 to 20 sigma, either sign

Sigma is the noise that the sensor's data sheet states. Each run of five slots holds all five kinds, in a drawn order
in which drift is never the first: a drift takes a minute to be seen, and the first fault of a run is there to be found
soon. At most 0.5 % of the flying sensors are faulty at once: slots are as long as that takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import permutations
from math import gcd
from typing import Final

from upcall.fastdata import sensors
from upcall.fastdata.hashing import Stream, word
from upcall.fastdata.runs import Run


class FaultKind(StrEnum):
    STEP = "step"
    SPIKE = "spike"
    STUCK = "stuck"
    NOISE = "noise"
    DRIFT = "drift"


KINDS: Final = tuple(FaultKind)
SLOT_S: Final = {"steady": 6, "dense": 3}
"""Seconds from one fault's begin to the next one's, for each plan, before the bound below."""
FAULTY_ONE_IN: Final = 200
"""At most one flying sensor in so many is faulty at once (0.5 %)."""
FIRST_BEGIN_S: Final = (6, 14)
"""The first fault of a run begins between these seconds: a detector needs some seconds of health before it, and nobody
waits for long."""
DURATION_S: Final = {
    FaultKind.STEP: (20, 60),
    FaultKind.STUCK: (20, 60),
    FaultKind.NOISE: (20, 60),
    FaultKind.DRIFT: (90, 240),
}
DURATION_MAX_S: Final = 240
MAGNITUDE: Final = {
    FaultKind.STEP: (4, 9),
    FaultKind.SPIKE: (12, 24),
    FaultKind.STUCK: (0, 0),
    FaultKind.NOISE: (3, 6),
    FaultKind.DRIFT: (8, 20),
}
_SIGNED: Final = (FaultKind.STEP, FaultKind.SPIKE, FaultKind.DRIFT)
_ORDERS: Final = tuple(order for order in permutations(KINDS) if order[0] is not FaultKind.DRIFT)


@dataclass(frozen=True, slots=True)
class Fault:
    """A label. Samples are numbers of the run; `end_sample` is the first one that is healthy again."""

    sensor: int
    kind: FaultKind
    begin_sample: int
    end_sample: int
    magnitude_sigma: int
    """For `noise` the factor of the deviation; for `stuck` 0."""
    slot: int

    @property
    def magnitude_counts(self) -> int:
        """What is added at its greatest, for the kinds that add."""
        return self.magnitude_sigma * int(sensors.TABLE.noise_counts[self.sensor])

    @property
    def block(self) -> int:
        return sensors.block_of(self.sensor)

    def touches(self, first_sample: int, samples: int) -> bool:
        return self.begin_sample < first_sample + samples and first_sample < self.end_sample


def slot_s(run: Run) -> int:
    """Length of a slot: the plan's, or longer where few sensors fly."""
    faulty_max = run.sensors // FAULTY_ONE_IN
    # Faults that begin within the longest duration may all last on: at most `duration // slot + 2` touch one instant.
    least_s = -(-DURATION_MAX_S // max(1, faulty_max - 2))
    return max(SLOT_S[run.faults], least_s)


def fault_of_slot(run: Run, slot: int) -> Fault:
    """The fault that begins in a slot (0, 1, ...)."""
    drawn = _Drawn(word(run.seed, Stream.FAULT, 2 * slot), word(run.seed, Stream.FAULT, 2 * slot + 1))
    order = _ORDERS[word(run.seed, Stream.FAULT, 2**32 + slot // len(KINDS)) % len(_ORDERS)]
    kind = order[slot % len(KINDS)]
    rate = run.rate_hz
    first, last = FIRST_BEGIN_S if slot == 0 else (0, slot_s(run))
    begin = (_slot_start_s(run, slot) + first) * rate + drawn.below((last - first) * rate)
    if kind is FaultKind.SPIKE:
        length = 1
    else:
        least_s, most_s = DURATION_S[kind]
        length = least_s * rate + drawn.below((most_s - least_s) * rate)
    least, most = MAGNITUDE[kind]
    magnitude = least + drawn.below(most - least + 1)
    if kind in _SIGNED and drawn.below(2):
        magnitude = -magnitude
    return Fault(_sensor_of_slot(run, slot), kind, begin, begin + length, magnitude, slot)


def schedule(run: Run, first_second: int = 0, seconds: int | None = None) -> list[Fault]:
    """All faults that touch these seconds of the run (by default the whole of it), by begin."""
    end = run.seconds if seconds is None else min(run.seconds, first_second + seconds)
    if run.faults == "none" or end <= first_second:
        return []
    faults = (fault_of_slot(run, slot) for slot in _slots_touching(run, first_second, end))
    touching = [each for each in faults if each.touches(first_second * run.rate_hz, (end - first_second) * run.rate_hz)]
    return sorted(touching, key=lambda each: (each.begin_sample, each.sensor))


@lru_cache(maxsize=64)
def faults_in_second(run: Run, second: int) -> dict[int, tuple[Fault, ...]]:
    """Faults that touch one second, by block; the same second is asked for by each of its blocks and frames."""
    by_block: dict[int, list[Fault]] = {}
    for fault in schedule(run, second, 1):
        by_block.setdefault(fault.block, []).append(fault)
    return {block: tuple(faults) for block, faults in by_block.items()}


class _Drawn:
    """Draws small numbers out of two words, a few bits at a time."""

    def __init__(self, *parts: int) -> None:
        self._left = sum(part << (64 * place) for place, part in enumerate(parts))

    def below(self, bound: int) -> int:
        self._left, drawn = divmod(self._left, max(1, bound))
        return drawn


def _slot_start_s(run: Run, slot: int) -> int:
    """Slot 0 lasts until the first fault has surely begun; the others follow with equal length."""
    return 0 if slot == 0 else FIRST_BEGIN_S[1] + (slot - 1) * slot_s(run)


def _slots_touching(run: Run, first_second: int, end_second: int) -> range:
    """Slots whose fault may touch these seconds."""
    length = slot_s(run)
    earliest = (first_second - DURATION_MAX_S - FIRST_BEGIN_S[1]) // length
    latest = (end_second - FIRST_BEGIN_S[1]) // length + 2
    return range(max(0, earliest), max(1, latest))


def _sensor_of_slot(run: Run, slot: int) -> int:
    """A full cycle over the sensors that fly."""
    flying = run.sensors
    stride = word(run.seed, Stream.FAULT, 2**33) % flying
    while gcd(stride, flying) != 1:
        stride += 1
    start = word(run.seed, Stream.FAULT, 2**33 + 1) % flying
    place = (start + slot * stride) % flying
    block, column = divmod(place, sensors.SENSORS_PER_BLOCK)
    return run.block_numbers[block] * sensors.SENSORS_PER_BLOCK + column

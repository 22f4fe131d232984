"""Chance without a state: numbers drawn by hashing a counter.

A stateful generator must be run from its beginning; a hash of (seed, what for, number) can be asked for any reading at
any time, in any order, on any machine, and answers the same 64 bits. All of it is multiplication, shift and exclusive
or of 64-bit words, wrapping around.

`word` and `words` are Steele, Lea and Flood's SplitMix64 finaliser over a Weyl sequence. `noise_words` is made for
speed: one key for each sample and one for each four sensors, mixed by two rounds, so that a reading costs a quarter of
a word.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

_MASK: Final = 2**64 - 1
_WEYL: Final = 0x9E3779B97F4A7C15
_M1: Final = 0xBF58476D1CE4E5B9
_M2: Final = 0x94D049BB133111EB
_S30, _S27, _S31, _S32 = (np.uint64(shift) for shift in (30, 27, 31, 32))
_U_WEYL, _U_M1, _U_M2 = np.uint64(_WEYL), np.uint64(_M1), np.uint64(_M2)


class Stream(IntEnum):
    """What a number is drawn for. Streams of the same seed are independent; a stream's number is never given to
    another."""

    SAMPLE_KEY = 1
    SENSOR_KEY = 2
    GUST = 3
    WEATHER = 4
    AIRFRAME = 5
    BIAS = 6
    GAIN_ERROR = 7
    FAULT = 8


def word(seed: int, stream: Stream, number: int) -> int:
    """One 64-bit word, as a Python integer."""
    z = (_base(seed, stream) + (number + 1) * _WEYL) & _MASK
    z = ((z ^ (z >> 30)) * _M1) & _MASK
    z = ((z ^ (z >> 27)) * _M2) & _MASK
    return z ^ (z >> 31)


def words(seed: int, stream: Stream, numbers: npt.NDArray[np.int64]) -> Words:
    """`word` for each of `numbers` (not negative)."""
    z = numbers.astype(np.uint64)
    z += np.uint64(1)
    z *= _U_WEYL
    z += np.uint64(_base(seed, stream))
    z ^= z >> _S30
    z *= _U_M1
    z ^= z >> _S27
    z *= _U_M2
    z ^= z >> _S31
    return z


def noise_words(sample_keys: Words, sensor_keys: Words) -> Words:
    """`[samples, keys]` words; each holds 16 bits for each of four neighbouring sensors, lowest first."""
    z = sample_keys[:, None] ^ sensor_keys[None, :]
    z *= _U_M1
    z ^= z >> _S32
    z *= _U_M2
    z ^= z >> _S32
    return z


def _base(seed: int, stream: Stream) -> int:
    """Where a stream begins: far from all others, since neither seeds nor streams are spread themselves."""
    z = (seed * 0xD1342543DE82EF95 + stream * 0x2545F4914F6CDD1D + _WEYL) & _MASK
    z = ((z ^ (z >> 32)) * _M2) & _MASK
    z = ((z ^ (z >> 29)) * _M1) & _MASK
    return z ^ (z >> 32)

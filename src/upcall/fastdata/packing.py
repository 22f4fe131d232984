"""How a block of converter counts becomes few bytes, without losing a bit.

Counts of one sensor change little from one sample to the next, and what changes is mostly noise of a few counts. So
the default packing takes the difference in time (each sensor's first count stays whole), folds the sign into the
lowest bit (0, -1, 1, -2 -> 0, 1, 2, 3), so that a small difference of either sign has a high byte of zero, and lays
all low bytes before all high bytes: one half of the data is then nearly constant, the other is noise of a few bits.
zstd at level 1 takes the first away and codes the second by its entropy.

Differences wrap around at 16 bits, as the sums do when they are undone: every int16 array comes back bit by bit, also
one that jumps from end to end. All arrays are little-endian on the wire, `[samples, sensors]`, samples outermost.
"""

from __future__ import annotations

import threading
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt
import zstandard

Counts = npt.NDArray[np.int16]

ZSTD_LEVEL: Final = 1
"""Level 1: higher levels were found to pack modelled counts less than 3 % smaller at several times the CPU."""


class Packing(IntEnum):
    """The packings of a frame; the number stands on the wire and is never given to another packing."""

    RAW = 0
    ZSTD = 1
    DELTA_SHUFFLE_ZSTD = 2


DEFAULT_PACKING: Final = Packing.DELTA_SHUFFLE_ZSTD


class UnpackError(ValueError):
    """The packed bytes do not hold what their header promises."""


class _Codecs(threading.local):
    """zstd contexts are expensive to make and must not be shared by threads: one pair for each."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=False, write_content_size=True)
        self.decompressor = zstandard.ZstdDecompressor()


_codecs = _Codecs()


def pack(counts: Counts, packing: Packing = DEFAULT_PACKING) -> bytes:
    """The bytes of `counts` (`[samples, sensors]`, at least one of each)."""
    if counts.dtype != np.int16 or counts.ndim != 2 or counts.size == 0:
        raise ValueError(f"cannot pack {counts.dtype} of shape {counts.shape}: int16 [samples, sensors] is packed")
    if packing is Packing.RAW:
        return counts.astype("<i2", copy=False).tobytes()
    if packing is Packing.ZSTD:
        return _codecs.compressor.compress(np.ascontiguousarray(counts, dtype="<i2").data)
    return _codecs.compressor.compress(_shuffle(counts).data)


def unpack(data: bytes | memoryview, packing: Packing, samples: int, sensors: int) -> Counts:
    """The counts that `pack` was given. Never yields more than `samples * sensors` of them, whatever `data` claims."""
    n_bytes = samples * sensors * 2
    if packing is Packing.RAW:
        plain: bytes | memoryview = data
    else:
        plain = _decompress(data, n_bytes)
    if len(plain) != n_bytes:
        raise UnpackError(f"{len(plain)} bytes of counts, {n_bytes} expected for {samples} x {sensors}")
    if packing is Packing.DELTA_SHUFFLE_ZSTD:
        return _unshuffle(np.frombuffer(plain, np.uint8), samples, sensors)
    return np.frombuffer(plain, "<i2").reshape(samples, sensors).astype(np.int16, copy=False)


def _decompress(data: bytes | memoryview, n_bytes: int) -> bytes:
    try:
        claimed = zstandard.frame_content_size(data)
        if claimed != n_bytes:  # looked at first: a few hostile bytes must not allocate gigabytes
            raise UnpackError(f"packed data claims {claimed} bytes of counts, {n_bytes} expected")
        return _codecs.decompressor.decompress(data, max_output_size=n_bytes)
    except zstandard.ZstdError as error:
        raise UnpackError(f"packed data cannot be decompressed: {error}") from error


def _shuffle(counts: Counts) -> npt.NDArray[np.uint8]:
    """Difference in time, sign folded, low bytes before high bytes."""
    deltas = np.empty(counts.shape, np.int16)
    deltas[0] = counts[0]
    np.subtract(counts[1:], counts[:-1], out=deltas[1:])  # wraps at 16 bits
    signs = deltas >> 15
    np.left_shift(deltas, 1, out=deltas)
    np.bitwise_xor(deltas, signs, out=deltas)
    folded = deltas.view(np.uint16)
    planes = np.empty((2, counts.size), np.uint8)
    flat = folded.reshape(-1)
    planes[0] = flat  # truncates: the low byte
    np.right_shift(flat, 8, out=planes[1], casting="unsafe")
    return planes


def _unshuffle(planes: npt.NDArray[np.uint8], samples: int, sensors: int) -> Counts:
    size = samples * sensors
    folded = planes[size:].astype(np.uint16)
    np.left_shift(folded, 8, out=folded)
    np.bitwise_or(folded, planes[:size], out=folded)
    signs = (folded & np.uint16(1)).view(np.int16)
    np.negative(signs, out=signs)
    deltas = np.right_shift(folded, 1).view(np.int16)
    np.bitwise_xor(deltas, signs, out=deltas)
    counts = deltas.reshape(samples, sensors)
    np.cumsum(counts, axis=0, dtype=np.int16, out=counts)  # wraps back
    return counts

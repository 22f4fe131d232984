"""A frame: the counts of one block of sensors over a short time, as it travels from the aircraft to the store.

Columnar and packed, because one reading a message is a dead end: a broker moves hundreds of MB/s in large messages and
drowns in small ones.

A frame stays within one second of its run (second = sample // rate), so that a second is made of whole frames. It may
be a quarter of a second long, or a whole one; neighbouring sensors that are compared with each other are in one block,
so a reader needs no other frame to judge a second of a block.

    offset  size  field
    0       4     magic `UPFR`
    4       1     format version (1)
    5       1     its complement: a flipped bit in the version is damage, not a newer format
    6       1     packing (`packing.Packing`)
    7       1     length of the run's name
    8       4     block
    12      8     number of the first sample, counted from the run's start
    20      2     samples a second (rate)
    22      2     samples
    24      2     sensors
    26      4     length of the packed counts
    30      ..    the run's name (ASCII), then the packed counts
    end-4   4     CRC-32 of all bytes before

Integers are little-endian. The checksum covers the packed bytes, so a frame is verified (`inspect`) without being
unpacked.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

from upcall.fastdata.packing import DEFAULT_PACKING, Counts, Packing, UnpackError, pack, unpack

VERSION: Final = 1
MAGIC: Final = b"UPFR"
SENSORS_MAX: Final = 4_096
"""Sensors of one block: blocks of 1,000 to 2,000 were found best; the bound keeps one frame within a Kafka message."""
RATE_HZ_MAX: Final = 8_192
FRAME_BYTES_MAX: Final = 8 * 1024 * 1024
"""The largest frame anyone takes, packed."""

_HEADER: Final = struct.Struct("<4sBBBBIQHHHI")
_CHECKSUM: Final = struct.Struct("<I")


class FrameError(ValueError):
    """A frame that cannot be read; the message says what was wrong and where."""


class CorruptFrame(FrameError):
    """Damaged, cut short, or never a frame."""


class FutureFrame(FrameError):
    """Whole, as far as can be told, but of a format that is newer than this reader."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """`counts[i, j]`: sensor `j` of block `block` at sample `first_sample + i`; int16 as the converter gave it."""

    run_id: str
    block: int
    first_sample: int
    rate_hz: int
    counts: Counts

    @property
    def samples(self) -> int:
        return int(self.counts.shape[0])

    @property
    def sensors(self) -> int:
        return int(self.counts.shape[1])

    @property
    def last_sample(self) -> int:
        return self.first_sample + self.samples - 1

    @property
    def second(self) -> int:
        """The second of the run that the frame belongs to, wholly."""
        return self.first_sample // self.rate_hz


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What a frame says of itself, checked, without its counts."""

    run_id: str
    block: int
    first_sample: int
    rate_hz: int
    samples: int
    sensors: int
    packing: Packing
    packed_bytes: int

    @property
    def last_sample(self) -> int:
        return self.first_sample + self.samples - 1

    @property
    def second(self) -> int:
        return self.first_sample // self.rate_hz


def encode(frame: Frame, packing: Packing = DEFAULT_PACKING) -> bytes:
    """The bytes of a frame. A frame that no reader would take is refused here (`ValueError`), at its source."""
    run_id = frame.run_id.encode("ascii")
    if not 1 <= len(run_id) <= 255:
        raise ValueError(f"a run's name has 1 to 255 characters, {frame.run_id!r} has {len(run_id)}")
    problem = _shape_problem(frame.first_sample, frame.rate_hz, frame.samples, frame.sensors)
    if problem:
        raise ValueError(f"block {frame.block} of {frame.run_id}: {problem}")
    packed = pack(frame.counts, packing)
    header = _HEADER.pack(
        MAGIC,
        VERSION,
        VERSION ^ 0xFF,
        packing,
        len(run_id),
        frame.block,
        frame.first_sample,
        frame.rate_hz,
        frame.samples,
        frame.sensors,
        len(packed),
    )
    body = b"".join((header, run_id, packed))
    return body + _CHECKSUM.pack(zlib.crc32(body))


def inspect(data: bytes | memoryview) -> FrameHeader:
    """Verifies a frame's checksum and header, without unpacking it: what a courier needs."""
    return _inspect(memoryview(data))[0]


def decode(data: bytes | memoryview) -> Frame:
    """The frame, verified. `CorruptFrame` and `FutureFrame` say what was wrong."""
    header, packed = _inspect(memoryview(data))
    try:
        counts = unpack(packed, header.packing, header.samples, header.sensors)
    except UnpackError as error:
        raise CorruptFrame(f"{_where(header)}: {error}") from error
    return Frame(header.run_id, header.block, header.first_sample, header.rate_hz, counts)


def _inspect(view: memoryview) -> tuple[FrameHeader, memoryview]:
    if len(view) > FRAME_BYTES_MAX:
        raise CorruptFrame(f"{len(view)} bytes: a frame has at most {FRAME_BYTES_MAX}")
    if len(view) < _HEADER.size + _CHECKSUM.size:
        raise CorruptFrame(f"{len(view)} bytes: shorter than a frame's header and checksum")
    fields = _HEADER.unpack_from(view)
    (
        magic,
        version,
        complement,
        packing_code,
        name_length,
        block,
        first_sample,
        rate_hz,
        samples,
        sensors,
        packed_bytes,
    ) = fields
    if magic != MAGIC:
        raise CorruptFrame(f"begins with {bytes(magic)!r}: a frame begins with {MAGIC!r}")
    if version ^ complement != 0xFF:
        raise CorruptFrame(f"version {version} and its complement {complement} (bytes 4 and 5) do not match")
    if version > VERSION:
        # The rest of a newer format is not ours to judge, not even where its checksum stands.
        raise FutureFrame(f"format version {version} (byte 4): this reader knows versions up to {VERSION}")
    if version != VERSION:
        raise CorruptFrame(f"format version {version} (byte 4) never existed")
    length = _HEADER.size + name_length + packed_bytes + _CHECKSUM.size
    if len(view) != length:
        raise CorruptFrame(f"{len(view)} bytes where its header says {length}")
    body = view[: -_CHECKSUM.size]
    (stated,) = _CHECKSUM.unpack_from(view, len(body))
    computed = zlib.crc32(body)
    if stated != computed:
        raise CorruptFrame(f"checksum {stated:08x} stated, {computed:08x} computed over {len(body)} bytes")
    # From here on the bytes are those that were written; what is wrong now was written wrongly.
    try:
        run_id = bytes(view[_HEADER.size : _HEADER.size + name_length]).decode("ascii")
        packing = Packing(packing_code)
    except ValueError as error:
        raise CorruptFrame(f"header of block {block}: {error}") from error
    header = FrameHeader(run_id, block, first_sample, rate_hz, samples, sensors, packing, packed_bytes)
    problem = _shape_problem(first_sample, rate_hz, samples, sensors) or ("" if run_id else "a run without a name")
    if problem:
        raise CorruptFrame(f"{_where(header)}: {problem}")
    return header, view[_HEADER.size + name_length : -_CHECKSUM.size]


def _shape_problem(first_sample: int, rate_hz: int, samples: int, sensors: int) -> str:
    """What no frame may be; empty when all is well."""
    if not 1 <= rate_hz <= RATE_HZ_MAX:
        return f"a rate of {rate_hz} Hz: 1 to {RATE_HZ_MAX} are possible"
    if not 1 <= sensors <= SENSORS_MAX:
        return f"{sensors} sensors: 1 to {SENSORS_MAX} are possible"
    if samples < 1:
        return "no samples"
    if first_sample < 0:
        return f"first sample {first_sample}: samples are counted from 0"
    if first_sample // rate_hz != (first_sample + samples - 1) // rate_hz:
        return f"samples {first_sample} to {first_sample + samples - 1} cross a second of {rate_hz} Hz"
    return ""


def _where(header: FrameHeader) -> str:
    return f"frame of run {header.run_id!r}, block {header.block}, first sample {header.first_sample}"

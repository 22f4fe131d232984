"""A stretch of a partition's log as bytes: columns, so that no record is an object of its own.

4 bytes                   how many records
8 bytes each              offsets
8 bytes each              timestamps, in ms; -1: none
4 bytes each, three times how long keys, values and headers are; -1: there is none
the rest                  all keys, all values, all headers, one after the other
"""

import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

COUNT: Final = struct.Struct("<I")
Headers = list[tuple[str, bytes | None]]


class Record(NamedTuple):
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers | None


@dataclass
class Stretch:
    """Records of one partition, in their order."""

    offsets: list[int] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)
    headers: list[bytes | None] = field(default_factory=list)
    size: int = 0

    def add(
        self, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None, headers: Headers | None
    ) -> None:
        packed = msgspec.msgpack.encode(headers) if headers else None
        self.offsets.append(offset)
        self.timestamps.append(timestamp_ms)
        self.keys.append(key)
        self.values.append(value)
        self.headers.append(packed)
        self.size += 28 + len(key or b"") + len(value or b"") + len(packed or b"")

    def __len__(self) -> int:
        return len(self.offsets)


def packed(stretch: Stretch) -> bytes:
    columns = (stretch.keys, stretch.values, stretch.headers)
    lengths = [array("i", [-1 if each is None else len(each) for each in column]) for column in columns]
    numbers = (array("q", stretch.offsets), array("q", stretch.timestamps), *lengths)
    joined = [b"".join([each for each in column if each]) for column in columns]
    return b"".join((COUNT.pack(len(stretch)), *(_little(one).tobytes() for one in numbers), *joined))


def offsets_of(data: bytes) -> "array[int]":
    """Without looking at the records."""
    (count,) = COUNT.unpack_from(data)
    return _column("q", data, COUNT.size, count)


def before(data: bytes, offset: int) -> int:
    """How many of its records have a smaller offset."""
    return bisect_left(offsets_of(data), offset)


def unpacked(data: bytes, skip: int = 0) -> Iterator[Record]:
    """The records, but for the first ``skip``."""
    (count,) = COUNT.unpack_from(data)
    at = COUNT.size
    numbers = []
    for kind in ("q", "q", "i", "i", "i"):
        column = _column(kind, data, at, count)
        numbers.append(column)
        at += column.itemsize * count
    offsets, timestamps, *lengths = numbers
    columns = []
    for column in lengths:
        columns.append(_cut(data, at, column))
        at += sum(length for length in column if length > 0)
    for number, (key, value, headers) in enumerate(zip(*columns, strict=True)):
        if number >= skip:
            known = msgspec.msgpack.decode(headers, type=Headers) if headers else None
            yield Record(offsets[number], timestamps[number], key, value, known)


def _cut(data: bytes, at: int, lengths: "array[int]") -> Iterator[bytes | None]:
    for length in lengths:
        if length < 0:
            yield None
        else:
            yield data[at : at + length]
            at += length


def _column(kind: str, data: bytes, at: int, count: int) -> "array[int]":
    column: array[int] = array(kind)
    column.frombytes(data[at : at + column.itemsize * count])
    return _little(column)


def _little(column: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        column.byteswap()
    return column

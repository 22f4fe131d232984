"""Who wrote what stands in a partition's log, as its files say: what brokers go by to take nothing twice.

A producer that is idempotent has a number and an epoch from the brokers and counts its records in each partition. What
comes again with the same three is known, and not appended. So the same three at two offsets are the brokers' fault; the
same record from another epoch or another producer was sent anew by its client, for which brokers have no name.
"""

import struct
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

HEADER: Final = struct.Struct(">qiibIhiqqqhii")
"""Of a batch, as Kafka's format 2 has it."""
FRAME_BYTES: Final = 12
"""The first offset and the length, which the length does not count."""
CONTROL: Final = 0x20
"""Of a batch's attributes: it holds the end of a transaction, and no records."""


class Origin(NamedTuple):
    producer: int
    epoch: int
    sequence: int


def origins(replica: Path) -> dict[int, Origin]:
    """Offset -> who wrote it, of one partition's folder."""
    found: dict[int, Origin] = {}
    for segment in sorted(replica.glob("*.log")):
        data, at = segment.read_bytes(), 0
        while at + HEADER.size <= len(data):
            head = HEADER.unpack_from(data, at)
            first, length, attributes, last = head[0], head[1], head[5], head[6]
            producer, epoch, sequence = head[9:12]
            if length <= 0:  # What is allotted and not written.
                break
            if not attributes & CONTROL:
                found |= {first + one: Origin(producer, epoch, sequence + one) for one in range(last + 1)}
            at += FRAME_BYTES + length
    return found


def taken_twice(found: dict[int, Origin]) -> list[Origin]:
    """What brokers appended although they had it."""
    return [origin for origin, times in Counter(found.values()).items() if times > 1 and origin.producer >= 0]

"""How far the log was read, so that nothing is lost and nothing counts twice, whatever is killed.

The truth stands in the store, beside the seconds themselves, and nowhere else. With each micro-batch, after its seconds
and episodes are stored, one row for each partition says

    resume_offset   the first message that is in no stored second and not put aside: where to read on
    read_until      the first message not read: up to here, messages have been counted

A restart reads on at `resume_offset`. The seconds between that were stored already are known by their blocks' rows and
passed over; the open ones are put together again from the log. So Spark's checkpoint, on the volume of one node, is of
no consequence: it is made anew with each start, and may be lost with its node at any time.

What is open for long (an aircraft is out of reach, or its run has ended in the middle of a second) would hold the
position until retention overtakes it, so its packed frames are put aside in the table `pending`, and the position moves
on. A restart takes them up again. In the usual case, a second that is split over two micro-batches, nothing is written:
the log itself keeps the frames.

The log may disagree. If it begins after our position, retention has overtaken us: what is missing is lost, counted, and
said. If it ends before, it is another log (the topic was made anew), and it is read from its beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from upcall.fastdata.windows import Tally

GROUP: Final = "upcall-windows"
"""Where the position is shown in Kafka, for lag and for retention: a consumer group without members."""


@dataclass(frozen=True, slots=True)
class Position:
    """Of one partition. The counts are of all messages before `read_until`, each once."""

    partition: int
    resume_offset: int = 0
    read_until: int = 0
    frames: int = 0
    packed_bytes: int = 0
    readings: int = 0
    corrupt: int = 0
    future: int = 0
    behind: int = 0
    short: int = 0

    def advanced(self, tally: Tally, needed: Iterable[int]) -> Position:
        """After a micro-batch: `needed` are the offsets of frames that only the log still has."""
        assert tally.partition == self.partition
        next_offset = max(self.read_until, tally.next_offset)
        resume = min([next_offset, *needed])
        assert resume >= self.resume_offset, "a position never goes back"
        return Position(
            partition=self.partition,
            resume_offset=resume,
            read_until=next_offset,
            frames=self.frames + tally.frames,
            packed_bytes=self.packed_bytes + tally.packed_bytes,
            readings=self.readings + tally.readings,
            corrupt=self.corrupt + tally.corrupt,
            future=self.future + tally.future,
            behind=self.behind + tally.behind,
            short=self.short + tally.short,
        )


@dataclass(frozen=True, slots=True)
class Start:
    """Where to begin, and what was found amiss."""

    positions: Mapping[int, Position]
    lost: Mapping[int, int]
    """Messages by partition that retention took before they were read."""
    restarted: tuple[int, ...]
    """Partitions of a log that was made anew."""


def start(stored: Iterable[Position], log: Mapping[int, tuple[int, int]]) -> Start:
    """`log`: the first and the next offset of each partition, as the log has them."""
    known = {position.partition: position for position in stored}
    positions: dict[int, Position] = {}
    lost: dict[int, int] = {}
    restarted = []
    for partition, (low, high) in log.items():
        position = known.get(partition, Position(partition, resume_offset=low, read_until=low))
        if position.resume_offset > high or position.read_until > high:
            restarted.append(partition)
            position = replace(position, resume_offset=low, read_until=low)
        elif position.resume_offset < low:
            lost[partition] = max(0, low - position.read_until)
            position = replace(position, resume_offset=low, read_until=max(low, position.read_until))
        positions[partition] = position
    return Start(positions, lost, tuple(restarted))

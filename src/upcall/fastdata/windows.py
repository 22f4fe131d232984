"""From frames to seconds: what is stored of each sensor at 1 Hz, and how a second is put together, once and only once.

Statistics
    A second of a block becomes mean, least, greatest and deviation of each sensor, as float32. They are computed from
    *integer* sums of the counts and converted once, by operations that IEEE 754 rounds correctly (add, multiply,
    divide, square root), so the same counts give the same bits on every machine and in any order of summation. Whoever
    can compute a reading again can tell what must be in the store, bit by bit.

Completeness
    Frames of a block stand in the log in the order of their samples, apart from repeats after a producer's crash. A
    second is complete when each of its samples was seen; then, and only then, it becomes a window. Samples that were
    seen before are put where they already are, so a repeat changes nothing. When a frame of a *later* second of the
    same block comes first, what is missing will not come any more (the aircraft had to drop it): the second is closed
    short, and its count says so.

Stateless
    What is incomplete at the end of a micro-batch is handed back as packed frames (`OpenSecond`) and handed in again
    with the next one. Nothing else is remembered, and nothing of it must survive: the log itself still has these
    frames, because the reader's position (`position.py`) never passes the first frame of a second that is not stored.
    A second that was stored is never touched again: frames at or before `stored_until` of their block are behind, and
    only counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from upcall.fastdata.frames import Frame, FrameError, FutureFrame, decode
from upcall.fastdata.sensors import BLOCKS, SENSORS_PER_BLOCK, TABLE, block_slice

Float32s = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int16]
BlockKey = tuple[str, int]
"""(run, block)"""

STATISTICS: Final = ("mean", "least", "greatest", "deviation")
"""The rows of a window's values, in this order."""
PASSED_BY_MAX: Final = 40
"""An open second is closed when its partition meanwhile yielded so many windows of *another* run: its own has ended,
in the middle of a second, and must not hold the position for ever. With five blocks to a partition this takes 8 s."""
REFUSED_KEPT_MAX: Final = 16
"""Refused frames of a partition and micro-batch that are set aside with their bytes; all are counted."""
REFUSED_BYTES_MAX: Final = 4_096
"""What is kept of a refused frame: its beginning tells what it was."""


def statistics(counts: Counts, block: int) -> Float32s:
    """`[4, sensors]`: mean, least, greatest and deviation (of the population) in each sensor's unit."""
    samples = counts.shape[0]
    assert counts.dtype == np.int16
    assert 1 <= samples <= 8_192, "more samples would overflow the integer sums"
    sensors = block_slice(block)
    scale, offset = TABLE.scale[sensors], TABLE.offset[sensors]
    total = counts.sum(axis=0, dtype=np.int64)
    wide = counts.astype(np.int32)
    squares = np.multiply(wide, wide, out=wide).sum(axis=0, dtype=np.int64)  # a square of int16 fits int32
    variation = samples * squares - total * total  # exact: below 2**56
    values = np.empty((len(STATISTICS), counts.shape[1]), np.float32)
    values[0] = offset + scale * total / samples
    values[1] = offset + scale * counts.min(axis=0)
    values[2] = offset + scale * counts.max(axis=0)
    values[3] = scale * np.sqrt(variation.astype(np.float64)) / samples
    return values


@dataclass(frozen=True, slots=True)
class Window:
    """A second of a block, final: the unit of what is stored."""

    run_id: str
    block: int
    second: int
    rate_hz: int
    count: int
    """Samples seen; `rate_hz` unless some were lost on the way."""
    first_sample: int
    last_sample: int
    partition: int
    first_offset: int
    last_offset: int
    """Where its frames stand in the log."""
    values: bytes
    """`statistics`, float32, row after row."""
    scores: bytes
    """What the per-second tests say of each sensor; see `detect.tests`."""

    @property
    def key(self) -> BlockKey:
        return (self.run_id, self.block)

    @property
    def is_whole(self) -> bool:
        return self.count == self.rate_hz


@dataclass(frozen=True, slots=True)
class OpenSecond:
    """An incomplete second of a block, as the packed frames seen so far."""

    run_id: str
    block: int
    second: int
    partition: int
    frames: tuple[tuple[int, bytes], ...]
    """(offset, frame)"""
    passed_by: int = 0

    @property
    def first_offset(self) -> int:
        return min(offset for offset, _ in self.frames)


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that is no frame of ours: set aside, with the reason."""

    partition: int
    offset: int
    reason: str
    data: bytes


@dataclass(slots=True)
class Tally:
    """What a partition's part of a micro-batch held."""

    partition: int
    frames: int = 0
    packed_bytes: int = 0
    readings: int = 0
    corrupt: int = 0
    future: int = 0
    behind: int = 0
    """Frames of seconds that were final already: repeats, or too late."""
    short: int = 0
    """Seconds closed with samples missing."""
    next_offset: int = -1
    """The first offset not read."""


@dataclass(slots=True, eq=False)
class _Gathering:
    """A second of a block while its frames come in."""

    second: int
    rate_hz: int
    counts: Counts | None
    """`None` until there is more than one frame."""
    seen: npt.NDArray[np.bool_]
    frames: list[tuple[int, bytes]] = field(default_factory=list)
    whole: Counts | None = None
    """The counts, when one frame held the whole second."""
    passed_by: int = 0

    def knows(self, frame: Frame) -> bool:
        """Whether the frame adds nothing: what keeps the frames of an open second bounded."""
        begin = frame.first_sample - self.second * self.rate_hz
        return bool(self.seen[begin : begin + frame.samples].all())

    def add(self, frame: Frame, offset: int, data: bytes) -> None:
        begin = frame.first_sample - self.second * self.rate_hz
        end = begin + frame.samples
        self.frames.append((offset, data))
        self.passed_by = 0
        self.seen[begin:end] = True
        if frame.samples == self.rate_hz:
            self.whole = frame.counts
            return
        if self.counts is None:
            self.counts = np.zeros((self.rate_hz, frame.sensors), np.int16)
        self.counts[begin:end] = frame.counts

    @property
    def is_whole(self) -> bool:
        return bool(self.seen.all())

    def samples(self) -> Counts:
        """The counts of the samples that were seen, in their order."""
        if self.whole is not None:
            return self.whole
        assert self.counts is not None, "a second is opened by its first frame"
        return self.counts if self.is_whole else self.counts[self.seen]


class Assembler:
    """Puts the seconds of one partition together: frames in, windows out, in the order of the log."""

    def __init__(
        self,
        partition: int,
        opened: Iterable[OpenSecond],
        stored_until: Mapping[BlockKey, int],
        score: Callable[[Counts, int], bytes],
        count_from: int = 0,
    ) -> None:
        """`stored_until`: the last second of each block that is final; `count_from`: messages before this offset were
        counted by an earlier reader."""
        self.tally = Tally(partition)
        self.refused: list[Refused] = []
        self._partition = partition
        self._until = dict(stored_until)
        self._score = score
        self._count_from = count_from
        self._open: dict[BlockKey, _Gathering] = {}
        for second in opened:
            for offset, data in second.frames:
                self._gather(decode(data), offset, data)
            self._open[second.run_id, second.block].passed_by = second.passed_by

    def add(self, offset: int, data: bytes) -> Iterator[Window]:
        """Takes one message of the log; yields the seconds that it made final."""
        self.tally.next_offset = offset + 1
        tally = self.tally if offset >= self._count_from else Tally(self._partition)
        tally.frames += 1
        tally.packed_bytes += len(data)
        try:
            frame = decode(data)
            self._check(frame)
        except FrameError as error:
            if isinstance(error, FutureFrame):
                tally.future += 1
            else:
                tally.corrupt += 1
            if len(self.refused) < REFUSED_KEPT_MAX:
                self.refused.append(Refused(self._partition, offset, str(error), data[:REFUSED_BYTES_MAX]))
            return
        tally.readings += frame.counts.size
        key = (frame.run_id, frame.block)
        if frame.second <= self._until.get(key, -1):
            tally.behind += 1
            return
        gathering = self._open.get(key)
        if gathering is not None and (
            frame.second < gathering.second or (frame.second == gathering.second and gathering.knows(frame))
        ):
            tally.behind += 1
            return
        if gathering is not None and frame.second > gathering.second:
            yield self._close(key)
        gathering = self._gather(frame, offset, data)
        if gathering.is_whole:
            yield self._close(key)
            yield from self._pass_by(key)

    def still_open(self) -> list[OpenSecond]:
        """What is incomplete, to be handed in again with the next micro-batch."""
        return [
            OpenSecond(run_id, block, at.second, self._partition, tuple(at.frames), at.passed_by)
            for (run_id, block), at in self._open.items()
        ]

    def _check(self, frame: Frame) -> None:
        if frame.block >= BLOCKS:
            raise FrameError(f"block {frame.block}: this aircraft has blocks 0 to {BLOCKS - 1}")
        if frame.sensors != SENSORS_PER_BLOCK:
            raise FrameError(f"{frame.sensors} sensors in block {frame.block}: a block has {SENSORS_PER_BLOCK}")
        at = self._open.get((frame.run_id, frame.block))
        if at is not None and at.rate_hz != frame.rate_hz:
            raise FrameError(f"{frame.rate_hz} Hz in a run of {at.rate_hz} Hz, block {frame.block}")

    def _gather(self, frame: Frame, offset: int, data: bytes) -> _Gathering:
        key = (frame.run_id, frame.block)
        gathering = self._open.get(key)
        if gathering is None:
            seen = np.zeros(frame.rate_hz, np.bool_)
            gathering = self._open[key] = _Gathering(frame.second, frame.rate_hz, None, seen)
        gathering.add(frame, offset, data)
        return gathering

    def _close(self, key: BlockKey) -> Window:
        """The second becomes a window; from here on it is final."""
        run_id, block = key
        at = self._open.pop(key)
        self._until[key] = at.second
        counts = at.samples()
        seen = np.flatnonzero(at.seen)
        first = at.second * at.rate_hz
        window = Window(
            run_id,
            block,
            at.second,
            at.rate_hz,
            count=len(seen),
            first_sample=first + int(seen[0]),
            last_sample=first + int(seen[-1]),
            partition=self._partition,
            first_offset=min(offset for offset, _ in at.frames),
            last_offset=max(offset for offset, _ in at.frames),
            values=statistics(counts, block).tobytes(),
            scores=self._score(counts, block),
        )
        self.tally.short += not window.is_whole
        return window

    def _pass_by(self, key: BlockKey) -> Iterator[Window]:
        """A window of another run went by what is still open."""
        for other in [other for other in self._open if other[0] != key[0]]:
            self._open[other].passed_by += 1
            if self._open[other].passed_by > PASSED_BY_MAX:
                yield self._close(other)

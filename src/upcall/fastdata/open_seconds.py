"""Seconds of which not all frames have come: who has their frames, and since when they wait.

A second may be split over two micro-batches: its frames go back to the tasks with the next one, and the position stays
before them, so that a restart finds them in the log. What waits for long (an aircraft is out of reach, or its run has
ended in the middle of a second) is put aside in the store, and holds the position no longer (`position`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from upcall.fastdata.windows import OpenSecond

PUT_ASIDE_S: Final = 20.0
"""A second that gets no frame for so long is put aside, and the position moves on without it."""


class OpenSeconds:
    """Of all partitions, from one micro-batch to the next."""

    def __init__(self) -> None:
        self._opened: dict[int, list[OpenSecond]] = {}
        """By partition."""
        self._aside: set[tuple[int, int]] = set()
        """(partition, offset) of frames that `pending` has."""
        self._waiting: dict[tuple[int, int], float] = {}
        """(partition, offset) of open frames: since when."""

    def all(self) -> tuple[OpenSecond, ...]:
        return tuple(second for seconds in self._opened.values() for second in seconds)

    def take_up(self, opened: OpenSecond) -> None:
        """One that an earlier job has put aside."""
        self._opened.setdefault(opened.partition, []).append(opened)
        self._aside |= _frames(opened)

    def now_open(self, partitions: Iterable[int], opened: list[OpenSecond], now_s: float) -> None:
        """After a micro-batch that read these partitions: all that is open of them."""
        for partition in partitions:
            self._opened[partition] = [each for each in opened if each.partition == partition]
        frames = {frame for each in self.all() for frame in _frames(each)}
        self._waiting = {frame: self._waiting.get(frame, now_s) for frame in frames}
        self._aside &= frames

    def put_aside(self, now_s: float) -> list[OpenSecond]:
        """Those that have waited for long, each once: to be stored, because the position will not wait for them."""
        found = []
        for opened in self.all():
            frames = _frames(opened)
            newest = max(self._waiting.get(frame, now_s) for frame in frames)
            if frames <= self._aside or now_s - newest < PUT_ASIDE_S:
                continue
            self._aside |= frames
            found.append(opened)
        return found

    def needed(self, partition: int) -> list[int]:
        """Offsets of frames that only the log has."""
        offsets = (offset for opened in self._opened.get(partition, ()) for offset, _ in opened.frames)
        return [offset for offset in offsets if (partition, offset) not in self._aside]


def _frames(opened: OpenSecond) -> set[tuple[int, int]]:
    return {(opened.partition, offset) for offset, _ in opened.frames}

"""How far each block of each run has come, as ingest knows it: what makes a frame new, and what makes it a repeat.

For each (run, block) two sample numbers only ever grow: `handed`, the last sample given to the producer, and `stored`,
the last one that Kafka acknowledged. The producer keeps the order of a partition, so all samples up to `stored` that
will ever be in the log are in it.

    the frame's last sample      what it is                            what is done
    at or before `stored`        stored: a repeat after a reconnect    acknowledged at once
    at or before `handed`        under way: a repeat meanwhile         acknowledged when that is
    after `handed`               new, or its tail is                   handed on, from `handed + 1`

A new ingest begins with what it finds at the end of the log: `recover`. It keeps no file of its own that could
contradict the log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

NONE_YET: Final = -1


class Verdict(Enum):
    STORED = auto()
    UNDER_WAY = auto()
    NEW = auto()


@dataclass(slots=True)
class Position:
    stored: int = NONE_YET
    handed: int = NONE_YET
    waiting: dict[tuple[int, int], None] = field(default_factory=dict)
    """(last sample, first sample) of frames to acknowledge when `stored` reaches their last sample."""


@dataclass(frozen=True, slots=True)
class Judged:
    verdict: Verdict
    from_sample: int
    """The first sample that is new (verdict NEW)."""
    missing: int
    """Samples between what was handed on before and this frame: the aircraft had to drop them."""


class Positions:
    """All blocks of all runs that this ingest has met."""

    def __init__(self) -> None:
        self._positions: dict[tuple[str, int], Position] = {}

    def recover(self, run_id: str, last_samples: dict[int, int]) -> None:
        """What the log's end says of a run: the last sample of each block."""
        for block, last_sample in last_samples.items():
            position = self._of(run_id, block)
            assert not position.waiting, f"block {block} of {run_id} is already under way"
            position.stored = position.handed = max(position.stored, last_sample)

    def judge(self, run_id: str, block: int, first_sample: int, last_sample: int) -> Judged:
        """A frame has arrived; unless it is STORED, it waits from now on for its acknowledgement."""
        position = self._of(run_id, block)
        if last_sample <= position.stored:
            return Judged(Verdict.STORED, first_sample, 0)
        position.waiting[last_sample, first_sample] = None
        if last_sample <= position.handed:
            return Judged(Verdict.UNDER_WAY, first_sample, 0)
        missing = max(0, first_sample - position.handed - 1)
        from_sample = max(first_sample, position.handed + 1)
        position.handed = last_sample
        return Judged(Verdict.NEW, from_sample, missing)

    def delivered(self, run_id: str, block: int, last_sample: int) -> list[int]:
        """Kafka acknowledged samples up to this one: the first samples of the frames to acknowledge now."""
        position = self._of(run_id, block)
        assert position.stored < last_sample <= position.handed, "the log gave up its order"
        position.stored = last_sample
        now = [(last, first) for last, first in position.waiting if last <= last_sample]
        for waited in now:
            del position.waiting[waited]
        return [first for _last, first in now]

    def stored(self, run_id: str, block: int) -> int:
        return self._of(run_id, block).stored

    def _of(self, run_id: str, block: int) -> Position:
        return self._positions.setdefault((run_id, block), Position())

"""The log in which frames are stored, as ingest sees it. `kafka_log.py` is the real one.

All calls may block and are made beside the event loop, but for `append` and `set_aside`, which hand over and return at
once; `delivered` is called from another thread when the log has stored what was handed over, in the order of each
partition. A log that cannot keep this promise any more calls `failed` once, and its ingest ends: the next one finds
out from the log itself what is in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from upcall.fastdata.runs import Run

FRAME_BYTES_MAX: Final = 1_000_000
"""The largest frame that is stored: Kafka's own bound of a message is a little above."""

Delivered = Callable[[], None]
Failed = Callable[[str], None]


class LogClosed(Exception):
    """The log was closed while somebody waited for it."""


class FrameLog(Protocol):
    """Frames by block, runs by name, and a place for what could not be read."""

    def open(self, failed: Failed) -> None:
        """Waits until the log can be reached and has its topics."""

    def is_announced(self, run: Run) -> bool:
        """Whether the record of this run stands in the log."""

    def announce(self, run: Run) -> None:
        """Stores the record of a run; returns when it is stored. Called before the first frame of the run."""

    def last_samples(self, run: Run) -> dict[int, int]:
        """The last sample of each block of an announced run that has any in the log."""

    def append(self, block: int, frame: bytes, due_us: int, delivered: Delivered) -> None:
        """Stores a frame in the partition of its block; `due_us` is the wall clock of its first sample."""

    def set_aside(self, frame: bytes, reason: str, delivered: Delivered) -> None:
        """Stores what is no frame beside the log, for a person to look at."""

    def reader_in_danger(self, *, held: bool) -> str:
        """Why nothing more should be stored now, or the reader would lose what it has not read; empty when all is well.

        `held`: nothing is stored at present, for such a reason.
        """

    def trouble(self) -> str:
        """What the log's client complains of at present, for people; empty when all is well."""

    def close(self, timeout_s: float) -> None:
        """Waits for what was handed over, then lets go."""

"""How far a fetch has come: bytes done of bytes wanted, and how fast.

A :class:`Meter` belongs to one artifact; workers on several threads add to it, and a report goes out a few times a
second at most, plus once at the end. The same object carries the wish to stop, because every place that reports
progress is a place where it is safe to give up.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from upcall.artifacts.errors import Cancelled

REPORT_INTERVAL_S = 0.2


@dataclass(frozen=True)
class Progress:
    """A moment of a fetch, for a person to see."""

    artifact: str
    text: str
    done_bytes: int
    total_bytes: int
    rate_bytes_s: float
    finished: bool = False
    fetched_bytes: int = 0
    """What came over the network in all stages so far, whatever was here before or was unpacked from it."""


ProgressCallback = Callable[[Progress], None]


class Meter:
    """Adds up what arrives for one artifact."""

    def __init__(
        self, artifact: str, report: ProgressCallback | None = None, stop: threading.Event | None = None
    ) -> None:
        self.artifact = artifact
        self.fetched_bytes = 0
        """What came over the network, for the sum that is shown at the end."""
        self._report = report
        self._stop = stop or threading.Event()
        self._guard = threading.Lock()
        self._done_bytes = 0
        self._there_bytes = 0
        self._total_bytes = 0
        self._text = ""
        self._began_s = time.monotonic()
        self._reported_s = 0.0

    def begin(self, text: str, total_bytes: int, there_bytes: int = 0) -> None:
        """A new stage, counted from what is there already (which does not make it look faster)."""
        with self._guard:
            self._text, self._total_bytes = text, total_bytes
            self._there_bytes = self._done_bytes = there_bytes
            self._began_s, self._reported_s = time.monotonic(), 0.0
        self.add(0)

    def add(self, size: int, *, fetched: bool = False) -> None:
        """``size`` more bytes are done (fewer, when some were of no use). Raises when the fetch was told to stop."""
        self.check()
        with self._guard:
            self._done_bytes += size
            if fetched:
                self.fetched_bytes += size
            now = time.monotonic()
            if self._report is None or now - self._reported_s < REPORT_INTERVAL_S:
                return
            self._reported_s = now
            report = self._snapshot(now)
        self._report(report)

    def finish(self) -> None:
        if self._report is not None:
            with self._guard:
                report = self._snapshot(time.monotonic(), finished=True)
            self._report(report)

    def check(self) -> None:
        if self._stop.is_set():
            raise Cancelled(f"fetching {self.artifact} was stopped", where=self.artifact)

    def wait(self, timeout_s: float) -> None:
        """Sleep, but wake up to stop."""
        self._stop.wait(timeout_s)
        self.check()

    def _snapshot(self, now: float, *, finished: bool = False) -> Progress:
        elapsed = max(now - self._began_s, 1e-3)
        done = self._total_bytes if finished else max(0, min(self._done_bytes, self._total_bytes))
        rate = max(0, self._done_bytes - self._there_bytes) / elapsed
        return Progress(self.artifact, self._text, done, self._total_bytes, rate, finished, self.fetched_bytes)

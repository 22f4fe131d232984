"""A line every few seconds for the log of the job's task: how much was read, and up to which second."""

from __future__ import annotations

import time
from typing import Final

from upcall.fastdata.micro_batch import Result
from upcall.fastdata.windows import Window

SUMMARY_EVERY_S: Final = 10.0


class Summary:
    """Counts from one line to the next."""

    def __init__(self) -> None:
        self._newest: Window | None = None
        self._begin()

    def _begin(self) -> None:
        self._since = time.monotonic()
        self._readings = self._windows = self._batches = self._episodes = 0

    def add(self, result: Result, episodes: int) -> None:
        self._batches += 1
        self._windows += len(result.windows)
        self._readings += sum(tally.readings for tally in result.tallies)
        self._episodes += episodes
        if result.windows:
            self._newest = max(result.windows, key=lambda window: window.second)
        elapsed_s = time.monotonic() - self._since
        if elapsed_s < SUMMARY_EVERY_S or self._newest is None:
            return
        print(
            f"{self._newest.run_id} until second {self._newest.second}: {self._readings / elapsed_s / 1e6:.2f} million "
            f"readings/s, {self._windows} windows, {self._episodes} episode changes, {self._batches} micro-batches",
            flush=True,
        )
        self._begin()

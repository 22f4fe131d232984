"""Spikes: a few wild readings, reported two seconds later, when nothing else began or ended around them.

The last samples before a step look like a spike, so a spike waits until it is certain that it stood alone. It is over
when it is told of; one that comes within seconds of another is the same, still going on.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from upcall.fastdata.detect.episodes import Episode, EpisodeKind, confidence
from upcall.fastdata.detect.lasting import Lasting
from upcall.fastdata.detect.recent import Recent, Seen, alone
from upcall.fastdata.detect.tests import SPIKE_SIGMA

SPIKE_DELAY_S: Final = 2
SPIKE_MERGE_S: Final = 5
SPIKE_SHOWN_S: Final = 10
FORGET_S: Final = 60
"""How long a spike, an opening or a closing is remembered; longer than anything asks for."""


class Spikes:
    """Of one block, beside what lasts."""

    def __init__(self, lasting: Lasting, recent: Recent) -> None:
        self._lasting, self._recent = lasting, recent
        self._noted: list[tuple[int, int, float]] = []
        """(second, column, score), not reported yet."""
        self._last: dict[int, Episode] = {}
        """By column: the newest that was reported."""

    def settle(self, episode: Episode) -> None:
        """One of the store."""
        if episode.end > self._recent.second - FORGET_S:
            self._last[episode.sensor - self._lasting.first] = episode

    def note(self, second: int, seen: Seen) -> None:
        for column in np.flatnonzero(alone(np.abs(seen.spike) >= SPIKE_SIGMA)).tolist():
            self._noted.append((second, column, float(seen.spike[column])))

    def report(self, second: int) -> list[Episode]:
        """Those that are certain by now."""
        due = [spike for spike in self._noted if spike[0] <= second - SPIKE_DELAY_S]
        self.pass_over(second)
        return [self._report(*spike) for spike in due if self._stands_alone(*spike[:2])]

    def pass_over(self, second: int) -> None:
        """What is due by this second was reported."""
        self._noted = [spike for spike in self._noted if spike[0] > second - SPIKE_DELAY_S]

    def _stands_alone(self, at: int, column: int) -> bool:
        """Nothing else began, lasted or ended around it. A drift is slow enough not to look like a spike."""
        held = self._lasting.open.get(column)
        if held is not None and held.kind is EpisodeKind.DRIFT:
            return held.begin < at - SPIKE_DELAY_S
        return held is None and self._lasting.changed_at.get(column, -FORGET_S) < at - 1

    def _report(self, at: int, column: int, size: float) -> Episode:
        before = self._last.get(column)
        if before is not None and at - before.end < SPIKE_MERGE_S:
            episode = before.lasting(at, abs(size))
        else:
            quiet, say = self._lasting.quiet_neighbours(column), self._recent.neighbours_say(column)
            episode = Episode(
                self._lasting.run_id, self._lasting.first + column, EpisodeKind.SPIKE, at, at + 1, False,
                self._recent.second,
                severity=abs(size),
                confidence=confidence(abs(size) / SPIKE_SIGMA, quiet),
                neighbours_quiet=quiet,
                reading=say + size / float(self._recent.per_unit[column]),
                neighbours_say=say,
            )  # fmt: skip
        self._last[column] = episode
        return episode

    def recent(self) -> dict[int, Episode]:
        """By column: those that are new enough to be seen as the sensor's health."""
        since = self._recent.second - SPIKE_SHOWN_S
        return {column: episode for column, episode in self._last.items() if episode.end > since}

    def forget(self, until: int) -> None:
        self._last = {column: episode for column, episode in self._last.items() if episode.end > until}

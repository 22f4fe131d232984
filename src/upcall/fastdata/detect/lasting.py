"""What lasts: the one episode that a sensor may have open, from its opening to its close.

    stuck         closes with the first second that does not repeat itself
    noise         lasts while the spread is halfway above what it should be
    step, drift   last while more than a share of what they were is left

All but `stuck` close when they were gone twice in a row. A stuck or noisy sensor is no longer what it seemed to be, so
these end another episode of it. After an opening or a close the level before is not compared with what comes: the way
back from a fault is no fault. Its ticks are left out, too, so that it moves no gain.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from upcall.fastdata.detect.drift import Bools, Floats, Gains, Trail
from upcall.fastdata.detect.episodes import REPORT_S, Episode, EpisodeKind, confidence
from upcall.fastdata.detect.recent import Recent, Seen
from upcall.fastdata.detect.tests import NOISE_RATIO, STUCK_SHARE
from upcall.fastdata.sensors import NEIGHBOURS, SENSORS_PER_BLOCK

BACK: Final = 0.4
"""A step or drift has ended when less than this share of it is left, twice in a row."""


class Lasting:
    """The lasting episodes of one block of one run."""

    def __init__(self, run_id: str, block: int, recent: Recent, trail: Trail, gains: Gains) -> None:
        self.run_id = run_id
        self.first = block * SENSORS_PER_BLOCK
        self.open: dict[int, Episode] = {}
        """By column: the lasting episode."""
        self.changed_at: dict[int, int] = {}
        """By column: the second in which a lasting episode last opened or closed."""
        self._recent, self._trail, self._gains = recent, trail, gains
        self._was_back: set[int] = set()

    def take_up(self, episode: Episode) -> None:
        """One that is open in the store."""
        self.open[episode.sensor - self.first] = episode

    def settle(self, episode: Episode) -> None:
        """One of the store, open or closed, after the recent seconds were recalled."""
        column = episode.sensor - self.first
        self.changed_at[column] = max(episode.settled, self.changed_at.get(column, -1))
        self._recent.forget_until(column, episode.settled)
        if not episode.is_open:
            self._trail.leave_out(column, episode.begin, episode.settled + 1)

    def open_all(
        self, second: int, flagged: Bools, kind: EpisodeKind, score: Floats, threshold: float, begin: int
    ) -> list[Episode]:
        opened = []
        for column in np.flatnonzero(flagged).tolist():
            held = self.open.get(column)
            if held is not None and (held.kind is kind or held.kind is EpisodeKind.STUCK):
                continue
            if held is not None:  # a stuck or noisy sensor is no longer what it seemed to be
                opened.append(self._close(column, begin))
            opened.append(self.open_one(second, column, kind, begin, float(score[column]), threshold))
        return opened

    def open_one(
        self, second: int, column: int, kind: EpisodeKind, begin: int, score: float, threshold: float,
        *, base: float = 0.0,
    ) -> Episode:  # fmt: skip
        recent, quiet, gain = self._recent, self.quiet_neighbours(column), float(self._gains.gain[column])
        # Its neighbours read x; by its own past it reads `base` and its share of the gain besides.
        by_its_past = float(recent.xs[-1, column] * (1 + gain) + base) / float(recent.per_unit[column])
        episode = Episode(
            self.run_id, self.first + column, kind, max(begin, 0), second + 1, True, second,
            severity=abs(score),
            confidence=confidence(abs(score) / threshold, quiet),
            neighbours_quiet=quiet,
            reading=float(recent.means[column]),
            neighbours_say=(
                by_its_past if kind in (EpisodeKind.STEP, EpisodeKind.DRIFT) else recent.neighbours_say(column)
            ),
            base=base,
            gain=gain,
        )  # fmt: skip
        self.open[column] = episode
        self._has_changed(column, second)
        return episode

    def _close(self, column: int, end: int) -> Episode:
        second = self._recent.second
        episode = self.open.pop(column).closed(end)
        self._has_changed(column, second)
        self._trail.leave_out(column, episode.begin, second + 1)
        return episode

    def _has_changed(self, column: int, second: int) -> None:
        self.changed_at[column] = second
        self._was_back.discard(column)
        self._recent.forget_until(column, second)

    def last(self, second: int, seen: Seen) -> list[Episode]:
        """What is open lasts on, or closes."""
        changed = []
        for column, episode in list(self.open.items()):
            was_back = column in self._was_back
            is_on = self.lasts_on(second, column, episode, seen)
            if not is_on and (was_back or episode.kind is EpisodeKind.STUCK):
                changed.append(self._close(column, second if episode.kind is EpisodeKind.STUCK else second - 1))
            elif (second - episode.begin) % REPORT_S == 0:
                changed.append(self.open[column])
        return changed

    def lasts_on(self, second: int, column: int, episode: Episode, seen: Seen) -> bool:
        """Whether the fault still is; notes how large it is, or that it was gone for a second."""
        if np.isnan(seen.level[column]):
            return True
        if episode.kind is EpisodeKind.STUCK:
            size = float(seen.stuck[column])
            is_on = size >= STUCK_SHARE
        elif episode.kind is EpisodeKind.NOISE:
            size = float(seen.spread[column])
            is_on = size >= (1.0 + NOISE_RATIO) / 2
        else:
            size = abs(float(seen.level[column] - episode.gain * seen.x[column]) - episode.base)
            is_on = size > BACK * episode.severity
        if is_on:
            self._was_back.discard(column)
            self.open[column] = episode.lasting(second, size)
        else:
            self._was_back.add(column)
        return is_on

    def comparable(self, seen: Seen) -> Floats:
        """The level for the tick at hand: unknown where another fault moves it."""
        known: Floats = np.where(seen.is_stuck | seen.is_noisy, np.nan, seen.level)
        for column, episode in self.open.items():
            if episode.kind is not EpisodeKind.DRIFT:
                known[column] = np.nan
        return known

    def quiet_neighbours(self, column: int) -> int:
        group = column // NEIGHBOURS
        disturbed = sum(1 for other in self.open if other // NEIGHBOURS == group and other != column)
        return NEIGHBOURS - 1 - disturbed

    def forget(self, until: int) -> None:
        self.changed_at = {column: second for column, second in self.changed_at.items() if second > until}

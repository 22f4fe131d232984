"""From the scores of a block's seconds to its episodes.

    stuck   opens with the first second that repeats itself, closes with the first that does not
    noise   opens with the second of two noisy seconds (a step within a second looks noisy once)
    step    opens when the level stands off from the seconds before (`steps`), and closes when it is halfway back
    drift   is looked at with each tick (`drift`), and closes when the level jumps back
    spike   is reported two seconds later, when nothing else began or ended around it (`spikes`)

A sensor has one lasting episode at a time (`lasting`); while it lasts, and for some seconds after, its level is not
compared (`recent`). Everything is a function of the trailing stored seconds and the episodes reported up to them:
`restore` makes a detector anew in any process, which then says the same as the one before it would have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from upcall.fastdata.detect import drift
from upcall.fastdata.detect.drift import Bools, Floats, Gains, Trail
from upcall.fastdata.detect.episodes import Episode, EpisodeKind, health_of
from upcall.fastdata.detect.lasting import Lasting
from upcall.fastdata.detect.recent import RECENT, Recent, alone
from upcall.fastdata.detect.spikes import FORGET_S, Spikes
from upcall.fastdata.detect.steps import steps
from upcall.fastdata.detect.tests import NOISE_RATIO, STUCK_SHARE, Scores
from upcall.fastdata.sensors import NEIGHBOURS, SENSORS_PER_BLOCK

RECALL_S: Final = max(drift.TICK_S, RECENT)
"""The last so many stored seconds are what a detector needs besides ticks and episodes."""


class BlockDetector:
    """One block of one run; feed it the block's seconds in order."""

    def __init__(self, run_id: str, block: int) -> None:
        self.run_id = run_id
        self.block = block
        self.trail = Trail(SENSORS_PER_BLOCK)
        self._gains = Gains(SENSORS_PER_BLOCK)
        self._recent = Recent(block)
        self._lasting = Lasting(run_id, block, self._recent, self.trail, self._gains)
        self._spikes = Spikes(self._lasting, self._recent)
        self._was_noisy: Bools = np.zeros(SENSORS_PER_BLOCK, np.bool_)

    @property
    def second(self) -> int:
        """The newest that was seen."""
        return self._recent.second

    @property
    def open(self) -> Mapping[int, Episode]:
        """By column: the lasting episode."""
        return self._lasting.open

    def restore(
        self,
        ticks: Iterable[tuple[int, Floats, Floats]],
        episodes: Iterable[Episode],
        seconds: Iterable[tuple[int, npt.NDArray[np.float32], Scores]],
    ) -> None:
        """From the store, as of one second: ticks as `newest_tick` gave them, in order; the block's episodes that are
        open or began within the ticks that matter (`drift.TICKS`); the last `RECALL_S` seconds."""
        per_unit = self._recent.per_unit
        for tick, levels, groups in ticks:
            self.trail.add_tick(tick, levels.astype(np.float64), np.repeat(groups, NEIGHBOURS) * per_unit)
        episodes = list(episodes)
        for episode in episodes:
            if episode.is_open:
                self._lasting.take_up(episode)
        for second, means, scores in seconds:
            self._recall(second, means, scores, episodes)
        for episode in episodes:
            if episode.kind is EpisodeKind.SPIKE:
                self._spikes.settle(episode)
            else:
                self._lasting.settle(episode)

    def _recall(self, second: int, means: npt.NDArray[np.float32], scores: Scores, episodes: list[Episode]) -> None:
        """A second that was judged before: remembered, not judged again."""
        seen = self._recent.take(second, means, scores)
        if seen is None:
            return
        is_disturbed = seen.is_stuck | seen.is_noisy
        self._was_noisy = seen.is_noisy
        for episode in episodes:
            if (
                episode.kind not in (EpisodeKind.SPIKE, EpisodeKind.DRIFT)
                and episode.seen <= second
                and (episode.is_open or second < episode.settled)
            ):
                is_disturbed[episode.sensor - self._lasting.first] = True
        self.trail.add_second(second, np.where(is_disturbed, np.nan, seen.level), seen.x)
        for column, episode in self._lasting.open.items():
            if episode.seen < second:
                self._lasting.lasts_on(second, column, episode, seen)
        self._spikes.note(second, seen)
        self._spikes.pass_over(second)

    def observe(self, second: int, means: npt.NDArray[np.float32], scores: Scores) -> list[Episode]:
        """The next second: its `mean` row and its scores. Yields the episodes that changed."""
        if second <= self.second:
            return []
        seen = self._recent.take(second, means, scores)
        if seen is None:
            return []
        self._gains.follow(self.trail)
        lasting = self._lasting
        changed = lasting.last(second, seen)
        changed += lasting.open_all(second, seen.is_stuck, EpisodeKind.STUCK, seen.stuck, STUCK_SHARE, second)
        noisy_twice = seen.is_noisy & self._was_noisy
        changed += lasting.open_all(second, noisy_twice, EpisodeKind.NOISE, seen.spread, NOISE_RATIO, second - 1)
        self._was_noisy = seen.is_noisy
        changed += self._open_steps(second)
        if self.trail.add_second(second, lasting.comparable(seen), seen.x):
            changed += self._open_drifts(second)
        self._spikes.note(second, seen)
        changed += self._spikes.report(second)
        if second % FORGET_S == 0:
            self._spikes.forget(second - FORGET_S)
            lasting.forget(second - FORGET_S)
        return changed

    def _open_steps(self, second: int) -> list[Episode]:
        found = steps(self._recent, self._gains)
        opened = []
        for column in np.flatnonzero(alone(found.is_step)).tolist():
            if column in self.open or self._was_noisy[column]:
                continue
            begin = second - 2 if found.began_before[column] else second - 1
            size, threshold, base = (float(each[column]) for each in (found.size, found.threshold, found.before))
            opened.append(self._lasting.open_one(second, column, EpisodeKind.STEP, begin, size, threshold, base=base))
        return opened

    def _open_drifts(self, second: int) -> list[Episode]:
        is_drifting, clarity, slope = drift.drifting(self.trail.levels, self.trail.neighbours)
        opened = []
        for column in np.flatnonzero(alone(is_drifting)).tolist():
            if column in self.open:
                continue
            # Compared by the gain of before: the newest fit knows the drift, too.
            off = self.trail.levels[:, column] - self._gains.gain[column] * self.trail.neighbours[:, column]
            known = off[np.isfinite(off)]
            base = float(np.median(known[: max(3, len(known) - drift.WINDOWS[0])]))
            size = abs(float(known[-1]) - base)
            since_s = min(size / abs(float(slope[column])), drift.TICKS * drift.TICK_S)
            begin, threshold = second - int(since_s), size / float(clarity[column])
            opened.append(self._lasting.open_one(second, column, EpisodeKind.DRIFT, begin, size, threshold, base=base))
        return opened

    def newest_tick(self) -> tuple[int, Floats, Floats]:
        """(tick, levels, what each group's middle neighbour reads): to be stored when a tick was completed."""
        groups = self.trail.neighbours[-1, ::NEIGHBOURS] / self._recent.per_unit[::NEIGHBOURS]
        return self.trail.newest, self.trail.levels[-1], groups

    def health(self) -> npt.NDArray[np.uint8]:
        """A byte for each sensor: 0 is healthy; else kind (1 to 5) times 32 plus the severity, bounded at 31."""
        health = np.zeros(SENSORS_PER_BLOCK, np.uint8)
        for column, episode in {**self._spikes.recent(), **self.open}.items():
            health[column] = health_of(episode)
        return health

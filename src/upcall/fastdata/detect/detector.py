"""From the scores of a block's seconds to its episodes.

    stuck   opens with the first second that repeats itself, closes with the first that does not
    noise   opens with the second of two noisy seconds (a step within a second looks noisy once)
    step    opens when the level stands off from the seconds before, twice in a row, in the same direction, and
            closes when it is halfway back; what the neighbours' movement explains is taken off, and what a gain that
            is not known yet *could* explain raises the threshold
    drift   is looked at with each tick, and closes when the level jumps back
    spike   is reported two seconds later, when nothing else began or ended around it: the last samples before a step
            look like a spike

A sensor has one lasting episode at a time; while it lasts, and for some seconds after, its level is not compared (the
way back from a fault is no fault). Everything is a function of the trailing stored seconds and the episodes reported
up to them: `restore` makes a detector anew in any process, which then says the same as the one before it would have.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from upcall.fastdata.detect import drift
from upcall.fastdata.detect.drift import Bools, Floats, Trail, median
from upcall.fastdata.detect.episodes import COMMON_MAX, REPORT_S, Episode, EpisodeKind, confidence, health_of
from upcall.fastdata.detect.tests import NOISE_RATIO, SPIKE_SIGMA, STUCK_SHARE, Scores
from upcall.fastdata.sensors import NEIGHBOURS, SENSORS_PER_BLOCK, TABLE, block_slice

RECENT: Final = 8
"""Seconds compared for a step: five before, one in which it begins, two after."""
BEFORE: Final = slice(0, 5)
BEFORE_MIN: Final = 3
STEP_SIGMA: Final = 2.0
STEP_ERRORS: Final = 7.0
LEVEL_NOISE: Final = 0.12
"""Of a second's level against its neighbours' median, sigmas."""
BACK: Final = 0.4
"""A step or drift has ended when less than this share of it is left, twice in a row."""
SPIKE_DELAY_S: Final = 2
SPIKE_MERGE_S: Final = 5
GAP_MAX_S: Final = 10
"""After a longer gap the seconds before it are not compared with those after it."""
RECALL_S: Final = max(drift.TICK_S, RECENT)
"""The last so many stored seconds are what a detector needs besides ticks and episodes."""
TRAIL_S: Final = drift.TICKS * drift.TICK_S
"""Ticks and episodes as old as this matter."""
SPIKE_SHOWN_S: Final = 10
FORGET_S: Final = 60
"""How long a spike, an opening or a closing is remembered; longer than anything asks for."""


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A second's scores, and the flags that need no memory."""

    level: Floats
    x: Floats
    """What the neighbours read, in each sensor's sigmas."""
    spread: Floats
    spike: Floats
    stuck: Floats
    is_stuck: Bools
    is_noisy: Bools


class BlockDetector:
    """One block of one run; feed it the block's seconds in order."""

    def __init__(self, run_id: str, block: int) -> None:
        self.run_id = run_id
        self.block = block
        self.trail = Trail(SENSORS_PER_BLOCK)
        self.second = -1
        self.open: dict[int, Episode] = {}
        """By column: the lasting episode."""
        self._first = block * SENSORS_PER_BLOCK
        self._per_unit = 1.0 / TABLE.noise_units[block_slice(block)]
        self._levels: Floats = np.full((RECENT, SENSORS_PER_BLOCK), np.nan)
        self._xs: Floats = np.full((RECENT, SENSORS_PER_BLOCK), np.nan)
        self._means: Floats = np.full(SENSORS_PER_BLOCK, np.nan)
        self._gain: Floats = np.zeros(SENSORS_PER_BLOCK)
        self._gain_error: Floats = np.full(SENSORS_PER_BLOCK, drift.GAIN_PRIOR)
        self._is_trail_new = False
        """The gains are fitted again with the next second."""
        self._was_noisy: Bools = np.zeros(SENSORS_PER_BLOCK, np.bool_)
        self._was_back: set[int] = set()
        self._changed_at: dict[int, int] = {}
        """By column: the second in which a lasting episode last opened or closed."""
        self._spikes: list[tuple[int, int, float]] = []
        """(second, column, score), not reported yet."""
        self._last_spike: dict[int, Episode] = {}

    def restore(
        self,
        ticks: Iterable[tuple[int, Floats, Floats]],
        episodes: Iterable[Episode],
        seconds: Iterable[tuple[int, npt.NDArray[np.float32], Scores]],
    ) -> None:
        """From the store, as of one second: ticks as `newest_tick` gave them, in order; the block's episodes that are
        open or began within `TRAIL_S`; the last `RECALL_S` seconds."""
        for tick, levels, groups in ticks:
            self.trail.add_tick(tick, levels.astype(np.float64), np.repeat(groups, NEIGHBOURS) * self._per_unit)
        episodes = list(episodes)
        for episode in episodes:
            if episode.is_open:
                self.open[episode.sensor - self._first] = episode
        for second, means, scores in seconds:
            self._recall(second, means, scores, episodes)
        for episode in episodes:
            column = episode.sensor - self._first
            if episode.kind is EpisodeKind.SPIKE:
                if episode.end > self.second - FORGET_S:
                    self._last_spike[column] = episode
                continue
            self._changed_at[column] = max(episode.settled, self._changed_at.get(column, -1))
            self._levels[: max(0, RECENT - (self.second - episode.settled)), column] = np.nan
            if not episode.is_open:
                self.trail.leave_out(column, episode.begin, episode.settled + 1)
        self._is_trail_new = True

    def _recall(self, second: int, means: npt.NDArray[np.float32], scores: Scores, episodes: list[Episode]) -> None:
        """A second that was judged before: remembered, not judged again."""
        seen = self._take(second, means, scores)
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
                is_disturbed[episode.sensor - self._first] = True
        self.trail.add_second(second, np.where(is_disturbed, np.nan, seen.level), seen.x)
        for column, episode in self.open.items():
            if episode.seen < second:
                self._lasts_on(second, column, episode, seen)
        self._note_spikes(second, seen)
        self._spikes = [spike for spike in self._spikes if spike[0] > second - SPIKE_DELAY_S]

    def observe(self, second: int, means: npt.NDArray[np.float32], scores: Scores) -> list[Episode]:
        """The next second: its `mean` row and its scores. Yields the episodes that changed."""
        if second <= self.second:
            return []
        seen = self._take(second, means, scores)
        if seen is None:
            return []
        if self._is_trail_new:
            fitted = drift.fit(self.trail.levels, self.trail.neighbours)
            self._gain, self._gain_error = fitted.gain, fitted.gain_error
            self._is_trail_new = False
        changed = self._last(second, seen)
        changed += self._open_all(second, seen.is_stuck, EpisodeKind.STUCK, seen.stuck, STUCK_SHARE, second)
        noisy_twice = seen.is_noisy & self._was_noisy
        changed += self._open_all(second, noisy_twice, EpisodeKind.NOISE, seen.spread, NOISE_RATIO, second - 1)
        self._was_noisy = seen.is_noisy
        changed += self._steps(second)
        if self.trail.add_second(second, self._comparable(seen), seen.x):
            self._is_trail_new = True
            changed += self._ticked(second)
        self._note_spikes(second, seen)
        changed += self._report_spikes(second)
        return changed

    def newest_tick(self) -> tuple[int, Floats, Floats]:
        """(tick, levels, what each group's middle neighbour reads): to be stored when a tick was completed."""
        groups = self.trail.neighbours[-1, ::NEIGHBOURS] / self._per_unit[::NEIGHBOURS]
        return self.trail.newest, self.trail.levels[-1], groups

    def health(self) -> npt.NDArray[np.uint8]:
        """A byte for each sensor: 0 is healthy; else kind (1 to 5) times 32 plus the severity, bounded at 31."""
        health = np.zeros(SENSORS_PER_BLOCK, np.uint8)
        for column, episode in self._last_spike.items():
            if episode.end > self.second - SPIKE_SHOWN_S:
                health[column] = health_of(episode)
        for column, episode in self.open.items():
            health[column] = health_of(episode)
        return health

    # --- the recent past

    def _take(self, second: int, means: npt.NDArray[np.float32], scores: Scores) -> _Seen | None:
        """Moves on to a second; `None` when it says nothing (its scores are unknown)."""
        missing = min(second - self.second - 1, RECENT)
        if second - self.second > GAP_MAX_S:
            missing = RECENT
        unknown: Floats = np.full(SENSORS_PER_BLOCK, np.nan)
        for _ in range(missing):
            self._advance(unknown, unknown)
        self.second = second
        level, spread, spike, stuck = scores.astype(np.float64)
        if np.isnan(level).all():
            self._advance(unknown, unknown)
            return None
        self._means = means.astype(np.float64)
        by_group = np.sort(self._means.reshape(-1, NEIGHBOURS), axis=1)
        x = np.repeat(by_group[:, NEIGHBOURS // 2], NEIGHBOURS) * self._per_unit
        self._advance(level, x)
        is_stuck = _alone(stuck >= STUCK_SHARE)
        is_noisy = _alone((spread >= NOISE_RATIO) & ~is_stuck)
        return _Seen(level, x, spread, spike, stuck, is_stuck, is_noisy)

    def _advance(self, level: Floats, x: Floats) -> None:
        for rows, newest in ((self._levels, level), (self._xs, x)):
            rows[:-1] = rows[1:]
            rows[-1] = newest

    def _comparable(self, seen: _Seen) -> Floats:
        """The level for the tick at hand: unknown where another fault moves it."""
        known = np.where(seen.is_stuck | seen.is_noisy, np.nan, seen.level)
        for column, episode in self.open.items():
            if episode.kind is not EpisodeKind.DRIFT:
                known[column] = np.nan
        return known

    def _forget(self, column: int) -> None:
        """What came before is not to be compared with what comes."""
        self._levels[:, column] = np.nan

    # --- opening and closing

    def _open_all(
        self, second: int, flagged: Bools, kind: EpisodeKind, score: Floats, threshold: float, begin: int
    ) -> list[Episode]:
        opened = []
        for column in np.flatnonzero(flagged).tolist():
            held = self.open.get(column)
            if held is not None and (held.kind is kind or held.kind is EpisodeKind.STUCK):
                continue
            if held is not None:  # a stuck or noisy sensor is no longer what it seemed to be
                opened.append(self._close(column, begin))
            opened.append(self._open(second, column, kind, begin, float(score[column]), threshold))
        return opened

    def _open(
        self, second: int, column: int, kind: EpisodeKind, begin: int, score: float, threshold: float,
        *, base: float = 0.0,
    ) -> Episode:  # fmt: skip
        quiet = self._quiet_neighbours(column)
        reading = float(self._means[column])
        gain = float(self._gain[column])
        # Its neighbours read x; by its own past it reads `base` and its share of the gain besides.
        say = float(self._xs[-1, column] * (1 + gain) + base) / float(self._per_unit[column])
        episode = Episode(
            self.run_id, self._first + column, kind, max(begin, 0), second + 1, True, second,
            severity=abs(score),
            confidence=confidence(abs(score) / threshold, quiet),
            neighbours_quiet=quiet,
            reading=reading,
            neighbours_say=say if kind in (EpisodeKind.STEP, EpisodeKind.DRIFT) else float(
                self._xs[-1, column] / self._per_unit[column]
            ),
            base=base,
            gain=gain,
        )  # fmt: skip
        self.open[column] = episode
        self._changed_at[column] = second
        self._was_back.discard(column)
        self._forget(column)
        return episode

    def _close(self, column: int, end: int) -> Episode:
        episode = self.open.pop(column).closed(end)
        self._changed_at[column] = self.second
        self._was_back.discard(column)
        self._forget(column)
        self.trail.leave_out(column, episode.begin, self.second + 1)
        self._is_trail_new = True
        return episode

    def _last(self, second: int, seen: _Seen) -> list[Episode]:
        """What is open lasts on, or closes."""
        changed = []
        for column, episode in list(self.open.items()):
            was_back = column in self._was_back
            is_on = self._lasts_on(second, column, episode, seen)
            if not is_on and (was_back or episode.kind is EpisodeKind.STUCK):
                changed.append(self._close(column, second if episode.kind is EpisodeKind.STUCK else second - 1))
            elif (second - episode.begin) % REPORT_S == 0:
                changed.append(self.open[column])
        return changed

    def _lasts_on(self, second: int, column: int, episode: Episode, seen: _Seen) -> bool:
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

    def _quiet_neighbours(self, column: int) -> int:
        group = column // NEIGHBOURS
        disturbed = sum(1 for other in self.open if other // NEIGHBOURS == group and other != column)
        return NEIGHBOURS - 1 - disturbed

    # --- steps

    def _steps(self, second: int) -> list[Episode]:
        off = self._levels - self._gain * self._xs
        before, known = median(off[BEFORE])
        one, two = off[-2] - before, off[-1] - before
        size = np.where(one * two > 0, np.minimum(np.abs(one), np.abs(two)), 0.0)
        moved = np.abs(self._xs[-2:] - median(self._xs[BEFORE])[0]).max(axis=0)
        threshold = np.maximum(STEP_SIGMA, STEP_ERRORS * np.hypot(LEVEL_NOISE, self._gain_error * moved))
        is_step = (known >= BEFORE_MIN) & (size >= threshold)
        is_step &= np.isfinite(size)
        opened = []
        for column in np.flatnonzero(_alone(is_step)).tolist():
            if column in self.open or self._was_noisy[column]:
                continue
            began_before = abs(float(off[-3, column] - before[column])) > float(size[column]) / 4
            begin = second - 2 if began_before else second - 1
            opened.append(
                self._open(
                    second, column, EpisodeKind.STEP, begin, float(size[column]), float(threshold[column]),
                    base=float(before[column]),
                )
            )  # fmt: skip
        return opened

    # --- drifts

    def _ticked(self, second: int) -> list[Episode]:
        is_drifting, clarity, slope = drift.drifting(self.trail.levels, self.trail.neighbours)
        opened = []
        for column in np.flatnonzero(_alone(is_drifting)).tolist():
            if column in self.open:
                continue
            # Compared by the gain of before: the newest fit knows the drift, too.
            off = self.trail.levels[:, column] - self._gain[column] * self.trail.neighbours[:, column]
            known = off[np.isfinite(off)]
            base = float(np.median(known[: max(3, len(known) - drift.WINDOWS[0])]))
            size = abs(float(known[-1]) - base)
            since_s = min(size / abs(float(slope[column])), drift.TICKS * drift.TICK_S)
            begin = second - int(since_s)
            opened.append(
                self._open(second, column, EpisodeKind.DRIFT, begin, size, size / float(clarity[column]), base=base)
            )
        return opened

    # --- spikes

    def _note_spikes(self, second: int, seen: _Seen) -> None:
        for column in np.flatnonzero(_alone(np.abs(seen.spike) >= SPIKE_SIGMA)).tolist():
            self._spikes.append((second, column, float(seen.spike[column])))

    def _report_spikes(self, second: int) -> list[Episode]:
        due = [spike for spike in self._spikes if spike[0] <= second - SPIKE_DELAY_S]
        self._spikes = [spike for spike in self._spikes if spike[0] > second - SPIKE_DELAY_S]
        reported = [self._report_spike(*spike) for spike in due if self._stands_alone(*spike[:2])]
        if second % FORGET_S == 0:
            self._last_spike = {c: e for c, e in self._last_spike.items() if e.end > second - FORGET_S}
            self._changed_at = {c: s for c, s in self._changed_at.items() if s > second - FORGET_S}
        return reported

    def _stands_alone(self, at: int, column: int) -> bool:
        """Nothing else began, lasted or ended around it. A drift is slow enough not to look like a spike."""
        held = self.open.get(column)
        if held is not None and held.kind is EpisodeKind.DRIFT:
            return held.begin < at - SPIKE_DELAY_S
        return held is None and self._changed_at.get(column, -FORGET_S) < at - 1

    def _report_spike(self, at: int, column: int, size: float) -> Episode:
        before = self._last_spike.get(column)
        if before is not None and at - before.end < SPIKE_MERGE_S:
            episode = before.lasting(at, abs(size))
        else:
            quiet = self._quiet_neighbours(column)
            say = float(self._xs[-1, column] / self._per_unit[column])
            episode = Episode(
                self.run_id, self._first + column, EpisodeKind.SPIKE, at, at + 1, False, self.second,
                severity=abs(size),
                confidence=confidence(abs(size) / SPIKE_SIGMA, quiet),
                neighbours_quiet=quiet,
                reading=say + size / float(self._per_unit[column]),
                neighbours_say=say,
            )  # fmt: skip
        self._last_spike[column] = episode
        return episode


def _alone(flagged: Bools) -> Bools:
    """Flags without those that many neighbours share: these are the aircraft's doing."""
    by_group = flagged.reshape(-1, NEIGHBOURS)
    common = by_group.sum(axis=1) > COMMON_MAX
    if not common.any():
        return flagged
    alone: Bools = (by_group & ~common[:, None]).reshape(-1)
    return alone

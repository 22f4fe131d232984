"""From the windows of a micro-batch to what is written of them: the driver's part, between Spark and the store.

Each block of each run has a detector, made from the store when its first window comes (`detect.detector`), so a job
that begins anywhere goes on as the one before it would have. Around each episode the raw frames are to be kept; they
are not carried through Spark for that, since the log still has them: `Wanted` says which seconds of which block stand
at which offsets, and `raw.py` reads them again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import numpy as np

from upcall.fastdata.detect import drift
from upcall.fastdata.detect.detector import RECALL_S, BlockDetector
from upcall.fastdata.detect.episodes import Episode, EpisodeKind
from upcall.fastdata.schema import HOUR_S, KEEP_S
from upcall.fastdata.sensors import SENSORS_PER_BLOCK
from upcall.fastdata.windows import BlockKey, Window

RAW_BEFORE_S: Final = 2
RAW_AFTER_S: Final = 2
"""Seconds around the begin of an episode, and around when it was seen, that are kept as they came."""
RAW_EPISODE_MAX_S: Final = 15
"""A drift is seen long after it began: its raw seconds end here."""


class Past(Protocol):
    """What a detector is made of; `store.Store` has it."""

    def ticks(self, run_id: str, block: int, until: int, count: int) -> list[tuple[int, Any, Any]]: ...

    def recent_seconds(self, run_id: str, block: int, until: int, count: int) -> list[Window]: ...

    def episodes(self, run_id: str, hours: Iterable[int]) -> list[list[Episode]]: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """A second of a block whose frames are to be kept, and where they stand in the log."""

    run_id: str
    block: int
    second: int
    partition: int
    first_offset: int
    last_offset: int


@dataclass(frozen=True, slots=True)
class Tick:
    run_id: str
    block: int
    tick: int
    levels: Any
    neighbours: Any


@dataclass(slots=True)
class Findings:
    """What the windows of a micro-batch told."""

    episodes: dict[tuple[str, int, str, int], Episode] = field(default_factory=dict)
    """By key, the last state of each that changed."""
    ticks: list[Tick] = field(default_factory=list)
    wanted: list[Wanted] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Watched:
    detector: BlockDetector
    missing: int
    last: int
    """The second judged last."""
    recent: deque[Window]
    """The last seconds: where their frames stand."""
    kept_until: int = -1
    """Raw seconds up to here were asked for."""
    keep_until: int = -1
    """Raw seconds up to here are to be asked for as they come."""


class Judge:
    """All blocks of all runs that are under way."""

    def __init__(self, past: Past) -> None:
        self._past = past
        self._watched: dict[BlockKey, _Watched] = {}
        self._episodes: dict[tuple[str, int], list[list[Episode]]] = {}
        """(run, until): the stored episodes by block; read once for all blocks of a run."""

    def judge(
        self, windows: Iterable[Window], stored_until: Mapping[BlockKey, int], missing: Mapping[BlockKey, int]
    ) -> Findings:
        """Windows by run, block and second. `stored_until` and `missing` are as the store has them."""
        findings = Findings()
        for window in windows:
            watched = self._watched.get(window.key)
            if watched is None:
                watched = self._watch(window.key, stored_until.get(window.key, -1), missing.get(window.key, 0))
                findings.wanted += self._resume_raw(watched)
            self._judge(window, watched, findings)
        self._episodes.clear()
        return findings

    def missing(self, key: BlockKey) -> int:
        """Samples of the block that never came."""
        return self._watched[key].missing

    def health(self, key: BlockKey) -> bytes:
        return self._watched[key].detector.health().tobytes()

    def forget_but(self, runs: set[str]) -> None:
        """Detectors of other runs are let go."""
        self._watched = {key: watched for key, watched in self._watched.items() if key[0] in runs}

    def _judge(self, window: Window, watched: _Watched, findings: Findings) -> None:
        detector = watched.detector
        watched.missing += (window.second - watched.last) * window.rate_hz - window.count
        watched.last = window.second
        watched.recent.append(window)
        tick = detector.trail.newest
        changed = detector.observe(window.second, _means(window), _scores(window))
        if detector.trail.newest != tick:
            findings.ticks.append(Tick(window.run_id, window.block, *(_copy(each) for each in detector.newest_tick())))
        for episode in changed:
            findings.episodes[episode.key] = episode
            if episode.seen == window.second:
                first, last = _raw_span(episode)
                findings.wanted += self._keep_raw(watched, first, last)
        if window.second <= watched.keep_until:
            findings.wanted += self._keep_raw(watched, window.second, window.second)

    def _watch(self, key: BlockKey, until: int, missing: int) -> _Watched:
        """From the store, or from nothing where the run is new."""
        run_id, block = key
        detector = BlockDetector(run_id, block)
        watched = _Watched(detector, missing, until, deque(maxlen=RECALL_S))
        self._watched[key] = watched
        if until < 0:
            return watched
        newest_tick = (until + 1) // drift.TICK_S - 1
        recent = self._past.recent_seconds(run_id, block, until, RECALL_S)
        watched.recent.extend(recent)
        detector.restore(
            self._past.ticks(run_id, block, newest_tick, drift.TICKS),
            self._stored_episodes(run_id, block, until),
            [(window.second, _means(window), _scores(window)) for window in recent],
        )
        return watched

    def _stored_episodes(self, run_id: str, block: int, until: int) -> list[Episode]:
        stored = self._episodes.get((run_id, until))
        if stored is None:
            hours = range(max(0, (until - KEEP_S) // HOUR_S), until // HOUR_S + 1)
            stored = self._episodes[run_id, until] = self._past.episodes(run_id, hours)
        return [_as_of(each, until) for each in stored[block] if each.seen <= until]

    # --- raw frames

    def _resume_raw(self, watched: _Watched) -> list[Wanted]:
        """Which raw seconds an earlier job may not have kept any more."""
        wanted = []
        for episode in watched.detector.open.values():
            if episode.seen + RAW_AFTER_S > watched.detector.second - RECALL_S:
                wanted += self._keep_raw(watched, *_raw_span(episode))
        return wanted

    def _keep_raw(self, watched: _Watched, first: int, last: int) -> list[Wanted]:
        watched.keep_until = max(watched.keep_until, last)
        wanted = [
            Wanted(one.run_id, one.block, one.second, one.partition, one.first_offset, one.last_offset)
            for one in watched.recent
            if first <= one.second <= last and one.second > watched.kept_until
        ]
        if wanted:
            watched.kept_until = wanted[-1].second
        return wanted


def _as_of(episode: Episode, until: int) -> Episode:
    """What was told of later seconds will be told again: an end that came later has not come yet."""
    if episode.kind is EpisodeKind.SPIKE or episode.settled <= until:
        return episode
    return replace(episode, is_open=True, end=until + 1)


def _raw_span(episode: Episode) -> tuple[int, int]:
    first = max(episode.begin - RAW_BEFORE_S, episode.seen - RAW_EPISODE_MAX_S)
    return first, episode.seen + RAW_AFTER_S


def _means(window: Window) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.frombuffer(window.values, np.float32, SENSORS_PER_BLOCK)


def _scores(window: Window) -> np.ndarray[Any, np.dtype[np.float16]]:
    return np.frombuffer(window.scores, np.float16).reshape(-1, SENSORS_PER_BLOCK)


def _copy(each: Any) -> Any:
    return each.copy() if isinstance(each, np.ndarray) else each

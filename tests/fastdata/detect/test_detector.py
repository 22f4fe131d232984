"""Episodes from the seconds of a block made up here: what opens, when it closes, and under which key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pytest
from wing import Wing

from upcall.fastdata.detect.detector import RECALL_S, BlockDetector
from upcall.fastdata.detect.episodes import KINDS, Episode, EpisodeKind, confidence
from upcall.fastdata.detect.tests import SCORES, score
from upcall.fastdata.sensors import SENSORS_PER_BLOCK
from upcall.fastdata.windows import statistics

BLOCK = 2
RUN = "run"
Stored = tuple[int, np.ndarray, np.ndarray]


def stored(
    wing: Wing,
    seconds: Iterable[int],
    *,
    shift: Callable[[int], Mapping[int, float]] = lambda _: {},
    noise: Callable[[int], Mapping[int, float]] = lambda _: {},
    change: Callable[[int, np.ndarray], None] = lambda *_: None,
) -> list[Stored]:
    rows = []
    for second in seconds:
        counts = wing.second(second, shift_sigma=shift(second), noise_times=noise(second))
        change(second, counts)
        rows.append((second, statistics(counts, BLOCK)[0], score(counts, BLOCK)))
    return rows


def watch(rows: Iterable[Stored], detector: BlockDetector | None = None) -> dict[tuple[Any, ...], Episode]:
    detector = detector or BlockDetector(RUN, BLOCK)
    episodes: dict[tuple[Any, ...], Episode] = {}
    for row in rows:
        for episode in detector.observe(*row):
            before = episodes.get(episode.key)
            assert before is None or before.end <= episode.end
            episodes[episode.key] = episode
    return episodes


def only(episodes: dict[tuple[Any, ...], Episode]) -> Episode:
    [episode] = episodes.values()
    return episode


def test_healthy_block_in_turbulence_and_climb_shows_nothing() -> None:
    wing = Wing(BLOCK, seed=1, swing_counts=1_500, climb_counts_per_s=30, tails=True)
    assert watch(stored(wing, range(120))) == {}


@pytest.mark.parametrize("sigma", [3, -4, 9])
def test_step_is_one_episode_from_its_begin_to_its_end(sigma: float) -> None:
    wing = Wing(BLOCK, seed=2, swing_counts=1_000)
    episode = only(watch(stored(wing, range(60), shift=lambda s: {123: sigma} if 20 <= s < 45 else {})))
    assert (episode.kind, episode.sensor) == (EpisodeKind.STEP, BLOCK * SENSORS_PER_BLOCK + 123)
    assert (episode.begin, episode.end, episode.is_open) == (20, 45, False)
    assert episode.severity == pytest.approx(abs(sigma), abs=0.6)
    assert np.sign(episode.reading - episode.neighbours_say) == np.sign(sigma)
    assert episode.neighbours_quiet == 49


def test_step_that_begins_within_a_second_begins_with_that_second() -> None:
    wing = Wing(BLOCK, seed=3)

    def change(second: int, counts: np.ndarray) -> None:
        if second == 20:
            counts[50:, 7] += int(6 * wing.noise_counts[7])

    episode = only(watch(stored(wing, range(40), shift=lambda s: {7: 6.0} if s > 20 else {}, change=change)))
    assert (episode.kind, episode.begin, episode.is_open) == (EpisodeKind.STEP, 20, True)


def test_stuck_sensor_is_one_episode_and_its_way_back_is_no_step() -> None:
    wing = Wing(BLOCK, seed=4, swing_counts=400)
    held: dict[str, int] = {}

    def change(second: int, counts: np.ndarray) -> None:
        if 20 <= second < 40:
            counts[:, 55] = held.setdefault("count", int(counts[0, 55]))

    episode = only(watch(stored(wing, range(60), change=change)))
    assert (episode.kind, episode.begin, episode.end) == (EpisodeKind.STUCK, 20, 40)


def test_noisy_sensor_is_one_episode() -> None:
    wing = Wing(BLOCK, seed=5, swing_counts=400, tails=True)
    episode = only(watch(stored(wing, range(60), noise=lambda s: {999: 3.0} if 20 <= s < 40 else {})))
    assert (episode.kind, episode.begin, episode.end) == (EpisodeKind.NOISE, 20, 40)
    assert 2.5 < episode.severity < 4.5


def test_spike_is_one_second_long_and_closed() -> None:
    wing = Wing(BLOCK, seed=6)

    def change(second: int, counts: np.ndarray) -> None:
        if second == 20:
            counts[127, 300] += int(14 * wing.noise_counts[300])

    episode = only(watch(stored(wing, range(40), change=change)))
    assert (episode.kind, episode.begin, episode.end, episode.is_open) == (EpisodeKind.SPIKE, 20, 21, False)


def test_last_samples_before_a_step_are_not_reported_as_a_spike() -> None:
    wing = Wing(BLOCK, seed=7)

    def change(second: int, counts: np.ndarray) -> None:
        if second == 20:
            counts[126:, 300] += int(20 * wing.noise_counts[300])

    episodes = watch(stored(wing, range(40), shift=lambda s: {300: 20.0} if s > 20 else {}, change=change))
    assert only(episodes).kind is EpisodeKind.STEP


def test_drift_is_found_while_the_aircraft_climbs_and_ends_when_the_level_is_back() -> None:
    wing = Wing(BLOCK, seed=8, swing_counts=300, climb_counts_per_s=8)

    def shift(second: int) -> Mapping[int, float]:
        return {640: 12 * (second - 60) / 180} if 60 <= second < 240 else {}

    episode = only(watch(stored(wing, range(270), shift=shift)))
    assert (episode.kind, episode.is_open) == (EpisodeKind.DRIFT, False)
    assert abs(episode.begin - 60) < 60
    assert episode.end == 240
    assert episode.severity == pytest.approx(12, abs=2)


def test_what_many_neighbours_show_at_once_is_not_one_sensors_fault() -> None:
    wing = Wing(BLOCK, seed=9)
    group = dict.fromkeys(range(100, 112), 8.0)
    assert watch(stored(wing, range(40), shift=lambda s: group if s >= 20 else {})) == {}


def test_missing_seconds_are_survived() -> None:
    wing = Wing(BLOCK, seed=10)
    seconds = [*range(20), *range(23, 45), *range(300, 330)]
    episode = only(watch(stored(wing, seconds, shift=lambda s: {5: 7.0} if 25 <= s < 35 else {})))
    assert (episode.kind, episode.end) == (EpisodeKind.STEP, 35)
    assert episode.begin in (25, 26)


def test_second_without_scores_changes_nothing() -> None:
    wing = Wing(BLOCK, seed=11)
    rows = stored(wing, range(40), shift=lambda s: {5: 7.0} if 15 <= s < 35 else {})
    rows[25] = (25, rows[25][1], np.full((len(SCORES), SENSORS_PER_BLOCK), np.nan, np.float16))
    assert only(watch(rows)).end == 35


def test_second_seen_again_is_ignored() -> None:
    wing = Wing(BLOCK, seed=12)
    rows = stored(wing, range(40), shift=lambda s: {5: 7.0} if 15 <= s < 30 else {})
    assert watch(row for row in rows for _ in range(2)) == watch(rows)


@pytest.mark.parametrize("crash", [61, 67, 69, 71, 75, 88, 100, 115])
def test_detector_made_anew_from_the_store_writes_the_same_episodes(crash: int) -> None:
    wing = Wing(BLOCK, seed=13, swing_counts=300)
    faults = {5: (66, 99, 7.0), 400: (70, 110, -5.0), 801: (30, 74, 6.0)}

    def shift(second: int) -> Mapping[int, float]:
        return {column: sigma for column, (begin, end, sigma) in faults.items() if begin <= second < end}

    rows = stored(wing, range(130), shift=shift, noise=lambda s: {77: 4.0} if 65 <= s < 90 else {})
    whole = watch(rows)
    assert len(whole) == 4

    before = BlockDetector(RUN, BLOCK)
    episodes: dict[tuple[Any, ...], Episode] = {}
    ticks = []
    for row in rows[:crash]:
        newest = before.trail.newest
        episodes |= {episode.key: episode for episode in before.observe(*row)}
        if before.trail.newest != newest:
            tick, levels, groups = before.newest_tick()
            ticks.append((tick, levels.copy(), groups.copy()))
    again = BlockDetector(RUN, BLOCK)
    again.restore(ticks, episodes.values(), rows[crash - RECALL_S : crash])
    for row in rows[crash:]:
        for episode in again.observe(*row):
            episodes[episode.key] = episode
    assert {k: (e.end, e.is_open) for k, e in episodes.items()} == {k: (e.end, e.is_open) for k, e in whole.items()}


def test_confidence_grows_with_the_margin_and_shrinks_with_disturbed_neighbours() -> None:
    assert 0.7 < confidence(1.0, 49) < confidence(2.0, 49) < confidence(5.0, 49) <= 1
    assert confidence(2.0, 20) < confidence(2.0, 49)


def test_health_says_kind_and_severity_in_a_byte() -> None:
    wing = Wing(BLOCK, seed=14)
    detector = BlockDetector(RUN, BLOCK)
    watch(stored(wing, range(30), shift=lambda s: {5: 7.0} if s >= 15 else {}), detector)
    health = detector.health()
    assert np.flatnonzero(health).tolist() == [5]
    kind, severity = divmod(int(health[5]), 32)
    assert KINDS[kind - 1] is EpisodeKind.STEP
    assert severity in (6, 7)

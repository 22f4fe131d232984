"""One label, one episode."""

from __future__ import annotations

from upcall.fastdata.detect.episodes import Episode, EpisodeKind
from upcall.fastdata.faults import Fault, FaultKind
from upcall.fastdata.matching import match

RATE = 128


def episode(sensor: int, kind: str, begin: int) -> Episode:
    return Episode("run", sensor, EpisodeKind(kind), begin, begin + 1, False, begin, 1.0, 1.0, 49, 0.0, 0.0)


def label(sensor: int, kind: str, begin_s: float) -> Fault:
    return Fault(sensor, FaultKind(kind), int(begin_s * RATE), int(begin_s * RATE) + 1, 5, 0)


def test_same_sensor_same_kind_close_begin() -> None:
    labels = [label(1, "step", 100), label(2, "step", 100), label(3, "spike", 100), label(4, "drift", 100)]
    episodes = [episode(1, "step", 110), episode(2, "step", 111), episode(3, "step", 100), episode(4, "drift", 390)]
    matches = match(labels, episodes, RATE)
    assert [(one.sensor, other.sensor) for one, other in matches.pairs] == [(1, 1), (4, 4)]
    assert [one.sensor for one in matches.missed] == [2, 3]
    assert [one.sensor for one in matches.false] == [2, 3]


def test_an_episode_answers_for_one_label_and_the_nearest_pair_comes_first() -> None:
    labels = [label(1, "spike", 100), label(1, "spike", 106)]
    matches = match(labels, [episode(1, "spike", 105)], RATE)
    assert [one.begin_sample // RATE for one, _ in matches.pairs] == [106]
    assert len(matches.missed) == 1
    matches = match(labels, [episode(1, "spike", 105), episode(1, "spike", 107)], RATE)
    assert len(matches.pairs) == 2
    assert not matches.false


def test_two_episodes_for_one_label_are_one_match_and_one_false() -> None:
    matches = match([label(1, "spike", 100)], [episode(1, "spike", 100), episode(1, "spike", 101)], RATE)
    assert (len(matches.pairs), len(matches.false)) == (1, 1)

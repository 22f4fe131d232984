"""What was found against what was labelled, one to one: the same sensor, the same kind, begins close to each other.

Ten seconds for what begins at once; five minutes for a drift, whose begin nobody can see. An episode answers for one
label and a label for one episode, the nearest pairs first. Whoever detects must not import this.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from upcall.fastdata.detect.episodes import Episode, EpisodeKind
from upcall.fastdata.faults import Fault

BEGIN_WITHIN_S: Final = 10
DRIFT_WITHIN_S: Final = 300


@dataclass(frozen=True, slots=True)
class Matches:
    pairs: list[tuple[Fault, Episode]]
    missed: list[Fault]
    false: list[Episode]


def within_s(kind: str) -> int:
    return DRIFT_WITHIN_S if kind == EpisodeKind.DRIFT.value else BEGIN_WITHIN_S


def match(labels: Iterable[Fault], episodes: Iterable[Episode], rate_hz: int) -> Matches:
    labels, episodes = list(labels), list(episodes)
    by_sensor: dict[tuple[int, str], list[int]] = {}
    for place, episode in enumerate(episodes):
        by_sensor.setdefault((episode.sensor, episode.kind.value), []).append(place)
    near = []
    for number, label in enumerate(labels):
        for place in by_sensor.get((label.sensor, label.kind.value), ()):
            distance_s = abs(episodes[place].begin - label.begin_sample / rate_hz)
            if distance_s <= within_s(label.kind.value):
                near.append((distance_s, number, place))
    taken_labels: dict[int, int] = {}
    taken_episodes: set[int] = set()
    for _, number, place in sorted(near):
        if number not in taken_labels and place not in taken_episodes:
            taken_labels[number] = place
            taken_episodes.add(place)
    return Matches(
        pairs=[(labels[number], episodes[place]) for number, place in sorted(taken_labels.items())],
        missed=[label for number, label in enumerate(labels) if number not in taken_labels],
        false=[episode for place, episode in enumerate(episodes) if place not in taken_episodes],
    )

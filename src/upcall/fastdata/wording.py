"""What an episode says, in words: the same ones on the page and in the terminal.

Reading and expectation are told only where they tell the fault. A noisy sensor's mean is right, a stuck one's may be;
each of these is said by what makes it one: how much more it scatters than it should, and that it stands.
"""

from typing import Final

from upcall.fastdata import sensors
from upcall.fastdata.detect.episodes import Episode, EpisodeKind

OTHERS: Final = sensors.NEIGHBOURS - 1
"""A sensor is one of its group."""


def says(episode: Episode) -> str:
    """What is wrong."""
    unit = sensors.SHEETS[sensors.kind_of(episode.sensor)].unit
    if episode.kind is EpisodeKind.NOISE:
        return f"{episode.severity:.1f} times its usual noise"
    if episode.kind is EpisodeKind.STUCK:
        return f"stands at {episode.reading:.6g} {unit}, its neighbours move"
    should = f"reads {episode.reading:.6g}, should be {episode.neighbours_say:.6g} {unit}"
    return f"{episode.severity:.1f} sigma: {should}"


def sure(episode: Episode) -> str:
    """How sure that is, and why."""
    return f"{episode.confidence:.0%} sure, {episode.neighbours_quiet} of {OTHERS} neighbours quiet"

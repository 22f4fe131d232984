"""Each kind of fault is said by what makes it one."""

import pytest

from upcall.fastdata import sensors, wording
from upcall.fastdata.detect.episodes import Episode, EpisodeKind

SENSOR = 7
UNIT = sensors.SHEETS[sensors.kind_of(SENSOR)].unit


def episode(kind: EpisodeKind, severity: float, reading: float, neighbours_say: float) -> Episode:
    return Episode("run", SENSOR, kind, 10, 13, True, 11, severity, 0.93, 47, reading, neighbours_say)


@pytest.mark.parametrize("kind", [EpisodeKind.STEP, EpisodeKind.SPIKE, EpisodeKind.DRIFT])
def test_a_wrong_level_is_said_with_the_one_that_would_be_right(kind: EpisodeKind) -> None:
    told = wording.says(episode(kind, 14.13, 369.8241, 362.7338))
    assert told == f"14.1 sigma: reads 369.824, should be 362.734 {UNIT}"


def test_noise_is_a_ratio_and_its_mean_says_nothing() -> None:
    assert wording.says(episode(EpisodeKind.NOISE, 4.52, 630.73, 630.73)) == "4.5 times its usual noise"


def test_what_is_stuck_stands_while_its_neighbours_move() -> None:
    told = wording.says(episode(EpisodeKind.STUCK, 1.0, 365.8894, 365.9))
    assert told == f"stands at 365.889 {UNIT}, its neighbours move"


def test_how_sure_counts_the_neighbours() -> None:
    assert wording.sure(episode(EpisodeKind.STEP, 5.0, 1.0, 0.0)) == "93% sure, 47 of 49 neighbours quiet"

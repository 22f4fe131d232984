"""Which points of a real service's changes are tried."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import real_crash_points as points


def test_a_run_has_one_kill_in_each_part_of_its_time_and_the_seed_says_which() -> None:
    kills = points.kills_of("update", 3, 3, 30.0)
    assert [int(kill.after_s // 10) for kill in kills] == [0, 1, 2]
    assert kills == points.kills_of("update", 3, 3, 30.0)
    assert kills != points.kills_of("update", 6, 3, 30.0)
    parties = {kill.party for first in range(0, 60, 3) for kill in points.kills_of("upgrade", first, 3, 30.0)}
    assert {"master", "host"} < parties


@pytest.mark.parametrize("count", [1, 3, 20])
def test_all_points_of_each_course_are_tried_and_what_is_interrupted_has_some_of_each(count: int) -> None:
    cells = [cell.split(".", 1) for cell in points.cells_of(list(points.COURSES), count)]
    plain, runs = cells[: len(points.COURSES)], cells[len(points.COURSES) :]
    assert [rest for _, rest in plain] == [points.UNDISTURBED] * len(points.COURSES)
    assert [course for course, _ in runs[: len(points.COURSES)]] == list(points.COURSES)
    for course in points.COURSES:
        ranges = [[int(word) for word in rest.split(".")] for name, rest in runs if name == course]
        assert [first + each for first, kills in ranges for each in range(kills)] == list(range(count))


def test_whatever_is_not_as_in_the_undisturbed_run_is_named() -> None:
    assert points.differences({"lost": 0, "votes": [1, 2]}, {"lost": 0, "votes": [1]}) == "votes: [1, 2] became [1]"
    assert points.differences({"lost": 0}, {"lost": 0}) == ""


@pytest.mark.parametrize("kind", ["grow", "shrink", "update"])
def test_a_size_that_goes_to_and_fro_is_one_course(kind: str) -> None:
    assert points.kind_of(kind) == points.COURSES["update"].kind

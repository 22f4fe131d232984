"""The controlling side may die at any point of a change of a service, and the end is the same.

A share of the points, spread over each course; `make crash-points` tries all of them.
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import pytest
from benchmarks import crash_points as all_points

from upcall.service.link import MasterAway
from upcall.testing import KINDS, Life, SimulatedKind, live
from upcall.testing.crashes import Point

MASTER_POINTS, HOST_POINTS = 7, 3
"""Of each course on each kind."""

every_course = pytest.mark.parametrize("course", all_points.COURSES)
both_kinds = pytest.mark.parametrize("kind", KINDS)


def spread(points: int, count: int) -> list[int]:
    """So many of them, the first and the last among them."""
    return sorted({round(each * (points - 1) / (count - 1)) for each in range(count)})


@both_kinds
@every_course
def test_whoever_dies_in_the_middle_of_a_change_finds_it_as_it_was_and_goes_on(
    course: str, kind: SimulatedKind
) -> None:
    points = all_points.undisturbed(course, kind)
    tried = [Point("master", number) for number in spread(points.master, MASTER_POINTS)]
    tried += [Point("host", number) for number in spread(points.host, HOST_POINTS)]
    assert {point: wrong for point in tried if (wrong := all_points.tried(course, kind, point).wrong)} == {}


def test_a_master_that_forgets_what_it_wrote_last_is_found_out() -> None:
    points = all_points.undisturbed("update", "kernel")
    tried = [Point("master", number) for number in spread(points.master, MASTER_POINTS)]
    assert [point for point in tried if all_points.tried("update", "kernel", point, forgets=True).wrong]


def test_a_step_of_an_update_is_run_although_the_master_died_as_the_course_was_written_down() -> None:
    """Each write of the course in turn: the master has it, and its answer is lost."""
    course = all_points.COURSES["update"]
    written = 0

    async def script(life: Life, dies_at: int) -> None:
        nonlocal written
        await life.until_deployed()
        writes = 0

        def carried_out() -> bool:
            nonlocal writes
            writes += life.master.calls[-1] == "PUT state/sdk.update"
            if writes == dies_at and life.master.world.deaths == 0:
                life.master.die()
                raise MasterAway("it died before it answered")
            return True

        life.master.carried_out = carried_out
        operation = course.ask(life)
        await life.master.until(lambda: life.master.operations[operation].state == "done", within_s=900)
        written = writes

    def play(dies_at: int) -> None:
        async def one(life: Life) -> None:
            await script(life, dies_at)

        live(service, one, kind="kernel", version=course.version)

    service: Any = all_points.service()
    play(0)
    assert written > 5
    for number in range(1, written + 1):
        play(number)

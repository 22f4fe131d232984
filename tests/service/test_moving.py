"""How far a member is on its way to what an update brings, as a rule on what is seen of it."""

import pytest

from upcall.protocol.service import Member
from upcall.service.moving import there
from upcall.service.plan_inputs import Observed
from upcall.service.steps import Restart


def seen(incarnation: int, generation: int, ends: int) -> Observed:
    """A member that is to have generation 2."""
    member = Member(
        name="web-0", state="running", incarnation=incarnation, generation=generation, target_generation=2,
        declared_generation=2, ended_times=ends, revision=3,
    )  # fmt: skip
    return Observed({"web-0": member}, 0.0, {}, frozenset(), 3, "", {}, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(("incarnation", "ends", "fails"), [(5, 4, False), (6, 5, True)])
def test_ends_before_it_had_what_is_new_say_nothing_of_what_is_new(incarnation: int, ends: int, fails: bool) -> None:
    """A canary that crash-loops, and is rolled back: its last incarnation with the bad value was the fourth."""
    marks: dict[str, str] = {}
    there(Restart("web-0"), "canary/web-0", seen(4, 1, 3), marks)
    there(Restart("web-0"), "canary/web-0", seen(5, 2, 4), marks)
    found = there(Restart("web-0"), "canary/web-0", seen(incarnation, 2, ends), marks)
    assert found is not None
    assert (found[0] == "failed") == fails

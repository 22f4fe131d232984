"""What would be right in place of a wrong name is said as a person says it, of one, two, many and none."""

import pytest

from upcall.protocol.nearest import LISTED_MAX, choice, nearest
from upcall.protocol.templates import near

MANY = [f"name-{number}" for number in range(LISTED_MAX + 3)]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "nothing is there"),
        (["a"], "a"),
        (["a", "b"], "a or b"),
        (["a", "b", "c"], "one of a, b, c"),
        (MANY, f"one of {', '.join(MANY[:LISTED_MAX])} ... ({LISTED_MAX + 3} in all)"),
    ],
)
def test_a_choice_is_said_by_how_many_there_are(names: list[str], said: str) -> None:
    assert choice(names, "nothing is there") == said


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("pyhton", ["python", "sandbox", "zone"], "python"),
        ("port.htp", ["port.http", "port.admin", "zone"], "port.admin or port.http"),
        ("volume.x", ["volume.a", "volume.b", "volume.c"], "one of volume.a, volume.b, volume.c"),
        ("zzz", ["python"], "python"),
        ("zzz", [], "no name: none is known here"),
    ],
)
def test_names_of_a_template_are_said_alike(name: str, known: list[str], said: str) -> None:
    assert near(name, known) == said


def test_what_was_meant_is_asked_where_it_is_near() -> None:
    assert nearest("kafak", ["kafka", "spark"]) == ", did you mean 'kafka'?"
    assert nearest("zzz", ["kafka"]) == ""

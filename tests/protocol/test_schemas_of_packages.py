"""A package's schema judges values, and does nothing else to who uses it."""

from typing import Any

import pytest

from upcall.protocol import schema
from upcall.protocol.errors import Invalid


def check(properties: dict[str, Any], values: dict[str, Any], **more: Any) -> None:
    schema.check({"properties": properties, **more}, values, noun="option", of="log", where="options")


def test_what_may_be_left_out_is_told_by_the_form_that_it_has() -> None:
    goals = {
        "properties": {"survive": {"anyOf": [{"enum": ["1-node", "1-zone"]}, {"type": "null"}]}},
        "additionalProperties": False,
    }
    option = {"goals": {"anyOf": [{"$ref": "#/$defs/goals"}, {"type": "null"}]}}
    with pytest.raises(Invalid, match="unknown name 'surviv', did you mean 'survive'") as caught:
        check(option, {"goals": {"surviv": "1-node"}}, **{"$defs": {"goals": goals}})
    assert (caught.value.problem.where, caught.value.problem.expected) == ("options.goals", "survive")
    with pytest.raises(Invalid, match="'1-nod' is not allowed") as caught:
        check(option, {"goals": {"survive": "1-nod"}}, **{"$defs": {"goals": goals}})
    assert (caught.value.problem.where, caught.value.problem.expected) == (
        "options.goals.survive", "1-node or 1-zone",
    )  # fmt: skip


def test_a_pattern_that_would_try_every_way_to_match_answers_at_once() -> None:
    """With Python's engine this takes longer than the universe is old."""
    with pytest.raises(Invalid, match="does not match"):
        check({"name": {"pattern": "^(a+)+$"}}, {"name": "a" * 50_000 + "!"})
    check({"name": {"pattern": "^(a+)+$"}}, {"name": "a" * 50_000})


@pytest.mark.parametrize("pattern", ["(", "a(?=b)", r"(a)\1", "x" * 1001])
def test_a_pattern_that_is_none_is_refused_with_its_path(pattern: str) -> None:
    with pytest.raises(Invalid, match="a pattern in the schema of log") as caught:
        schema.vet({"properties": {"name": {"items": {"pattern": pattern}}}}, of="log")
    assert caught.value.problem.where == "schema.properties.name.items.pattern"


def test_nothing_is_fetched_for_a_schema() -> None:
    with pytest.raises(Invalid, match=r"refers to 'http://127.0.0.1:9/s.json', which is not in it"):
        check({"name": {"$ref": "http://127.0.0.1:9/s.json"}}, {"name": 1})


def test_a_schema_that_doubles_itself_comes_to_an_end() -> None:
    doubling = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)} | {"d40": {}}
    with pytest.raises(Invalid, match="follows its references without an end"):
        check({"name": {"$ref": "#/$defs/d0"}}, {"name": 1}, **{"$defs": doubling})


def test_a_part_cannot_choose_its_own_judge() -> None:
    part = {"$schema": "https://json-schema.org/draft/2020-12/schema", "pattern": "a"}
    with pytest.raises(Invalid, match="another dialect"):
        check({"name": part}, {"name": "a"})


@pytest.mark.parametrize("broken", [{"type": 5}, {"properties": []}, {"properties": {"a": {"minimum": "one"}}}])
def test_what_is_no_schema_is_one_error(broken: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="the schema of log is none"):
        schema.vet(broken, of="log")


def test_patterns_that_name_properties_are_asked_for_otherwise() -> None:
    with pytest.raises(Invalid, match="uses patternProperties") as caught:
        schema.vet({"patternProperties": {"^(a+)+$": {"type": "string"}}}, of="log")
    assert "propertyNames" in caught.value.problem.expected


def test_an_option_may_have_the_name_of_a_keyword() -> None:
    check({"pattern": {"type": "string"}, "$ref": {"default": {"pattern": "("}}}, {"pattern": "("})


def test_references_within_are_followed() -> None:
    with pytest.raises(Invalid, match="a whole number from 1 to 9"):
        check(
            {"n": {"$ref": "#/$defs/n"}}, {"n": 0}, **{"$defs": {"n": {"type": "integer", "minimum": 1, "maximum": 9}}}
        )

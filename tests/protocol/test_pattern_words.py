"""What a name may hold is said in words, wherever a pattern decides: nobody has to read a regular expression."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from upcall.protocol import operator, schema
from upcall.protocol.errors import Invalid
from upcall.protocol.operator import refusal
from upcall.protocol.pattern_words import in_words, of_text
from upcall.service.package import build_installed, installed

NAMES = ("name", "topic", "keyspace", "service", "job")
"""Of options, arguments and requests: what is called so is a name."""


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"^[a-zA-Z0-9._-]{1,249}$", "letters, digits and . _ -, at most 249 characters"),
        (
            r"^[a-z][a-z0-9_]{0,47}$",
            "lower-case letters, digits and _, a lower-case letter first, at most 48 characters",
        ),
        (operator.NAME, "lower-case letters, digits and single dashes between them, a lower-case letter first"),
        (r"^$|^[A-Z]{2,3}$", "capital letters, 2 to 3 characters; or nothing"),
        (r"^[0-9a-f]{64}$(?!\n)", "digits and a to f, 64 characters"),
        (r"^[0-9]+$", "digits"),
        (r"^\d+(KiB|MiB|GiB)$", "a whole number with its unit (KiB, MiB or GiB), as 10MiB"),
        (r"^\d+(B/s|KiB/s|MiB/s)$", "a whole number with its unit (B/s, KiB/s or MiB/s), as 10MiB/s"),
        (r"^\d+(d|h|m)$", "a whole number with its unit (d, h or m), as 10m"),
        (r"^-?\d+(us|ms|s)?$", "a whole number, alone or with its unit (us, ms or s), as 10s"),
        (r"^-?\d+$", "a whole number"),
        (r"^-?\d+(\.\d+)?$", "a number, as 0.5"),
        (
            "^(compact|delete)?(,(compact|delete))*$",
            "some of compact and delete, with commas between them, as compact,delete",
        ),
    ],
)
def test_a_name_is_told_by_its_characters_and_an_amount_by_its_units(pattern: str, words: str) -> None:
    assert in_words(pattern) == words


@pytest.mark.parametrize(
    "pattern",
    [r"^-?\d+(us|[ms])?$", "(a+)+$", "^[^a]$", "^[a-c]$", "^a", "", r"^[A-Z][a-z]+$", r"^(?i)x$", r"^[a-z](-[0-9]+)*$"],
)
def test_what_is_more_than_a_name_has_no_words(pattern: str) -> None:
    assert in_words(pattern) == ""


def test_a_texts_length_is_told_once() -> None:
    assert of_text({"maxLength": 20}) == "at most 20 characters"
    assert of_text({"minLength": 2, "maxLength": 20}) == "2 to 20 characters"
    assert of_text({"pattern": "^[0-9]+$", "maxLength": 20}) == "digits, at most 20 characters"
    assert of_text({"pattern": "^[0-9]{1,5}$", "maxLength": 20}) == "digits, at most 5 characters"
    assert of_text({}) == ""


def patterns(part: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """(of what, pattern) in a JSON Schema."""
    if isinstance(part, dict):
        if isinstance(part.get("pattern"), str):
            yield name, part["pattern"]
        for key, value in part.items():
            yield from patterns(value, name if key in ("anyOf", "items", "properties", "$defs") else str(key))
    elif isinstance(part, list):
        for each in part:
            yield from patterns(each, name)


def schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    for entry in installed():
        package = build_installed(entry).package
        yield package.name, dict(package.options_schema)
        for action in package.actions:
            yield f"{package.name} {action.name}", dict(action.arguments)
    for name, model in vars(operator).items():
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield name, model.model_json_schema()


def test_every_name_that_a_pattern_checks_has_words() -> None:
    found = [(of, name, each) for of, one in schemas() for name, each in patterns(one) if name in NAMES]
    assert len(found) > 8
    assert [one for one in found if not in_words(one[2])] == []


def test_a_request_and_a_schema_answer_in_words() -> None:
    with pytest.raises(ValidationError) as refused:
        operator.SecretGrant(service="Not One")
    said = refusal(refused.value.errors()).problem
    assert (said.message, said.where) == ("'Not One' does not match", "service")
    assert said.expected == in_words(operator.NAME)
    topic = {"properties": {"name": {"type": "string", "pattern": r"^[a-zA-Z0-9._-]{1,249}$"}}}
    with pytest.raises(Invalid) as told:
        schema.check(topic, {"name": "a b"}, noun="argument", of="create-topic", where="arguments")
    assert told.value.problem.message == "'a b' does not match"
    assert told.value.problem.expected == "letters, digits and . _ -, at most 249 characters"
    assert not re.search(r"[\^$\[]", f"{told.value.problem.message} {told.value.problem.expected}")

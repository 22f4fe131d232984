"""Where in a YAML file something stands, and mistakes in it by line and key."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import yaml
from pydantic import ValidationError

from upcall.protocol.decoder_words import of_validator
from upcall.protocol.errors import Invalid

UNKNOWN: Final = ("extra_forbidden", "unknown_key")
"""Kinds of a model's errors that are about a key which nobody knows."""

Location = Sequence[int | str]


def named(error: ValidationError, tree: yaml.Node | None, where: str, known: Callable[[Location], str]) -> Invalid:
    """The first mistake, with its line, its key, and what would be right; ``known``: the nearest key that is."""
    # A key that nobody knows is often the missing one, misspelt: it is named first.
    first = min(error.errors(include_url=False), key=lambda one: one["type"] not in UNKNOWN)
    location = first["loc"]
    key = dotted(location)
    place = f"{where} line {line_of(tree, location)}"
    if first["type"] == "unknown_key":
        location = (*location, first["msg"])
        place = f"{where} line {line_of(tree, location)}"
    if first["type"] in UNKNOWN:
        return Invalid(
            f"unknown key {location[-1]!r} in {dotted(location[:-1])}", where=place, expected=known(location)
        )
    if first["type"] == "missing":
        return Invalid(f"{key} is missing", where=f"{where} line {line_of(tree, location[:-1])}")
    number = first["type"] == "string_type" and isinstance(first["input"], int | float)
    said = of_validator(first)
    expected = f'"{first["input"]}", in quotation marks' if number else said.expected
    return Invalid(f"{key}: {said.message}", where=place, expected=expected)


def dotted(location: Sequence[int | str]) -> str:
    return (
        "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in location).lstrip(".")
        or "the platform file"
    )


def line_of(tree: yaml.Node | None, location: Iterable[int | str]) -> int:
    """The line of the deepest part of ``location`` that the file has."""
    line = 1
    for step in location:
        if isinstance(tree, yaml.SequenceNode) and isinstance(step, int) and step < len(tree.value):
            tree = tree.value[step]
            line = tree.start_mark.line + 1
        elif isinstance(tree, yaml.MappingNode):
            for key, value in tree.value:
                if key.value == str(step):
                    line, tree = key.start_mark.line + 1, value
                    break
            else:
                return line
        else:
            return line
    return line

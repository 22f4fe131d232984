"""What is common to all that is asked and answered: names, and what is strict."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from upcall.protocol.decoder_words import of_validator, shown
from upcall.protocol.errors import Invalid
from upcall.protocol.pattern_words import in_words

NAME = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
"""Names of services, members and nodes: lower case, digits, single dashes (valid in DNS)."""
NAME_WORDS = f"{in_words(NAME)}, at most 40 characters"
WORD = r"[A-Za-z0-9][A-Za-z0-9._-]*"
"""Zones and attributes' names: they stand in option files, paths and arguments of the systems that run on a node."""
LINE = r"[^\x00-\x1f\x7f]*"


class Strict(BaseModel):
    """A request: a key that nobody knows is a mistake of the caller."""

    model_config = ConfigDict(extra="forbid")


class View(BaseModel):
    """A response: clients ignore what they do not know."""

    model_config = ConfigDict(extra="ignore")


def matching(pattern: str, text: str, what: str, expected: str) -> str:
    """``text``, if it is empty (the default) or matches."""
    if text and not re.fullmatch(pattern, text):
        # Its context goes into the error's `expected`: see `refusal`.
        raise PydanticCustomError(
            "pattern", "not {what}: {text}", {"what": what, "text": shown(text), "expected": expected}
        )
    return text


def refusal(errors: Sequence[Mapping[str, Any]]) -> Invalid:
    """The first of pydantic's errors about a request, as the API and the command line say it."""
    first, context = errors[0], errors[0].get("ctx", {})
    said = of_validator(first)
    message, expected = said.message, str(context.get("expected", "")) or said.expected
    if first.get("type") == "string_pattern_mismatch" and (words := in_words(str(context.get("pattern", "")))):
        message, expected = f"{shown(first.get('input'))} does not match", words
    return Invalid(message, where=said.where, expected=expected)

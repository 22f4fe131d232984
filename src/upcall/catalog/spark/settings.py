"""Spark's own settings, as a person may give them: what the locked version knows, less what stays closed.

Spark takes any name in silence, and a wrong value ends the process that reads it first. So both are checked where they
are typed in, against what ``scripts/spark_settings.py`` asked Spark itself. What a library of a job's reads, Spark does
not know: that goes into ``unchecked_settings``.
"""

from functools import cache
from importlib.resources import files
from typing import Any, Final

from upcall.catalog.spark.config import CLOSED
from upcall.protocol import schema
from upcall.protocol.errors import Invalid

KINDS: Final[dict[str, dict[str, Any]]] = {
    "text": {"type": "string"},
    "boolean": {"enum": ["true", "false"]},
    "integer": {"type": "string", "pattern": r"^-?\d+$"},
    "number": {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"},
    "duration": {"type": "string", "pattern": r"^-?\d+(us|ms|s|m|min|h|d)?$"},
    "size": {"type": "string", "pattern": r"^-?\d+([kmgtp]b?|b)?$"},
}


UNREGISTERED: Final = {"spark.local.dir": "text"}
"""Read by Spark without an entry in its register."""


@cache
def facts() -> tuple[str, dict[str, str]]:
    """The version, and setting -> kind."""
    first, *lines = (files(__package__) / "settings.txt").read_text().splitlines()
    return first.split()[1], {**UNREGISTERED, **dict(line.split() for line in lines)}


@cache
def settings_schema() -> dict[str, Any]:
    """JSON Schema of the option ``settings``."""
    known = {name: KINDS[kind] for name, kind in facts()[1].items()}
    barred = {name: {"not": {}, "description": "stays closed"} for name in CLOSED}
    return {"type": "object", "properties": {**known, **barred}, "additionalProperties": False}


def checked(given: dict[str, str]) -> dict[str, str]:
    """``given``, or ``ValueError`` with one clear sentence."""
    try:
        schema.check(settings_schema(), given, noun="setting", of=f"Spark {facts()[0]}", where="settings")
    except Invalid as error:
        raise ValueError(str(error)) from None
    return given

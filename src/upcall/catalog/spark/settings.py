"""Spark's own settings, as a person may give them: what the locked version knows, less what stays closed.

Spark takes any name in silence, and a wrong value ends the process that reads it first. So both are checked where they
are typed in, against what ``scripts/spark_settings.py`` asked Spark itself. What a library of a job's reads, Spark does
not know: that goes into ``unchecked_settings``.
"""

from functools import cache
from importlib.resources import files
from typing import Any, Final

from upcall.catalog.known import check_settings, settings_object
from upcall.catalog.spark.config import CLOSED

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
    return settings_object(known, dict.fromkeys(CLOSED, "stays closed"))


def checked(given: dict[str, str]) -> dict[str, str]:
    """``given``, or ``ValueError`` with one clear sentence."""
    check_settings(settings_schema(), given, of=f"Spark {facts()[0]}")
    return given

"""Spark's own settings, as a person may give them: what each locked version knows, less what stays closed.

Spark takes any name in silence, and a wrong value ends the process that reads it first. So both are checked where they
are typed in, against what ``scripts/spark_settings.py`` asked Spark itself. What a library of a job's reads, Spark does
not know: that goes into ``unchecked_settings``.
"""

from importlib.resources import files
from typing import Any, Final

from upcall.catalog.known import checked_as, settings_object
from upcall.catalog.spark.config import CLOSED

KINDS: Final[dict[str, dict[str, Any]]] = {
    "text": {"type": "string"},
    "boolean": {"enum": ["true", "false"]},
    "integer": {"type": "string", "pattern": r"^-?\d+$"},
    "number": {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"},
    "duration": {"type": "string", "pattern": r"^-?\d+(us|ms|s|m|min|h|d)?$"},
    "size": {"type": "string", "pattern": r"^-?\d+(b|k|kb|m|mb|g|gb|t|tb|p|pb)?$"},
}


UNREGISTERED: Final = {"spark.local.dir": "text"}
"""Read by Spark without an entry in its register."""


def facts(version: str) -> dict[str, str]:
    """Setting -> kind. Read each time: no version that nobody asks about stays in memory."""
    lines = (files(__package__) / "versions" / version / "settings.txt").read_text().splitlines()
    return {**UNREGISTERED, **dict(line.split() for line in lines)}


def settings_schema(version: str) -> dict[str, Any]:
    """JSON Schema of the option ``settings``, and of a job's."""
    known = {name: KINDS[kind] for name, kind in facts(version).items()}
    return settings_object(known, dict.fromkeys(CLOSED, "stays closed"))


OF_VERSION: Final = checked_as("Spark", settings_schema)
"""Of the option, or the argument, that holds them."""

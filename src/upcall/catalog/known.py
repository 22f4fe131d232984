"""A system's own settings as an option: what its locked version knows, less what the package makes itself.

A system passes over a name that it does not know, or ends at its start on a value that it cannot read. So both are
checked where they are typed in, against facts that a script asks of the locked version (``scripts/*_settings.py``).
"""

from collections.abc import Callable, Mapping
from typing import Any

from upcall.protocol import schema
from upcall.protocol.errors import Invalid
from upcall.service import ByVersion


def settings_object(known: Mapping[str, Any], barred: Mapping[str, str]) -> dict[str, Any]:
    """JSON Schema of an option that holds settings. ``known``: name -> schema; ``barred``: name -> why it is not."""
    refused = {name: {"not": {}, "description": why} for name, why in barred.items()}
    return {"type": "object", "properties": {**known, **refused}, "additionalProperties": False}


def check_settings(
    of_settings: Mapping[str, Any],
    given: Mapping[str, Any],
    *,
    of: str,
    noun: str = "setting",
    beside: str = "unchecked_settings",
) -> None:
    """``ValueError``, as an option's validator raises it, with one clear sentence; ``of`` names system and version,
    ``beside`` what takes names that are not known."""
    try:
        schema.check(of_settings, given, noun=noun, of=of, where="settings")
    except Invalid as error:
        insists = schema.insisting(beside) if set(given) - set(of_settings.get("properties", {})) else ""
        raise ValueError(str(error) + insists) from None


def own(options: Any) -> dict[str, Any]:
    """A person's own settings, which win over those made here: of options that hold them."""
    return {**options.settings, **options.unchecked_settings}


def checked_as(system: str, schema_of: Callable[[str], dict[str, Any]]) -> ByVersion:
    """Of an option, or an argument, that holds settings: what each version of the system makes of them."""

    def check(version: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        if given:
            check_settings(schema_of(version), given, of=f"{system} {version}")
        return given

    return ByVersion(check, schema_of)


def made_here(sources: Mapping[str, str]) -> dict[str, str]:
    """Name -> where its value comes from, in the words of a refusal."""
    return {name: f"made here: {source}" for name, source in sources.items()}

"""Values against a JSON Schema, in a person's words: one clear error that names the first one that is wrong.

Options of a package and arguments of an action are checked by the same code and in the same words at the API and, for
a whole composition, by the command line before anything is asked of the master.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import jsonschema
import jsonschema.validators

from upcall.protocol.errors import Invalid


def nearest(name: str, known: Iterable[str]) -> str:
    """``, did you mean 'brokers'?`` or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def check(schema: Mapping[str, Any], values: Mapping[str, Any], *, noun: str, of: str, where: str) -> None:
    """``noun`` is what one value is called ("option"), ``of`` whose it is, ``where`` stands before its path."""
    if not schema:
        return
    known = schema.get("properties", {})
    for name in values:
        if name not in known:
            raise Invalid(
                f"unknown {noun} {name!r} of {of}{nearest(name, known)}",
                where=f"{where}.{name}",
                expected=f"one of {', '.join(sorted(known))}" if known else f"no {noun}s",
            )
    validator = jsonschema.validators.validator_for(schema)(schema)
    errors = sorted(validator.iter_errors(dict(values)), key=lambda error: [str(part) for part in error.path])
    if errors:
        error = errors[0]
        path = ".".join([where, *(str(part) for part in error.path)])
        raise Invalid(_message(error), where=path, expected=_expected(error), of=of)


def _message(error: "jsonschema.exceptions.ValidationError") -> str:
    if error.validator == "not" and isinstance(error.schema, Mapping):
        why = error.schema.get("description", "")
        return f"{error.instance!r} is not allowed" + (f" ({why})" if why else "")
    return str(error.message)


def _expected(error: "jsonschema.exceptions.ValidationError") -> str:
    """What would be right, from the part of the schema that was not met."""
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    kind = schema.get("type", "number")
    excluded = _excluded(schema)
    if kind == "integer" and low is not None and high is not None and excluded:
        return f"integer: {_without(low, high, excluded)}"
    if low is not None and high is not None:
        return f"{kind} from {low} to {high}"
    if low is not None or high is not None:
        return f"{kind} of at least {low}" if low is not None else f"{kind} of at most {high}"
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"])
    if "pattern" in schema:
        return f"text that matches {schema['pattern']}"
    return str(schema.get("type", ""))


def _excluded(schema: Mapping[str, Any]) -> list[int]:
    """Values that the schema's ``not`` takes out of a range."""
    barred = schema.get("not", {})
    values = barred.get("enum", [barred["const"]] if "const" in barred else [])
    return sorted(value for value in values if isinstance(value, int))


def _without(low: int, high: int, excluded: Iterable[int]) -> str:
    """``1 or 3 to 9``: the range in the parts that are left of it."""
    parts, first = [], low
    for value in [*excluded, high + 1]:
        if low <= value <= high + 1:
            if first < value:
                parts.append(f"{first}" if first == value - 1 else f"{first} to {value - 1}")
            first = value + 1
    return " or ".join(parts)

"""Values against a JSON Schema, in a person's words: one clear error that names the first one that is wrong.

Options of a package and arguments of an action are checked by the same code and in the same words at the API and, for
a whole composition, by the command line before anything is asked of the master.

A schema is a package's, so it is judged before it judges (:func:`vet`): it fetches nothing, its patterns are matched
in linear time (:mod:`upcall.protocol.patterns`), and it cannot multiply itself by references.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import jsonschema
import jsonschema.validators
import referencing

from upcall.protocol import patterns
from upcall.protocol.errors import Invalid
from upcall.protocol.nearest import choice, nearest
from upcall.protocol.pattern_words import in_words, of_text

REFERENCES_MAX: Final = 10_000
"""Followed while one set of values is checked: a schema of options has tens, one that doubles itself has no end."""
NAMES_MAX: Final = 40
"""A person reads no longer list; the nearest name stands in the message."""
TYPES: Final = {
    "integer": "a whole number", "number": "a number", "string": "text", "boolean": "true or false", "array": "a list",
    "object": "a map of names to values",
}  # fmt: skip
VETTED_MAX: Final = 256
"""Schemas that are remembered as vetted, by what they are: one with hundreds of settings takes a third of a second."""
_vetted: set[bytes] = set()
_DATA: Final = frozenset({"const", "enum", "default", "examples"})
"""Keywords whose values are no schemas."""


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
                expected=_one_of(known) if known else f"no {noun}s",
            )
    vet(schema, of=of)
    validator = _bounded(jsonschema.validators.validator_for(schema))(schema, registry=referencing.Registry())
    errors = sorted(validator.iter_errors(dict(values)), key=lambda error: [str(part) for part in error.path])
    if errors:
        error = _of_its_one_form(errors[0])
        path = ".".join([where, *(str(part) for part in error.absolute_path)])
        raise Invalid(_message(error), where=path, expected=_expected(error) + _insisting(error, known), of=of)


def _of_its_one_form(error: "jsonschema.exceptions.ValidationError") -> "jsonschema.exceptions.ValidationError":
    """What may be left out and was given (``anyOf`` it, or null) is wrong by the one form that it has."""
    of_null = [one.schema_path[0] for one in error.context or () if _mapping(one.schema).get("type") == "null"]
    others = [one for one in error.context or () if one.schema_path[0] not in of_null]
    if error.validator == "anyOf" and of_null and len({one.schema_path[0] for one in others}) == 1:
        return _of_its_one_form(others[0])
    return error


def vet(schema: Mapping[str, Any], *, of: str, where: str = "schema") -> None:
    """``Invalid`` for a schema that cannot be used, or that would do more than judge values."""
    digest = hashlib.sha256(json.dumps(schema, default=repr).encode()).digest()
    if digest not in _vetted:
        _vet(schema, of, where)
        if len(_vetted) >= VETTED_MAX:
            _vetted.clear()
        _vetted.add(digest)


def _vet(schema: Mapping[str, Any], of: str, where: str) -> None:
    ahead: list[tuple[str, Any]] = [(where, schema)]
    while ahead:
        path, part = ahead.pop()
        if isinstance(part, Mapping):
            if path != where and isinstance(part.get("$schema"), str):
                raise Invalid(f"the schema of {of} has a part of another dialect", where=path, expected="one $schema")
            _vet_part(part, of, path)
            ahead += [(f"{path}.{key}", value) for key, value in part.items() if key not in _DATA]
        elif isinstance(part, list):
            ahead += [(f"{path}.{index}", value) for index, value in enumerate(part)]
    try:
        kind: Any = jsonschema.validators.validator_for(schema)
        kind.check_schema(dict(schema), format_checker=jsonschema.FormatChecker(()))
    except jsonschema.SchemaError as error:
        path = ".".join([where, *(str(part) for part in error.path)])
        raise Invalid(f"the schema of {of} is none: {error.message}", where=path, expected="a JSON Schema") from None
    except RecursionError:
        raise Invalid(f"the schema of {of} is nested too deeply", where=where, expected="fewer levels") from None


def _vet_part(part: Mapping[str, Any], of: str, path: str) -> None:
    pattern = part.get("pattern")
    if isinstance(pattern, str) and (wrong := patterns.fault(pattern)):
        raise Invalid(f"a pattern in the schema of {of} {wrong[0]}", where=f"{path}.pattern", expected=wrong[1])
    if any(isinstance(value, Mapping) for value in _mapping(part.get("patternProperties")).values()):
        right = "propertyNames with a pattern, and additionalProperties"
        raise Invalid(f"the schema of {of} uses patternProperties", where=f"{path}.patternProperties", expected=right)
    for name in ("$ref", "$dynamicRef", "$recursiveRef"):
        reference = part.get(name)
        if isinstance(reference, str) and not reference.startswith("#"):
            wrong_one = f"the schema of {of} refers to {reference!r}, which is not in it"
            raise Invalid(wrong_one, where=f"{path}.{name}", expected="a reference that starts with '#'")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _bounded(kind: Any) -> Any:
    """This kind of validator, with patterns in linear time and so many references at most."""
    left = REFERENCES_MAX

    def counted(follow: Callable[..., Iterator[Any] | None]) -> Callable[..., Iterator[Any]]:
        def reference(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
            nonlocal left
            left -= 1
            if left < 0:
                expected = f"at most {REFERENCES_MAX} in one check"
                raise Invalid("the schema follows its references without an end", where="schema", expected=expected)
            yield from follow(validator, value, instance, schema) or ()

        return reference

    followed = {name: counted(rule) for name, rule in kind.VALIDATORS.items() if name.endswith(("$ref", "Ref"))}
    extend: Callable[..., Any] = jsonschema.validators.extend
    return extend(kind, {**followed, "pattern": _pattern})


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    if validator.is_type(instance, "string") and not patterns.compiled(pattern).search(
        instance.encode(errors="surrogatepass")
    ):
        # Which form that is, is said as what was expected.
        yield jsonschema.ValidationError(
            f"{instance!r} does not match" + ("" if in_words(pattern) else f" {pattern!r}")
        )


def _message(error: "jsonschema.exceptions.ValidationError") -> str:
    if error.validator == "not" and isinstance(error.schema, Mapping):
        # The reason of what is taken out, where it has one of its own: the rest describes the whole.
        why = _mapping(error.schema["not"]).get("description", "") or error.schema.get("description", "")
        return f"{error.instance!r} is not allowed" + (f" ({why})" if why else "")
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        known = _known(error)
        unknown = sorted(str(name) for name in error.instance if name not in known)
        if unknown:
            return f"unknown name {unknown[0]!r}{nearest(unknown[0], known)}"
    part = _mapping(error.schema)
    if isinstance(part.get("type"), list) and "description" in part and error.validator != "enum":
        return f"{error.instance!r} is not allowed"  # what is, is expected
    if error.validator == "enum":
        return f"{error.instance!r} is not allowed"
    if error.validator == "type" and part.get("type") in TYPES:
        return f"{error.instance!r} is not {TYPES[part['type']]}"
    return str(error.message)


def _one_of(known: Iterable[str]) -> str:
    names = sorted(known)
    return choice(names, "") if len(names) <= NAMES_MAX else f"one of {len(names)} names that are known"


def _known(error: "jsonschema.exceptions.ValidationError") -> Mapping[str, Any]:
    return _mapping(_mapping(error.schema).get("properties"))


def _expected(error: "jsonschema.exceptions.ValidationError") -> str:
    """What would be right, from the part of the schema that was not met."""
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    kind = schema.get("type", "number")
    if isinstance(kind, list) and "description" in schema:
        return str(schema["description"])
    if schema.get("not") == {}:
        return "that it is left out"
    excluded, word = _excluded(schema), TYPES.get(str(kind), str(kind))
    if kind == "integer" and low is not None and high is not None and excluded:
        return f"{word}: {_without(low, high, excluded)}"
    if low is not None and high is not None:
        return f"{word} from {low} to {high}"
    if low is not None or high is not None:
        return f"{word} of at least {low}" if low is not None else f"{word} of at most {high}"
    if error.validator == "additionalProperties":
        return _one_of(_known(error))
    if "enum" in schema:
        return choice(map(str, schema["enum"]), "nothing: no value is allowed")
    if words := of_text(schema):
        return words
    if "pattern" in schema:
        return f"text that matches {schema['pattern']}"
    return TYPES.get(str(schema.get("type", "")), "")


def _insisting(error: "jsonschema.exceptions.ValidationError", options: Mapping[str, Any]) -> str:
    """Where a name in a map is not known: the option beside it that takes any (a plug-in's)."""
    beside = f"unchecked_{error.path[-1]}" if error.path else ""
    insists = error.validator == "additionalProperties" and beside in options
    return insisting(beside) if insists else ""


def insisting(beside: str) -> str:
    """The way for whoever means a name that nobody here knows."""
    return f"; `{beside}` takes any other, and nobody checks those"


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

"""What decoders and validators say, in a person's words.

Two libraries judge what arrives, each in its own words (``Expected `int`, got `str` - at `$.ports[0].number```; ``Input
should be a valid integer, unable to parse string as an integer``). A person reads the same of both: what is wrong,
where, and what would be right.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

VALUE_CHARS_MAX: Final = 60
"""Of a wrong value that is said again."""

_TYPES: Final = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "bytes": "text",
    "array": "a list",
    "object": "a map of names to values",
    "null": "nothing",
}
_INPUTS: Final = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "array": "a list",
    "dictionary": "a map of names to values",
    "object": "a map of names to values",
}
_BOUNDS: Final = {"ge": "at least {}", "gt": "more than {}", "le": "at most {}", "lt": "less than {}"}
_LENGTHS: Final = {"string_too": "characters", "too": "entries"}
_ONE: Final = {"characters": "character", "entries": "entry"}
_SIGNS: Final = {">=": "at least {}", ">": "more than {}", "<=": "at most {}", "<": "less than {}", "==": "exactly {}"}

_WRONG_TYPE: Final = re.compile(r"Expected `(?P<wanted>[^`]*)`, got `(?P<got>[^`]*)`")
_BOUND: Final = re.compile(r"Expected `(?P<of>\w+)`(?P<length> of length)? (?P<sign>[<>=]=?) (?P<bound>\S+)")
_FIELD: Final = re.compile(r"Object (?P<how>missing required|contains unknown) field `(?P<name>[^`]*)`")
_VALUE: Final = re.compile(r"Invalid (?:enum )?value (?P<value>.+)", re.DOTALL)
_VALID: Final = re.compile(r"a valid (?P<of>\w+)")


class Said(NamedTuple):
    """What is wrong, where (empty: it does not say), and what would be right (empty: nobody knows)."""

    message: str
    where: str = ""
    expected: str = ""


def of_decoder(text: str) -> Said:
    """What the decoder of the wire found."""
    message, _, path = text.partition(" - at ")
    inner, _, outer = path.strip("`").rpartition("` in `")
    where = ("a name in " if inner else "") + outer.removeprefix("$").removeprefix(".")
    if found := _WRONG_TYPE.fullmatch(message):
        return Said(f"{_types(found['got'])}, not {_types(found['wanted'])}", where, _types(found["wanted"]))
    if found := _BOUND.fullmatch(message):
        right = _SIGNS[found["sign"]].format(found["bound"])
        unit = {"str": " characters", "array": " entries", "object": " names"}.get(found["of"], "")
        much = {"<": "too long", ">": "too short"} if found["length"] else {"<": "too large", ">": "too small"}
        return Said(much.get(found["sign"][0], "wrong"), where, right + (unit if found["length"] else ""))
    if found := _FIELD.fullmatch(message):
        if found["how"] == "missing required":
            return Said(f"{found['name']!r} is missing", where)
        return Said(f"unknown name {found['name']!r}", where)
    if found := _VALUE.fullmatch(message):
        return Said(f"{_short(found['value'])} is not allowed", where)
    return Said(message, where)


def of_validator(item: Mapping[str, Any]) -> Said:
    """What pydantic found, one of its errors."""
    kind, said, given = str(item.get("type", "")), str(item.get("msg", "")), item.get("input")
    context = item.get("ctx") or {}
    where = ".".join(str(part) for part in item.get("loc", ()))
    name = where.rpartition(".")[2]
    if kind == "missing":
        return Said(f"{name!r} is missing", where)
    if kind == "extra_forbidden":
        return Said(f"unknown name {name!r}", where)
    if how := _length(kind, context, given):
        return Said(how[0], where, how[1])
    for bound, right in _BOUNDS.items():
        if bound in context and said.startswith("Input should be "):
            much = "small" if bound.startswith("g") else "large"
            return Said(f"{shown(given)} is too {much}", where, right.format(context[bound]))
    right, _, _ = said.removeprefix("Input should be ").partition(", unable to")
    if right != said:
        if found := _VALID.match(right):
            right = _INPUTS.get(found["of"], right)
        if kind == "none_required":
            right = "nothing"
        word = "allowed" if kind in ("literal_error", "enum") else right
        return Said(f"{shown(given)} is not {word}", where, right)
    return Said(said.removeprefix("Value error, "), where, str(context.get("expected", "")))


def _length(kind: str, context: Mapping[str, Any], given: Any) -> tuple[str, str] | None:
    """Of a text or a list that is too long or too short: how long it is, and how long it may be."""
    of, _, much = kind.rpartition("_")
    bound = context.get({"long": "max_length", "short": "min_length"}.get(much, ""))
    if of not in _LENGTHS or bound is None:
        return None
    unit, count = _LENGTHS[of], context.get("actual_length") or (len(given) if hasattr(given, "__len__") else 0)
    right = f"at {'most' if much == 'long' else 'least'} {bound} {unit if bound != 1 else _ONE[unit]}"
    return (f"{count} {unit if count != 1 else _ONE[unit]}" if count else "nothing"), right


def _types(text: str) -> str:
    """``int | null`` -> ``a whole number or nothing``."""
    return " or ".join(_TYPES.get(one, one) for one in text.split(" | "))


def shown(value: Any) -> str:
    """A wrong value, said again: its beginning, where it is long."""
    return _short(repr(value))


def _short(text: str) -> str:
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[:VALUE_CHARS_MAX]}..."

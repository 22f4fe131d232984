"""The arguments of an action on the command line: each of its JSON Schema is an argument or an option with its type,
bounds, choices and help. What nobody gives is left out, so the service's own default stands.
"""

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import typer

from upcall.cli.catalog import type_words
from upcall.cli.values import parse_pairs

BEGIN: Final = "of_"
"""Before the names of parameters: an argument may be called like one of ours."""
TAKEN: Final = frozenset({"data", "output", "help", "yes", "no-wait", "patience", "follow", "lines", "all"})
"""Options that commands have themselves."""
PLACES: Final = {"integer": int, "number": float, "boolean": bool}


def parameters(
    schema: Mapping[str, Any], takes: Sequence[str], files: Iterable[str] = (), leave_out: Iterable[str] = (),
    optional: Iterable[str] = (),
) -> list[inspect.Parameter]:  # fmt: skip
    """By place what is in ``takes``, the others as options. ``files``: paths of what they are; ``optional``: what has
    another source where nobody gives it."""
    known = schema.get("properties", {})
    required = set(schema.get("required", ())) - set(optional)
    placed = [_placed(name, known.get(name, {}), name in required, name in files) for name in takes]
    left = [name for name in known if name not in takes and name not in leave_out]
    return placed + [_option(name, _resolved(known[name], schema), name in required) for name in left]


def values(
    given: Mapping[str, Any], schema: Mapping[str, Any], where: str, files: Iterable[str] = ()
) -> dict[str, Any]:
    """The action's arguments, as they were typed; raises what is wrong of one."""
    found: dict[str, Any] = {}
    for parameter, value in given.items():
        name = parameter.removeprefix(BEGIN)
        if value is None or value == []:
            continue
        kind = _resolved(schema.get("properties", {}).get(name, {}), schema)
        if name in files:
            found |= parse_pairs([f"{name}=@{value}"], where, schema)
        elif kind.get("type") == "object":
            found |= parse_pairs([f"{name}.{pair}" for pair in value], where, {"properties": {name: kind}})
        elif kind.get("type") in (*PLACES, "string", "array"):
            found[name] = list(value) if isinstance(value, list | tuple) else value
        else:
            found |= parse_pairs([f"{name}={value}"], where)
    return found


def option_name(name: str) -> str:
    words = name.replace("_", "-")
    return f"--argument-{words}" if words in TAKEN else f"--{words}"


def metavar(name: str) -> str:
    return name.upper().replace("_", "-")


def _placed(name: str, schema: Mapping[str, Any], required: bool, is_file: bool) -> inspect.Parameter:
    several = schema.get("type") == "array"
    kind: Any = list[str] if several else _type(schema)
    help_ = str(schema.get("description", "")) or None
    told = typer.Argument(
        metavar="FILE" if is_file else metavar(name), help=help_, show_default=False, **_bounds(schema, kind)
    )
    default = inspect.Parameter.empty if required else None
    return inspect.Parameter(
        BEGIN + name, inspect.Parameter.KEYWORD_ONLY, annotation=_annotated(kind, told, required), default=default
    )


def _option(name: str, schema: Mapping[str, Any], required: bool) -> inspect.Parameter:
    kind: Any
    words = option_name(name)
    names = [words]
    shown = "" if required else _default_words(schema)
    more: dict[str, Any] = {}
    if schema.get("type") == "object":
        kind, more["metavar"] = list[str], "KEY=VALUE"
    elif schema.get("type") == "array":
        kind = list[str]
    else:
        kind = _type(schema)
        more = _bounds(schema, kind)
        if kind is bool:
            names = [f"{words}/--no-{words.removeprefix('--')}"]
    help_ = str(schema.get("description", ""))
    if kind is str and "pattern" in schema and (said := type_words(dict(schema)).partition(": ")[2]):
        help_ = f"{help_} ({said})" if help_ else said
    if kind == list[str]:
        help_ = f"{help_}; may be repeated" if help_ else "may be repeated"
    told = typer.Option(*names, help=help_ or None, show_default=shown or False, **more)
    default = inspect.Parameter.empty if required else None
    return inspect.Parameter(
        BEGIN + name, inspect.Parameter.KEYWORD_ONLY, annotation=_annotated(kind, told, required), default=default
    )


def _annotated(kind: Any, told: Any, required: bool) -> Any:
    """Types that are known when this runs."""
    annotated: Any = Annotated
    return annotated[kind if required else kind | None, told]


def _resolved(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """Without references, and without "or none": that is what leaving it out means."""
    found = dict(schema)
    if reference := re.fullmatch(r"#/\$defs/(.+)", str(found.get("$ref", ""))):
        found = {**whole.get("$defs", {}).get(reference[1], {}), **{k: v for k, v in found.items() if k != "$ref"}}
    choices = [one for one in found.get("anyOf", ()) if one.get("type") != "null"]
    if len(choices) == 1:
        found = {**{k: v for k, v in found.items() if k != "anyOf"}, **_resolved(choices[0], whole)}
    return found


def _type(schema: Mapping[str, Any]) -> Any:
    if (names := schema.get("enum")) and all(isinstance(one, str) for one in names):
        return Literal[tuple(names)]
    return PLACES.get(str(schema.get("type", "")), str)


def _bounds(schema: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    if kind not in (int, float):
        return {}
    return {"min": schema.get("minimum"), "max": schema.get("maximum")}


def _default_words(schema: Mapping[str, Any]) -> str:
    default = schema.get("default")
    if default in (None, "", [], {}):
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)

"""The JSON Schema of a package's options as a *structural* schema, by which an API server judges a resource.

It judges less than the package does: what a structural schema has no words for is left out, and then the master refuses
it. It never judges more: of several versions of a package it takes what any of them takes.

Defaults stand in the description alone. A default in the schema would be written into each resource when it is made:
it could not be told any more from what its author said, and would hold against a goal, and against another version.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

Schema = dict[str, Any]

ANYTHING: Final[Schema] = {"x-kubernetes-preserve-unknown-fields": True}
KEPT: Final = (
    "minimum", "maximum", "multipleOf", "minLength", "maxLength", "pattern", "minItems", "maxItems", "minProperties",
    "maxProperties",
)  # fmt: skip
"""Keywords that mean the same there."""
DEPTH_MAX: Final = 12
"""A schema that refers to itself ends in anything."""
INTEGERS: Final = {"type": "integer", "format": "int64"}


def structural(schema: Mapping[str, Any]) -> Schema:
    """``schema``: as its package registers it."""
    return _structural(schema, schema.get("$defs") or {}, DEPTH_MAX)


def of_versions(schemas: Sequence[Mapping[str, Any]]) -> Schema:
    """What any of them takes; the newest comes last, and its words count."""
    found = structural(schemas[0])
    for each in schemas[1:]:
        found = _either(found, structural(each))
    return found


def _structural(part: Any, defs: Mapping[str, Any], depth: int) -> Schema:
    if not isinstance(part, Mapping) or depth == 0:
        return dict(ANYTHING)
    if isinstance(reference := part.get("$ref"), str):
        named = defs.get(reference.removeprefix("#/$defs/"))
        more = {key: value for key, value in part.items() if key != "$ref"}
        return _structural({**named, **more} if isinstance(named, Mapping) else more, defs, depth - 1)
    for word in ("anyOf", "oneOf"):
        if isinstance(forms := part.get(word), list):
            return _of_forms(part, forms, defs, depth)
    words, kind = _words(part), part.get("type")
    if kind == "object" or (kind is None and "properties" in part):
        return words | _object(part, defs, depth)
    if kind == "array":
        return words | {"type": "array", "items": _structural(part.get("items"), defs, depth - 1)} | _kept(part)
    if isinstance(kind, list) and sorted(kind) == ["integer", "string"]:
        return words | {"x-kubernetes-int-or-string": True} | _kept(part)
    if kind not in ("string", "integer", "number", "boolean"):
        return words | ANYTHING | ({"enum": list(part["enum"])} if "enum" in part else {})
    found: Schema = words | ({"type": kind} if kind != "integer" else INTEGERS) | _kept(part)
    for ours, theirs in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(bound := part.get(ours), int | float) and not isinstance(bound, bool):
            found |= {theirs: bound, ours: True}
    if isinstance(values := part.get("enum", [part["const"]] if "const" in part else None), list):
        found["enum"] = list(values)
    return found


def _of_forms(part: Mapping[str, Any], forms: Sequence[Any], defs: Mapping[str, Any], depth: int) -> Schema:
    """What may be left out has one form beside null; what has several may be anything, but a number or a text."""
    others = [one for one in forms if not (isinstance(one, Mapping) and one.get("type") == "null")]
    if len(others) == 1:
        alone = {key: value for key, value in part.items() if key not in ("anyOf", "oneOf")}
        found = _structural(others[0], defs, depth - 1) | _words({**_plain(others[0], defs), **alone})
        return found | ({"nullable": True} if len(forms) > 1 and "x-kubernetes-preserve-unknown-fields" not in found
                        else {})  # fmt: skip
    kinds = sorted(str(one.get("type")) for one in others if isinstance(one, Mapping))
    if kinds == ["integer", "string"]:
        return _words(part) | {"x-kubernetes-int-or-string": True}
    return _words(part) | ANYTHING


def _plain(part: Any, defs: Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(part, Mapping) and isinstance(reference := part.get("$ref"), str):
        part = defs.get(reference.removeprefix("#/$defs/"))
    return part if isinstance(part, Mapping) else {}


def _object(part: Mapping[str, Any], defs: Mapping[str, Any], depth: int) -> Schema:
    found: Schema = {"type": "object"} | _kept(part)
    properties = part.get("properties")
    if isinstance(properties, Mapping) and properties:
        found["properties"] = {
            name: _structural(each, defs, depth - 1) for name, each in properties.items() if not _is_refused(each)
        }
        if isinstance(required := part.get("required"), list) and required:
            found["required"] = list(required)
        if part.get("additionalProperties"):
            found |= ANYTHING
        return found
    more = part.get("additionalProperties", True)
    if isinstance(more, Mapping):
        return found | {"additionalProperties": _structural(more, defs, depth - 1)}
    return found | (ANYTHING if more else {})


def _is_refused(part: Any) -> bool:
    """A name that a package knows and takes nothing for."""
    return isinstance(part, Mapping) and part.get("not") == {}


def _kept(part: Mapping[str, Any]) -> Schema:
    return {key: part[key] for key in KEPT if key in part}


def _words(part: Mapping[str, Any]) -> Schema:
    """What it is for a person, and what holds where it is not said."""
    said = [str(part["description"]).rstrip(". ") + "."] if part.get("description") else []
    default = part.get("default")
    if default not in (None, "", [], {}):
        said.append(f"Default: {_word(default)}.")
    return {"description": " ".join(said)} if said else {}


def _word(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _either(older: Schema, newer: Schema) -> Schema:
    """What one of the two takes."""
    if older == newer:
        return newer
    words = {"description": newer["description"]} if "description" in newer else {}
    if older.get("type") != newer.get("type") or "properties" not in older or "properties" not in newer:
        bare = [{key: value for key, value in one.items() if key != "description"} for one in (older, newer)]
        return words | (bare[1] if bare[0] == bare[1] else _loosest(*bare))
    names = [*newer["properties"], *(name for name in older["properties"] if name not in newer["properties"])]
    properties = {
        name: _either(older["properties"][name], newer["properties"][name])
        if name in older["properties"] and name in newer["properties"]
        else (newer["properties"].get(name) or older["properties"][name])
        for name in names
    }
    required = [name for name in newer.get("required", ()) if name in older.get("required", ())]
    return newer | {"properties": properties} | ({"required": required} if required else {})


def _loosest(older: Schema, newer: Schema) -> Schema:
    """Of one kind, with bounds that differ: the kind alone."""
    if "type" in newer and older.get("type") == newer["type"] and newer["type"] in ("string", "integer", "number"):
        return {"type": newer["type"]} | ({"format": newer["format"]} if "format" in newer else {})
    return dict(ANYTHING)

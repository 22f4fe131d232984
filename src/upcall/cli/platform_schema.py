"""The JSON Schema of a platform file, for editors: with the options and contents of every package of the catalog."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from upcall.cli.composition import Composition
from upcall.cli.contents import kinds_of
from upcall.protocol.operator import PackageView


def whole(packages: Iterable[PackageView]) -> dict[str, Any]:
    """Of each package its newest version counts, where a file does not name another."""
    newest = {one.name: one for one in packages}  # they come in the order of their versions
    schema = Composition.model_json_schema()
    item = schema["$defs"]["ServiceItem"]
    item["properties"]["package"] |= {"examples": sorted(newest)}
    item["allOf"] = [_of_package(one, schema["$defs"]) for one in newest.values()]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "An upcall platform"}


def _of_package(package: PackageView, definitions: dict[str, Any]) -> dict[str, Any]:
    """What a service may say once its package is known. ``definitions``: those of the whole."""
    options = {"type": "object", **_hoisted(package.options_schema, package.name, definitions)}
    held = {
        kind.name: {
            "type": "object",
            "description": f"{kind.name} of the service, by name",
            "additionalProperties": {
                "anyOf": [
                    _with_files(_hoisted(kind.wanted, f"{package.name}.{kind.name}", definitions)),
                    {"type": "null"},
                ]
            },
        }
        for kind in kinds_of(package).values()
    }
    known = ("package", "name", "version", "options", "goals", "bindings", "secrets", *held)
    return {
        "if": {"properties": {"package": {"const": package.name}}},
        "then": {"properties": {"options": options, **held}, "propertyNames": {"enum": list(known)}},
    }


def _hoisted(schema: Mapping[str, Any], prefix: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Its own definitions stand among those of the whole, where its references find them."""
    text = json.dumps(schema).replace('"#/$defs/', f'"#/$defs/{prefix}.')
    found: dict[str, Any] = json.loads(text)
    definitions.update({f"{prefix}.{name}": one for name, one in found.pop("$defs", {}).items()})
    return found


def _with_files(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """A text may be that of a file beside the platform's."""
    file = {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"]}
    properties = {
        key: {"anyOf": [one, file]} if one.get("type") == "string" else one for key, one in wanted["properties"].items()
    }
    return {**wanted, "properties": properties}

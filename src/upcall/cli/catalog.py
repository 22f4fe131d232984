"""``upcall catalog``: what can be installed, with options and actions."""

from typing import Annotated, Any

import typer

from upcall.cli.here import Here, command, commands
from upcall.cli.output import nearest
from upcall.protocol.errors import NotFound
from upcall.protocol.operator import PackageView

catalog_app = commands()
APPS = {"catalog": catalog_app}


@command(catalog_app, "catalog")
def catalog(
    here: Here,
    package: Annotated[str, typer.Argument(help="Show one package with its options and actions.")] = "",
) -> None:
    """Packages that can be installed; with a name, its options and actions."""
    packages = here.client.packages()
    if not package:
        rows = [(one.name, one.version, one.description) for one in packages]
        here.out.show(packages, ("name", "version", "description"), rows, empty="no host has registered a package yet")
        return
    found = find_package(packages, package)
    if here.out.as_json:
        here.out.json(found)
        return
    print(f"{found.name} {found.version}  {found.description}")
    here.out.table(("option", "type", "default", "description"), option_rows(found.options_schema), empty="no options")
    actions = [(one.get("name", ""), argument_words(one), one.get("description", "")) for one in found.actions]
    here.out.table(("action", "arguments", "description"), actions, empty="no actions")


def find_package(packages: list[PackageView], name: str) -> PackageView:
    for one in packages:
        if one.name == name:
            return one
    raise NotFound(
        f"unknown package {name!r}", where="the catalog", expected=nearest(name, [one.name for one in packages])
    )


def option_rows(schema: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Options of a JSON Schema in a person's words."""
    rows = []
    for name, one in schema.get("properties", {}).items():
        default = one.get("default", "required" if name in schema.get("required", ()) else "")
        rows.append((name, type_words(one), "" if default is None else str(default), one.get("description", "")))
    return rows


def type_words(schema: dict[str, Any]) -> str:
    """``integer 1..9``, ``a | b``, ``text or none``."""
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(type_words(one) for one in schema["anyOf"])
    kind = {"string": "text", "object": "map", "array": "list", "null": "none"}.get(
        schema.get("type", ""), schema.get("type", "any")
    )
    least, most = (
        schema.get("minimum", schema.get("exclusiveMinimum")),
        schema.get("maximum", schema.get("exclusiveMaximum")),
    )
    if least is None and most is None:
        return str(kind)
    return f"{kind} {'' if least is None else least}..{'' if most is None else most}"


def argument_words(action: dict[str, Any]) -> str:
    schema = action.get("arguments", {})
    required = schema.get("required", ())
    return " ".join(name if name in required else f"[{name}]" for name in schema.get("properties", {}))

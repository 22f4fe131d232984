"""``upcall catalog``: what can be installed, with options and actions; and a package of one's own goes again."""

from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer
from typer.core import TyperGroup

from upcall.cli.output import nearest
from upcall.cli.session import Session, command, commands
from upcall.protocol.errors import NotFound
from upcall.protocol.operator import PackageView


class Catalog(TyperGroup):
    """``upcall catalog`` lists, ``upcall catalog PACKAGE`` shows: the usual words may be left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        if first not in self.commands and first not in ctx.help_option_names:
            args = ["list" if not first or first.startswith("-") else "show", *args]
        return list(super().parse_args(ctx, args))


catalog_app = commands("Packages: list, show, remove.", group=Catalog)
APPS = {"catalog": catalog_app}


@command(catalog_app, "list")
def list_packages(session: Session) -> None:
    """Packages that can be installed."""
    packages = session.client.packages()
    rows = [(one.name, one.version, "own" if one.own else "built in", one.description) for one in packages]
    columns = ("name", "version", "from", "description")
    session.out.show(packages, columns, rows, empty="no host has registered a package yet")


@command(catalog_app, "show")
def show(session: Session, package: Annotated[str, typer.Argument(metavar="PACKAGE")]) -> None:
    """One package with its options and actions."""
    found = find_package(session.client.packages(), package)
    if session.out.as_json:
        session.out.json(found)
        return
    session.out.line(f"{found.name} {found.version}  {found.description}")
    session.out.table(
        ("option", "type", "default", "description"), option_rows(found.options_schema), empty="no options"
    )
    actions = [(one.get("name", ""), argument_words(one), one.get("description", "")) for one in found.actions]
    session.out.table(("action", "arguments", "description"), actions, empty="no actions")


@command(catalog_app, "remove")
def remove(
    session: Session,
    package: Annotated[str, typer.Argument(metavar="PACKAGE")],
    version: Annotated[str, typer.Option("--version", help="Default: all its versions.")] = "",
) -> None:
    """Take a package of your own out of the catalog; no service may be made from it."""
    query = f"?{urlencode({'version': version})}" if version else ""
    left = session.client.call("DELETE", f"/v1/packages/{quote(package, safe='')}{query}")
    session.out.say(left, f"package {package}{f' {version}' if version else ''} is removed")


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

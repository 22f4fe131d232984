"""``upcall catalog``: what can be installed, with options and actions; and a package of one's own goes again."""

from collections.abc import Iterator
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer
from typer.core import TyperGroup

from upcall.cli.asking import Yes, confirm
from upcall.cli.output import nearest
from upcall.cli.session import Session, command, commands
from upcall.client import paths
from upcall.protocol import releases
from upcall.protocol.errors import NotFound
from upcall.protocol.nearest import choice
from upcall.protocol.operator import PackageView
from upcall.protocol.pattern_words import of_text

OTHERS_SHOWN: Final = 5
"""Versions of a package beside the one of a line: who develops one leaves many behind."""


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
    rows = [
        (
            one.name,
            one.version,
            ", ".join(others(packages, one)),
            "own" if one.own else "built in",
            _brief(one.description),
        )
        for one in {one.name: one for one in packages}.values()  # the newest of each: they come in that order
    ]
    columns = ("name", "version", "also", "from", "description")
    session.out.show(packages, columns, rows, empty="no host has registered a package yet")


@command(catalog_app, "show")
def show(session: Session, package: Annotated[str, typer.Argument(metavar="PACKAGE[@VERSION]")]) -> None:
    """One package with its options and actions, and the versions that there are."""
    packages = session.client.packages()
    found = find_package(packages, package)
    if session.out.as_json:
        session.out.json(found)
        return
    session.out.line(f"{found.name} {found.version}  {_brief(found.description)}")
    if more := found.description.partition("\n\n")[2]:
        session.out.line(more)
    if also := others(packages, found):
        session.out.line(f"also in version {', '.join(also)} (`upcall install {found.name}@{also[0]}`)")
    session.out.table(
        ("option", "type", "default", "description"), option_rows(found.options_schema), empty="no options"
    )
    actions = [(one.get("name", ""), argument_words(one), _brief(one.get("description", ""))) for one in found.actions]
    session.out.table(("action", "arguments", "description"), actions, empty="no actions")


@command(catalog_app, "remove")
def remove(
    session: Session,
    package: Annotated[str, typer.Argument(metavar="PACKAGE")],
    version: Annotated[str, typer.Option("--version", help="Default: all its versions.")] = "",
    yes: Yes = False,
) -> None:
    """Take a package of your own out of the catalog; no service may be made from it."""
    which = f"version {version}" if version else "every version"
    what = f"{which} of package {package} leaves the catalog; your own files stay as they are"
    confirm(session, what, f"catalog remove {package}", yes=yes, for_good=False)
    query = f"?{urlencode({'version': version})}" if version else ""
    left = session.client.call("DELETE", paths.of("packages", package) + query)
    session.out.say(left, f"package {package}{f' {version}' if version else ''} is removed")


def find_package(packages: list[PackageView], named: str) -> PackageView:
    """``log``, in its newest version, or ``log@4.1``, in the newest that begins so."""
    name, version = releases.split(named)
    known = {one.version: one for one in packages if one.name == name}
    if not known:
        raise NotFound(
            f"unknown package {name!r}", where="the catalog", expected=nearest(name, [one.name for one in packages])
        )
    found = releases.newest(known, version)
    if not found:
        raise NotFound(f"package {name} has no version {version!r}", where="the catalog", expected=choice(known, ""))
    return known[found]


def _brief(description: str) -> str:
    """The first paragraph, as one line: a row of a table has no more."""
    return " ".join(description.partition("\n\n")[0].split())


def others(packages: list[PackageView], of: PackageView) -> list[str]:
    """Its other versions, the newest first."""
    known = [one.version for one in packages if one.name == of.name and one.version != of.version]
    return known[::-1][:OTHERS_SHOWN]


def option_rows(schema: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Options of a JSON Schema in a person's words. One that is made of parts is followed by each of them, as ``--set``
    (``--goal``) and ``upcall explain`` name it: ``goals.survive``."""
    return list(_rows(schema, schema.get("$defs", {})))


def _rows(schema: dict[str, Any], known: dict[str, Any], within: str = "") -> Iterator[tuple[str, str, str, str]]:
    for name, one in schema.get("properties", {}).items():
        default = one.get("default", "required" if name in schema.get("required", ()) else "")
        parts = _parts(one, known)
        # A part that may be left out says no more by "none" than by having no default.
        kind = "map" if parts else type_words(one).removesuffix(" or none" if within else "")
        yield f"{within}{name}", kind, "" if default is None else str(default), one.get("description", "")
        if parts:
            yield from _rows(parts, known, f"{within}{name}.")


def _parts(schema: dict[str, Any], known: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of what an option is made of, where that is known."""
    for one in (schema, *schema.get("anyOf", ())):
        if isinstance(found := known.get(str(one.get("$ref", "")).rpartition("/")[2]), dict):
            return found if found.get("properties") else None
    return None


def type_words(schema: dict[str, Any]) -> str:
    """What is taken: ``integer 1..9``, ``a | b``, ``text or none``, ``text: at most 48 characters``."""
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(type_words(one) for one in schema["anyOf"])
    kind = {"string": "text", "object": "map", "array": "list", "null": "none"}.get(
        schema.get("type", ""), schema.get("type", "any")
    )
    if kind == "text" and (words := of_text(schema)):
        return f"text: {words}"
    if (many := schema.get("maxItems", schema.get("maxProperties"))) is not None:
        return f"{kind} of at most {many}"
    least, most = _bound(schema, "minimum", "exclusiveMinimum", ">"), _bound(schema, "maximum", "exclusiveMaximum", "<")
    return f"{kind} {least}..{most}" if least or most else str(kind)


def _bound(schema: dict[str, Any], name: str, excluded: str, sign: str) -> str:
    return str(schema[name]) if name in schema else f"{sign}{schema[excluded]}" if excluded in schema else ""


def argument_words(action: dict[str, Any]) -> str:
    schema = action.get("arguments", {})
    required = schema.get("required", ())
    return " ".join(name if name in required else f"[{name}]" for name in schema.get("properties", {}))

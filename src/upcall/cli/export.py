"""``upcall export``: a platform file from what runs. Applied where it was written, it changes nothing."""

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from upcall.cli import carrying, contents, deploy
from upcall.cli.output import nearest
from upcall.cli.session import Session, command, commands
from upcall.protocol.errors import Conflict, NotFound
from upcall.protocol.numbers import counted
from upcall.protocol.operator import PackageView, ServiceView

export_app = commands()
APPS = {"export": export_app}


@command(export_app, "export")
def export(
    session: Session,
    services: Annotated[
        list[str] | None, typer.Argument(metavar="SERVICE", help="Which of them; default: all.")
    ] = None,
    name: Annotated[
        str,
        typer.Option("--name", help="Of the platform, so that what the file makes is known as its own; default: none."),
    ] = "",
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="A new file; default: printed.")] = None,
) -> None:
    """Write a platform file from what runs: options that are set, bindings, secrets by name, topics and the like."""
    present = session.client.services()
    for one in services or ():
        if one not in (known := [each.name for each in present]):
            raise NotFound(f"no service {one!r}", where="export", expected=nearest(one, known))
    packages = {(one.name, one.version): one for one in session.client.packages()}
    chosen = [one for one in _bound_first(present) if not services or one.name in services]
    holding = [one for one in chosen if packages[one.package, one.version].contents]
    deploy.until_ready(session, holding, "it can be seen what they hold")
    items = [_item(session, one, packages[one.package, one.version]) for one in chosen]
    nodes = [] if session.control_plane else session.client.nodes()
    for words in carrying.left_behind(chosen, packages, nodes):
        session.out.note(words)
    whole = {**({"name": name} if name else {}), "services": items}
    if session.out.as_json:
        session.out.json(whole)
        return
    text = yaml.dump(whole, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    if to is None:
        session.out.text(text.rstrip("\n"))
        return
    try:
        with to.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Conflict(
            f"{to} is there already", where="--to", expected="another name: nothing is overwritten"
        ) from None
    except OSError as error:
        raise Conflict(
            f"{to} cannot be written: {error.strerror}", where="--to", expected="a file in a folder that is there"
        ) from error
    session.out.note(f"{counted(len(items), 'service')} written to {to}")


def _bound_first(services: list[ServiceView]) -> list[ServiceView]:
    """Each below those that it is bound to, as a file wants them."""
    ordered: list[ServiceView] = []
    left = list(services)
    while left:
        named = {one.name for one in left}
        free = [one for one in left if not named & ({*one.bindings.values()} - {one.name})] or left[:1]
        ordered += free
        left = [one for one in left if one not in free]
    return ordered


def _item(session: Session, view: ServiceView, package: PackageView) -> dict[str, Any]:
    item: dict[str, Any] = {"package": view.package}
    if view.name != view.package:
        item["name"] = view.name
    item["version"] = view.version
    if goals := view.options.get("goals"):
        item["goals"] = goals
    if options := {name: value for name, value in view.options.items() if name != "goals"}:
        item["options"] = options
    if bindings := {need: service for need, service in view.bindings.items() if need != service}:
        item["bindings"] = bindings
    if view.secrets:
        item["secrets"] = view.secrets
    for kind in contents.kinds_of(package).values():
        known = kind.wanted["properties"]
        held = {
            name: {key: value for key, value in one.items() if key in known and value != known[key].get("default")}
            for name, one in contents.held(session, view.name, kind).items()
            if not one.get(contents.OVER)
        }
        if held:
            item[kind.name] = held
    return item


class _Dumper(yaml.SafeDumper):
    """Texts of several lines (a job's program) as such, and no anchors."""

    def ignore_aliases(self, _: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)

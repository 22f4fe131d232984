"""``upcall explain``: for each option of a service, whose word it is, and why."""

from typing import Annotated, Any

import typer

from upcall.cli.config import revisions, whose_word
from upcall.cli.output import short
from upcall.cli.session import Session, command, commands
from upcall.cli.update import Name
from upcall.protocol.errors import NotFound
from upcall.protocol.operator import RevisionView
from upcall.protocol.options import flattened

explain_app = commands()
APPS = {"explain": explain_app}

COLUMNS = ("option", "value", "from", "why")


@command(explain_app, "explain")
def explain(
    session: Session,
    service: Name,
    defaults: Annotated[bool, typer.Option("--all", help="Defaults as well.")] = False,
) -> None:
    """For each option: whether you said it, a goal or the machine asks for it, or it is a default; and why."""
    found = revisions(session, service)
    stands = next((one for one in found if one.state == "stands"), None)
    if stands is None:
        raise NotFound(f"{service} has no revision that stands", where="explain")
    packages = session.client.packages()
    key = (stands.package, stands.version)
    schema = next((one.options_schema for one in packages if (one.name, one.version) == key), {})
    rows = explained(stands, found, schema)
    if session.out.as_json:
        session.out.json({"service": service, "revision": stands.number, "options": rows})
        return
    session.out.line(f"{service}  revision {stands.number}  {stands.package} {stands.version}")
    shown = [row for row in rows if defaults or row["from"] != "default"]
    table = [(row["option"], short(row["value"]), row["from"], row["why"]) for row in shown]
    session.out.table(COLUMNS, table, empty="every option is a default (--all)")


def explained(stands: RevisionView, found: list[RevisionView], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each option and each entry of a map, those that somebody said first."""
    said = dict(flattened(stands.options))
    rows = [
        {"option": name, "value": value, "from": "person", "goal": "", "why": _who(name, value, found)}
        for name, value in said.items()
    ]
    for name, one in stands.derived.items():
        rows.append({"option": name, "value": one.value, "from": whose_word(one), "goal": one.goal, "why": one.why})
    known = {name.partition(".")[0] for name in (*said, *stands.derived)}
    for name, one in schema.get("properties", {}).items():
        if name not in known and "default" in one:
            why = str(one.get("description", ""))
            rows.append({"option": name, "value": one["default"], "from": "default", "goal": "", "why": why})
    return rows


def _who(name: str, value: Any, found: list[RevisionView]) -> str:
    """Who said it, in the oldest of the revisions since which it stands."""
    by = ""
    for one in sorted(found, key=lambda one: one.number, reverse=True):
        if one.state not in ("stands", "past"):
            continue
        if dict(flattened(one.options)).get(name) != value:
            break
        by = f"{one.asked_by}, in revision {one.number}" + (f": {one.reason}" if one.reason else "")
    return by

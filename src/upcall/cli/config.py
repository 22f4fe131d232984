"""``upcall config``: what a service's options are, and what one revision says otherwise than another."""

from typing import Annotated, Any

import typer

from upcall.cli.catalog import option_rows
from upcall.cli.output import short
from upcall.cli.session import Session, command, commands
from upcall.cli.update import changed_words, value_words
from upcall.client import paths
from upcall.protocol.errors import NotFound
from upcall.protocol.nearest import choice
from upcall.protocol.operator import DerivedView, RevisionView
from upcall.protocol.options import flattened

config_app = commands("Options of a service: show, diff.")
APPS = {"config": config_app}

Name = Annotated[str, typer.Argument(metavar="SERVICE")]


@command(config_app, "show")
def show(
    session: Session,
    service: Name,
    revision: Annotated[
        int, typer.Option("--revision", metavar="N", min=0, show_default=False, help="Default: the one that stands.")
    ] = 0,
) -> None:
    """Every option: what it is set to, or its default."""
    found = _revision(revisions(session, service), service, revision)
    packages = session.client.packages()
    schema = next(
        (one.options_schema for one in packages if (one.name, one.version) == (found.package, found.version)), {}
    )
    if session.out.as_json:
        session.out.json(found)
        return
    session.out.line(f"{service}  revision {found.number} ({found.state})  {found.package} {found.version}")
    columns = ("option", "value", "from", "description")
    session.out.table(columns, _rows(found, schema), empty=f"package {found.package} has no options")


def _rows(found: RevisionView, schema: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """In the order of the schema. Entries of a map that somebody said, or that follow from a goal, one by one."""
    said, derived = dict(flattened(found.options)), found.derived
    rows = []
    known = option_rows(schema)
    rows_of = {option for option, *_ in known}
    # A part that has a row of its own is no entry of the whole.
    owner = {name: name if name in rows_of else name.partition(".")[0] for name in (*said, *derived)}
    others = sorted({*owner.values()} - rows_of)
    for option, _, default, description in (*known, *((name, "", "", "") for name in others)):
        named = [name for name in (*said, *derived) if owner[name] == option]
        for name in sorted(dict.fromkeys(named), key=named.index):
            value, whose = (said[name], "set") if name in said else (derived[name].value, whose_word(derived[name]))
            rows.append((name, short(value), whose, description))
        if not named:
            rows.append((option, default, "default", description))
    return rows


def whose_word(one: DerivedView) -> str:
    """Of a value that nobody set: what it follows from."""
    return f"goal {one.goal}" if one.goal else "machine"


@command(config_app, "diff")
def diff(
    session: Session,
    service: Name,
    first: Annotated[
        int,
        typer.Argument(
            metavar="N", min=0, show_default=False, help="A revision; default: the one before the one that stands."
        ),
    ] = 0,
    second: Annotated[
        int, typer.Argument(metavar="M", min=0, show_default=False, help="Another; default: the one that stands.")
    ] = 0,
) -> None:
    """What differs between two revisions."""
    found = revisions(session, service)
    after = _revision(found, service, second)
    before = _revision(found, service, first or after.before)
    was, now = _flat(before), _flat(after)
    names = [*was, *(name for name in now if name not in was)]
    changed = {name: (was.get(name), now.get(name)) for name in names if was.get(name) != now.get(name)}
    if session.out.as_json:
        session.out.json({"from": before.number, "to": after.number, "changed": changed})
        return
    session.out.line(f"{service}: revision {before.number} to {after.number}")
    rows = [(name, *map(value_words, pair)) for name, pair in changed.items()]
    session.out.table(("option", "was", "is"), rows, empty="they say the same")


def revisions(session: Session, service: str) -> list[RevisionView]:
    found = session.client.get(paths.of("services", service, "revisions"))
    return [RevisionView.model_validate(one) for one in found]


def history_row(one: RevisionView, before: RevisionView | None, ago: str, took: str) -> tuple[Any, ...]:
    """``before``: the one that stood when it was asked for, if it is known."""
    version = "" if before is None or before.version == one.version else f"{before.version} -> {one.version}"
    what = ", ".join(filter(None, (version, changed_words(one.changed)))) or ("" if one.before else "installed")
    what = f"back to {one.back_to}: {what}" if one.back_to else what
    # How one ended that did what was wished says nothing more.
    why = "; ".join(filter(None, (one.reason, one.why if one.outcome != "done" else "")))
    outcome = "; ".join(filter(None, (one.outcome, f"gone back from in {one.left_in}" if one.left_in else "")))
    return one.number, one.state, outcome, ago, one.asked_by, took, what, why


def _revision(found: list[RevisionView], service: str, number: int) -> RevisionView:
    """The one of this number, or (0) the one that stands."""
    for one in found:
        if one.number == number or (not number and one.state == "stands"):
            return one
    known = choice([str(one.number) for one in reversed(found)], "a service that was deployed")
    raise NotFound(f"{service} has no revision {number}", where="revision", expected=known)


def _flat(revision: RevisionView) -> dict[str, Any]:
    """Entries of a map one by one, as ``--set`` names them, and what follows from goals; with them the version and the
    bindings."""
    found: dict[str, Any] = {"(version)": revision.version}
    found.update({f"(need {need})": service for need, service in revision.bindings.items()})
    follows = {name: one.value for name, one in revision.derived.items()}
    return {**found, **dict(flattened(revision.options)), **follows}

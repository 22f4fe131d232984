"""``upcall service do``, ``actions`` and ``action``: what a service can be asked to do, and what became of it.

The command waits for as long as the action runs; the line to the master is opened anew all the time, so an hour is no
different from a second. Ctrl-C ends the wait, never the action.
"""

import time
from typing import Annotated, Any, Final

import typer

from upcall.cli import refusals
from upcall.cli.catalog import argument_words, option_rows
from upcall.cli.output import ago, duration, nearest, plain, short
from upcall.cli.patience import USUAL, Patience, failure, patience_of, patiently
from upcall.cli.session import Session, command
from upcall.cli.values import parse_pairs
from upcall.client import paths
from upcall.protocol.errors import Invalid, NotFound
from upcall.protocol.operator import ActionView, Ask, CheckAction, CheckedAction, Update

POLL_S: Final = 20.0
"""The master answers when there is news; so often it says that there is none."""
PATIENCE_S: Final = 60.0
"""How long the master may be away while something is waited for."""
LINE_CHARS_MAX: Final = 160

RUN_COLUMNS = ("id", "action", "state", "by", "began", "took", "result")


def register(app: typer.Typer) -> None:
    """The commands of the noun ``service`` that are about actions."""
    command(app, "do", add_help_option=False)(do)
    command(app, "actions")(actions)
    command(app, "action")(action)


def do(
    session: Session,
    context: typer.Context,
    service: Annotated[str, typer.Argument(metavar="SERVICE", show_default=False, help="Of whom it is wanted.")] = "",
    action: Annotated[
        str, typer.Argument(metavar="ACTION", show_default=False, help="`upcall service actions SERVICE` lists them.")
    ] = "",
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Its arguments; with --help they are explained."),
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return as soon as it is recorded.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say whether it would be refused, and begin nothing.")
    ] = False,
    patience: Patience = USUAL,
    about: Annotated[bool, typer.Option("--help", help="With SERVICE and ACTION: its arguments.")] = False,
) -> None:
    """Ask a service to do something: `upcall service do hello greet name=you`."""
    if about and not service:
        session.out.line(context.get_help())
        return
    if not service or (not action and not about):
        raise Invalid(
            "a service and one of its actions are needed",
            where="service do",
            expected="`upcall service do SERVICE ACTION [KEY=VALUE]...`; `upcall service actions SERVICE` lists them",
        )
    if about and not action:
        actions(session, service)
        return
    known = known_action(session, service, action)
    if about:
        _explain(session, service, known)
        return
    where = f"service do {service} {action}"
    given = parse_pairs(arguments or [], where, known.get("arguments", {}))
    if dry_run:
        found = judged(session, service, action, given)
        if found.reasons:
            said = [refusals.Refusal(f"{action} of {service}", one, one.where or where) for one in found.reasons]
            raise refusals.error(said, "another one; nothing was begun")
        nothing = "nothing is known against it" if found.known else "it does not say beforehand what it refuses"
        session.out.say(found, f"{action} of {service}: {nothing}; nothing was begun")
        return
    begun = begin(session, service, action, given, patience_s=patience_of(patience))
    if no_wait:
        session.out.say(
            begun, f"{action} of {service} has begun; `upcall service action {begun.id}` says how far it is"
        )
        return
    show_result(session, finished(session, begun))


def actions(session: Session, service: Annotated[str, typer.Argument(metavar="SERVICE")]) -> None:
    """What a service can be asked to do, and what it was asked lately."""
    found = session.client.service(service).actions
    runs = [ActionView.model_validate(one) for one in session.client.get(paths.of("services", service, "actions"))]
    if session.out.as_json:
        session.out.json({"actions": found, "asked": runs})
        return
    rows = [(str(one.get("name", "")), argument_words(one), str(one.get("description", ""))) for one in found]
    session.out.table(("action", "arguments", "description"), rows, empty="no actions")
    if runs:
        session.out.line("")
        session.out.table(RUN_COLUMNS, map(run_row, runs), empty="")


def action(
    session: Session,
    action: Annotated[str, typer.Argument(metavar="ID", help="act-...; `upcall service actions SERVICE` lists them.")],
    cancel: Annotated[bool, typer.Option("--cancel", help="It is no longer wanted.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until it is over.")] = False,
) -> None:
    """An action that was asked for: how far it is, its result; --cancel ends it."""
    path = paths.of("actions", action)
    if cancel:
        found = ActionView.model_validate(session.client.post(f"{path}/cancel", Ask()))
        if wait:
            found = _until_over(session, found)
        session.out.say(found, f"{found.name} of {found.service}: {found.error or 'is being cancelled'}")
        return
    found = ActionView.model_validate(session.client.get(path))
    if wait:
        found = _until_over(session, found)
    if session.out.as_json:
        session.out.json(found)
        return
    session.out.line(f"{found.id} {found.name} of {found.service}, asked by {found.who}: {_state(found)}")
    if found.state == "done":
        show_result(session, found)


# -- one action -------------------------------------------------------------------------------------------------------


def known_action(session: Session, service: str, action: str) -> dict[str, Any]:
    """What its service says of it; an unknown one is named with its nearest before anything is sent."""
    known = {str(one.get("name", "")): one for one in session.client.service(service).actions}
    if action not in known:
        raise NotFound(
            f"{service} has no action {action!r}",
            where=f"service {service}",
            expected=nearest(action, known) if known else "a service with actions",
        )
    return known[action]


def run_action(
    session: Session, service: str, action: str, arguments: dict[str, Any], *, patience_s: float = 0.0
) -> Any:
    """The action's result. ``patience_s``: for so long it is tried again while the answer is "not now". It has to be
    one that may be done twice: it is also asked again where nobody knows whether it was heard."""
    known_action(session, service, action)
    return finished(session, begin(session, service, action, arguments, patience_s=patience_s, twice=True)).result


def begin(
    session: Session,
    service: str,
    action: str,
    arguments: dict[str, Any],
    *,
    patience_s: float = 0.0,
    twice: bool = False,
) -> ActionView:
    """Begun, and tried again by its service for ``patience_s``; ``twice``: see :func:`patiently`."""
    path = paths.of("services", service, "actions", action, "begin")
    if patience_s:
        path += f"?patience_s={patience_s:g}"
    found = patiently(
        session, lambda: session.client.post(path, arguments), f"{service}: {action}", patience_s, twice=twice
    )
    return ActionView.model_validate(found)


def judged(
    session: Session,
    service: str,
    action: str,
    arguments: dict[str, Any],
    update: Update | None = None,
    *,
    patience_s: float = 0.0,
) -> CheckedAction:
    """What the action would refuse, now or once ``update`` is carried out; nothing is begun."""
    path = paths.of("services", service, "actions", action, "check")
    asked = CheckAction(arguments=arguments, update=update)
    found = patiently(session, lambda: session.client.post(path, asked), f"{service}: {action}", patience_s, twice=True)
    return CheckedAction.model_validate(found)


def finished(session: Session, begun: ActionView) -> ActionView:
    """When it is done; one that failed is raised in its own words."""
    try:
        found = _until_over(session, begun)
    except KeyboardInterrupt:
        session.out.note(
            f"no longer waiting; {begun.id} goes on: `upcall service action {begun.id}` says how far it is,"
            f" with --cancel it ends"
        )
        raise
    if found.state != "done":
        raise failure(found)
    return found


def show_result(session: Session, found: ActionView) -> None:
    """A result that fits one line says what it is of; others are tables."""
    result, of = found.result, f"{found.name} of {found.service}"
    if session.out.as_json:
        session.out.json(plain(result))
    elif isinstance(result, list) and result and all(isinstance(one, dict) for one in result):
        columns = list(result[0])
        session.out.table(columns, [[short(one.get(key, "")) for key in columns] for one in result], empty="nothing")
    elif isinstance(result, dict) and result:
        line = f"{of}: " + " ".join(f"{key}={short(value)}" for key, value in result.items())
        if len(line) <= LINE_CHARS_MAX and "\n" not in line:
            session.out.line(line)
        else:
            session.out.table(("key", "value"), [(key, short(value)) for key, value in result.items()], empty="done")
    else:
        session.out.line(f"{of}: done" if result in (None, {}, []) else str(result))


def _until_over(session: Session, begun: ActionView) -> ActionView:
    found = begun
    path = paths.of("actions", begun.id) + f"?wait_s={POLL_S:g}"
    with session.out.progress() as progress:

        def draw() -> None:
            progress.show(lambda: _picture(found), [_words(found)] if found.progress else [])

        while found.state == "running":
            draw()
            found = ActionView.model_validate(
                session.client.patient(
                    lambda: session.client.call("GET", path), max(PATIENCE_S, session.client.patience_s)
                )
            )
    return found


def _picture(found: ActionView) -> Any:
    from rich.spinner import Spinner
    from rich.text import Text

    return Spinner("dots", text=Text(f" {_words(found)}  {duration(time.time() - found.began_at)}"), style="yellow")


def _words(found: ActionView) -> str:
    return f"{found.service}: {found.name}{_how_far(found)}"


def _how_far(found: ActionView) -> str:
    share = f" {found.share:.0%}" if found.share is not None else ""
    return share + (f": {found.progress}" if found.progress else "")


def _state(found: ActionView) -> str:
    if found.state == "running":
        return f"runs for {ago(found.began_at)}{_how_far(found)}"
    return f"{found.state} after {duration(found.ended_at - found.began_at)}" + (
        f": {found.error}" if found.error else ""
    )


def run_row(one: ActionView) -> tuple[str, ...]:
    took = duration((one.ended_at or time.time()) - one.began_at)
    result = one.error or (one.progress if one.state == "running" else "" if one.result is None else short(one.result))
    return (one.id, one.name, one.state, one.who, ago(one.began_at), took, result[:LINE_CHARS_MAX])


def _explain(session: Session, service: str, known: dict[str, Any]) -> None:
    """Its arguments with their types and defaults, as the catalog shows options."""
    if session.out.as_json:
        session.out.json(known)
        return
    schema = known.get("arguments", {})
    session.out.line(f"Usage: upcall service do {service} {known.get('name', '')} {argument_words(known)}".rstrip())
    if words := str(known.get("description", "")):
        session.out.line(f"\n  {words}\n")
    session.out.table(("argument", "type", "default", "description"), option_rows(schema), empty="no arguments")
    maps = [name for name, one in schema.get("properties", {}).items() if one.get("type") == "object"]
    lines = [f"An entry of {name}: {name}.KEY=VALUE ({name}.some.key=2 sets some.key)." for name in maps]
    lines.append("Values: key=value; key:=text stays text; key=@file is the text of a file.")
    session.out.line("\n" + "\n".join(lines))

"""``upcall why`` and ``upcall operation``: the question that every stuck system owes an answer to."""

from collections.abc import Callable
from typing import Annotated
from urllib.parse import quote

import typer

from upcall.cli.here import Here, command, commands
from upcall.cli.output import ago
from upcall.protocol.operator import Ask, OperationView, Why

why_app = commands()
operation_app = commands("Operations: list, force, cancel.")
APPS = {"why": why_app, "operation": operation_app}

COLUMNS = ("id", "kind", "target", "state", "class", "for", "waits for")
VERBS = {
    "force": "Go over the service's answer; recorded with your name and reason.",
    "cancel": "Take it back, where it has not begun.",
    "assume-dead": "Your word that a lost task no longer runs, so that it may be replaced.",
}


@command(why_app, "why")
def why(
    here: Here,
    operation: Annotated[str, typer.Argument(metavar="[OPERATION]", help="Default: all that waits.")] = "",
) -> None:
    """Who waits for whom, since when and why."""
    if operation:
        _show(here, [here.client.why(operation)])
        return
    status = here.client.status()
    waiting = here.client.operations()
    roots = [one for one in waiting if not one.parent or one.parent not in {other.id for other in waiting}]
    found = [here.client.why(one.id) for one in roots]
    if here.out.as_json:
        here.out.json({"waiting": status.waiting, "operations": found})
        return
    blocked = [one for one in status.services if one.reason and one.state not in ("running",)]
    for line in status.waiting:
        print(line)
    for service in blocked:
        print(f"{service.name} is {service.state}: {service.reason}")
    _show(here, found)
    if not found and not status.waiting and not blocked:
        print("nothing waits")


def _show(here: Here, found: list[Why]) -> None:
    if here.out.as_json:
        here.out.json(found[0])
        return
    for one in found:
        for line in why_lines(one):
            print(line)


def why_lines(found: Why, depth: int = 0) -> list[str]:
    """The answer with those below it, indented."""
    one = found.operation
    since = f" for {ago(one.since)}" if one.since else ""
    lines = [f"{'  ' * depth}{one.id} {one.kind} {one.member or one.target}: {one.state}{since}"]
    lines += [f"{'  ' * depth}  {line}" for line in found.lines]
    for child in found.children:
        lines += why_lines(child, depth + 1)
    return lines


@command(operation_app, "list")
def list_operations(
    here: Here, ended: Annotated[bool, typer.Option("--all", help="Those that ended too.")] = False
) -> None:
    """Operations, newest last."""
    found = here.client.operations(ended=ended)
    here.out.show(found, COLUMNS, map(operation_row, found), empty="no operation is open")


def operation_row(one: OperationView) -> tuple[str, ...]:
    waits = one.waits_for or one.outcome
    return (one.id, one.kind, one.member or one.target, one.state, one.klass, ago(one.ended_at or one.since), waits)


def _verb(verb: str, words: str) -> Callable[..., None]:
    def ask(
        here: Here,
        operation: Annotated[str, typer.Argument(metavar="OPERATION")],
        reason: Annotated[str, typer.Option("--reason", help="Recorded with your name.")] = "",
    ) -> None:
        path = f"/v1/operations/{quote(operation, safe='')}/{verb.replace('-', '_')}"
        found = here.client.operation_of(path, Ask(reason=reason))
        here.out.say(found, f"{found.id} {found.kind} {found.target}: {found.state}")

    ask.__doc__ = words
    return ask


for _name, _words in VERBS.items():
    command(operation_app, _name)(_verb(_name, _words))

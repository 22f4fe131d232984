"""``upcall task``: members of services and their tasks. Whatever ends one is an operation, so the service is asked."""

import time
from collections.abc import Callable
from typing import Annotated

import typer

from upcall.cli.members import find_ended, last_end_words
from upcall.cli.output import ago
from upcall.cli.service import MEMBER_COLUMNS, member_row
from upcall.cli.session import Session, command, commands
from upcall.cli.waiting import wait_for
from upcall.client import paths
from upcall.protocol.operator import Ask, TaskView

task_app = commands("Members and their tasks: list, show, start, stop, restart, replace.")
APPS = {"task": task_app}

VERBS = {
    "restart": "Restart a member at its place; its service is asked when.",
    "replace": "Start a member anew on another node, with empty volumes.",
    "stop": "Stop a member and keep it down, with its volumes, until `task start`; its service is asked when.",
}


@command(task_app, "list")
def list_tasks(
    session: Session, service: Annotated[str, typer.Argument(metavar="SERVICE", help="Of one service only.")] = ""
) -> None:
    """All members with their newest task."""
    if service:
        session.client.service(service)  # or the error that there is none
    found = [one for one in session.client.tasks() if service in ("", one.service)]
    session.out.show(found, MEMBER_COLUMNS, map(member_row, found), empty="no tasks")


@command(task_app, "show")
def show(
    session: Session,
    member: Annotated[str, typer.Argument(metavar="MEMBER", help="hello.web-1, or its task: hello.web-1.3.")],
) -> None:
    """One member with all that is known of it."""
    found = find_ended(session, member)
    rows = [(key.replace("_", " "), value) for key, value in _facts(found).items() if value not in ("", None)]
    session.out.show(found, ("key", "value"), rows, empty="nothing")


def _facts(one: TaskView) -> dict[str, object]:
    """Its fields as a person reads them. How it ended before is one line of what is past, not how it is now."""
    past = {"exit_code", "exit_reason", "ended", "ended_at", *(["last_lines"] if one.state == "ready" else [])}
    return one.model_dump(exclude=past) | {
        "last_end": last_end_words(one),
        "ports": " ".join(f"{name}:{port}" for name, port in one.ports.items()),
        "since": f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(one.since))} ({ago(one.since)})"
        if one.since
        else "",
        "last_lines": "" if one.state == "ready" else "\n".join(one.last_lines),
        "cpu_used": f"{one.cpu_used:.2f}",
        "memory_used_mib": f"{one.memory_used_mib:.0f}",
        "disk_used_mib": f"{one.disk_used_mib:.0f}",
        "filling": "\n".join(one.filling),
    }


@command(task_app, "start")
def start(
    session: Session,
    member: Annotated[str, typer.Argument(metavar="MEMBER", help="hello.web-1, or its task: hello.web-1.3.")],
    reason: Annotated[str, typer.Option("--reason", help="Recorded, and shown to the service.")] = "",
) -> None:
    """Start a member again that was stopped (by its service, say). What a drain holds, `node undrain` gives back."""
    operation = session.client.operation_of(paths.of("tasks", member, "start"), Ask(reason=reason))
    words = f"{member} is started again: {operation.kind} {operation.id} is {operation.state}"
    session.out.say(operation, words)


def _verb(verb: str, words: str) -> Callable[..., None]:
    def ask(
        session: Session,
        member: Annotated[str, typer.Argument(metavar="MEMBER", help="hello.web-1, or its task: hello.web-1.3.")],
        reason: Annotated[str, typer.Option("--reason", help="Recorded, and shown to the service.")] = "",
        force: Annotated[
            bool, typer.Option("--force", help="Over the service's answer; recorded with your name.")
        ] = False,
        no_wait: Annotated[bool, typer.Option("--no-wait", help="Return as soon as it is recorded.")] = False,
    ) -> None:
        path = paths.of("tasks", member, verb)
        operation = session.client.operation_of(path, Ask(reason=reason, force=force))
        if not no_wait:
            operation = wait_for(session, operation)
        session.out.say(operation, f"{verb} of {member}: {operation.state} ({operation.id})")

    ask.__doc__ = words
    return ask


for _name, _words in VERBS.items():
    command(task_app, _name)(_verb(_name, _words))

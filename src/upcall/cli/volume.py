"""``upcall volume``: what members have on nodes, and what was kept or set aside of them."""

import time
from typing import Annotated

import typer

from upcall.cli.asking import Yes, confirm
from upcall.cli.session import Session, command, commands
from upcall.cli.waiting import wait_for
from upcall.client import paths
from upcall.protocol.operator import Ask, VolumesView

volume_app = commands("Volumes that members have left: list, take-back, drop.")
APPS = {"volume": volume_app}

IN_USE = ("in use", "held")
COLUMNS = ("volumes", "state", "mib", "folders", "why")

Name = Annotated[str, typer.Argument(metavar="VOLUMES", help="As `volume list` shows it: log.replica-1:2@node-3")]
Reason = Annotated[str, typer.Option("--reason", help="Recorded, with your name.")]


@command(volume_app, "list")
def list_volumes(
    session: Session,
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", help="Of one service only, also of one that is gone.")
    ] = "",
    everything: Annotated[bool, typer.Option("--all", help="Those that are in use too.")] = False,
) -> None:
    """Volumes without a running member: kept after an uninstall, set aside, being deleted."""
    volumes = session.client.volumes()
    if service and not any(one.member.partition(".")[0] == service for one in volumes):
        session.client.service(service)  # or the error that there is none
    found = [
        one
        for one in volumes
        if service in ("", one.member.partition(".")[0]) and (everything or one.state not in IN_USE)
    ]
    empty = "no volumes" if everything else "no volumes were left; --all shows those in use"
    session.out.show(found, COLUMNS, map(_row, found), empty=empty)


@command(volume_app, "drop")
def drop(session: Session, volumes: Name, reason: Reason = "", yes: Yes = False) -> None:
    """Delete VOLUMES and what is in them, for good. What is in use is refused."""
    path, asked = paths.of("volumes", volumes, "drop"), Ask(reason=reason)
    what = f"{volumes} and all that is in them are deleted for good; nothing brings them back"
    confirm(session, what, f"volume drop {volumes}", yes=yes)
    answer = session.client.post(path, asked)
    found = VolumesView.model_validate(answer)
    later = "" if found.node_state == "up" else f" as soon as {found.node} answers"
    session.out.say(found, f"{volumes} is deleted{later}")


@command(volume_app, "take-back")
def take_back(
    session: Session,
    volumes: Name,
    reason: Reason = "",
    force: Annotated[bool, typer.Option("--force", help="Over the service's answer; recorded with your name.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return as soon as it is recorded.")] = False,
) -> None:
    """Start their member anew with VOLUMES, at their node; its service is asked, and what it has now is set aside."""
    path = paths.of("volumes", volumes, "take-back")
    operation = session.client.operation_of(path, Ask(reason=reason, force=force))
    if not no_wait:
        operation = wait_for(session, operation)
    session.out.say(operation, f"take-back of {volumes}: {operation.state} ({operation.id})")


def _row(one: VolumesView) -> tuple[str, ...]:
    return one.name, one.state, str(one.size_mib or "?"), " ".join(one.volumes), _why(one)


def _why(one: VolumesView) -> str:
    if one.state == "kept":
        until = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.until))
        return f"taken back by an install of the same package until {until}"
    away = "" if one.node_state in ("up", "") else f"{one.node} is {one.node_state}"
    return "; ".join(part for part in (one.reason, away) if part)

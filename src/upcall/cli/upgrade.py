"""``upcall upgrade`` and ``upcall finalize``: another version of a service's package, and its point of no return."""

from typing import Annotated

import typer

from upcall.cli import waiting
from upcall.cli.asking import Yes, confirm
from upcall.cli.session import Session, command, commands
from upcall.cli.update import DryRun, Instead, InWindow, Name, NoWait, Reason, Set, Unset, change, schema
from upcall.cli.values import parse_pairs
from upcall.client import paths
from upcall.protocol.operator import Ask, Update

upgrade_app = commands()
finalize_app = commands()
APPS = {"upgrade": upgrade_app, "finalize": finalize_app}


@command(upgrade_app, "upgrade")
def upgrade(
    session: Session,
    service: Name,
    to: Annotated[str, typer.Option("--to", metavar="VERSION", help="4.3 is the newest that begins so.")],
    setting: Set = None,
    unset: Unset = None,
    finalize: Annotated[
        bool, typer.Option("--finalize", help="Its point of no return follows when it is done; nobody is asked again.")
    ] = False,
    reason: Reason = "",
    instead: Instead = False,
    in_window: InWindow = False,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
) -> None:
    """Bring a running service to another version of its package: one member first, a gate, then the others."""
    stands = session.client.service(service)
    asked = Update(
        set=parse_pairs(setting or [], "--set", schema(session, stands, to)),
        unset=unset or [],
        version=to,
        made_from=stands.revision,
        reason=reason,
        instead=instead,
        finalize=finalize,
        in_window=in_window,
    )
    change(session, service, asked, dry_run=dry_run, wait=not no_wait)


@command(finalize_app, "finalize")
def finalize(
    session: Session,
    service: Name,
    reason: Reason = "",
    force: Annotated[bool, typer.Option("--force", help="Over the service's answer; recorded with your name.")] = False,
    in_window: InWindow = False,
    no_wait: NoWait = False,
    yes: Yes = False,
) -> None:
    """The point of no return of an upgrade: from then on nothing goes back to the version before. It is asked."""
    path = paths.of("services", service, "finalize")
    asked = Ask(reason=reason, force=force, in_window=in_window)
    if not yes:
        session.client.service(service)  # or that there is none, before anything is asked
    what = f"from then on {service} cannot go back to the version before; its data is kept"
    confirm(session, what, f"finalize {service}", yes=yes, for_good=False)
    operation = session.client.operation_of(path, asked)
    if no_wait:
        session.out.say(operation, f"{service} is being finalized; `upcall why {operation.id}` says how far it is")
        return
    operation = waiting.wait_for(session, operation)
    session.out.say(operation, f"{service} is finalized at version {session.client.service(service).version}")

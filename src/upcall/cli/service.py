"""``upcall service`` and ``upcall endpoints``: services, and what they can do for a person."""

from typing import Annotated, Any

import typer

from upcall.cli import action, clients, config, waiting
from upcall.cli.catalog import argument_words
from upcall.cli.output import ago, duration, mib, short
from upcall.cli.plan import plan_rows
from upcall.cli.schedule import COLUMNS, schedule_row
from upcall.cli.session import Session, command, commands
from upcall.cli.status import SERVICE_COLUMNS, service_row
from upcall.cli.update import InWindow, version_words
from upcall.client import paths
from upcall.protocol.errors import Invalid
from upcall.protocol.operator import Ask, EndpointView, ServiceView, TaskView

service_app = commands("Services: list, show, history, rebalance; do, actions, action: what one is asked.")
endpoints_app = commands()
APPS = {"service": service_app, "endpoints": endpoints_app}

MEMBER_COLUMNS = ("member", "state", "node", "address", "ports", "for", "memory", "cpu", "reason")
Name = Annotated[str, typer.Argument(metavar="SERVICE")]


@command(service_app, "list")
def list_services(session: Session) -> None:
    """All services."""
    found = session.client.services()
    session.out.show(found, SERVICE_COLUMNS, map(service_row, found), empty="no services; `upcall install` makes one")


@command(service_app, "show")
def show(session: Session, service: Name) -> None:
    """One service: members, plans, endpoints, options, actions."""
    found = session.client.service(service)
    if session.out.as_json:
        session.out.json(found)
        return
    reason = f": {found.reason}" if found.reason else ""
    session.out.line(f"{found.name}  {found.package} {found.version}  revision {found.revision}  {found.state}{reason}")
    if found.came_from:
        session.out.line(f"not finalized{version_words(found)}")
    if found.keeper is not None:
        where = f": `{found.keeper.how}`" if found.keeper.how else ""
        session.out.line(f"it is what {found.keeper.what} says, and is changed there alone{where}")
    session.out.table(MEMBER_COLUMNS, map(member_row, found.members), empty="no members yet")
    session.out.table(("plan", "phase", "step", "state", "for", "reason"), plan_rows(found.plans), empty="no plans yet")
    session.out.table(
        ("endpoint", "protocol", "addresses", "user", "description"),
        _endpoint_rows(found.endpoints),
        empty="no endpoints",
    )
    session.out.table(
        ("option", "value"), [(key, short(value)) for key, value in found.options.items()], empty="no options are set"
    )
    if found.schedules:
        session.out.table(COLUMNS[1:], [schedule_row(one) for one in found.schedules], empty="nothing is scheduled")
    session.out.table(("action", "arguments", "description"), _action_rows(found), empty="no actions")


@command(service_app, "history")
def history(session: Session, service: Name) -> None:
    """Its revisions: what was changed, by whom, and what became of it."""
    found = config.revisions(session, service)
    known = {one.number: one for one in found}
    rows = [
        config.history_row(one, known.get(one.before), ago(one.at), "" if one.took_s is None else duration(one.took_s))
        for one in found
    ]
    columns = ("revision", "state", "outcome", "age", "asked by", "took", "what", "why")
    session.out.show(found, columns, rows, empty="no revisions")


@command(service_app, "rebalance")
def rebalance(
    session: Session,
    service: Name,
    reason: Annotated[str, typer.Option("--reason", help="Recorded, and shown to the service.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Over its answer; needs a reason.")] = False,
    in_window: InWindow = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return as soon as it is recorded.")] = False,
) -> None:
    """Spread its load anew over its members. It is asked; `upcall operation cancel` stops it."""
    if force and not reason:
        raise Invalid("force needs a reason, which stays in the record", where="--reason")
    asked = Ask(reason=reason, force=force, in_window=in_window)
    operation = session.client.operation_of(paths.of("services", service, "rebalance"), asked)
    if not no_wait:
        operation = waiting.wait_for(session, operation)
        session.out.say(operation, f"{service} has spread its load")
        return
    session.out.say(operation, f"{service} spreads its load; `upcall why {operation.id}` says how far it is")


action.register(service_app)


@command(endpoints_app, "endpoints")
def endpoints(
    session: Session,
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="Of one service only.")] = "",
    passwords: Annotated[bool, typer.Option("--passwords", help="Print the passwords too.")] = False,
) -> None:
    """What clients may connect to, and whom they log in as; of one service, how clients connect, as it stands: what
    they log in by is in files for you alone."""
    view = session.client.service(service) if service else None  # or the error that there is none
    found = [one for one in session.client.endpoints() if service in ("", one.service)]
    columns = ("service", "endpoint", "protocol", "addresses", "user", "description")
    rows = [(one.service, *row) for one, row in zip(found, _endpoint_rows(found), strict=True)]
    if not passwords:
        session.out.show(found, columns, rows, empty="no endpoints yet")
        if view is not None and view.clients and not session.out.as_json and not session.control_plane:
            for name, text in clients.texts(session, view):
                session.out.line(f"\n{name}:")
                session.out.text(text)
        return
    said = [session.client.credentials(one.service, one.name).password if one.user else "" for one in found]
    shown = [{**one.model_dump(), "password": password} for one, password in zip(found, said, strict=True)]
    told = [(*row[:5], password, *row[5:]) for row, password in zip(rows, said, strict=True)]
    session.out.show(shown, (*columns[:5], "password", *columns[5:]), told, empty="no endpoints yet")


def member_row(one: TaskView) -> tuple[Any, ...]:
    memory = f"{mib(one.memory_used_mib)} of {mib(one.memory_mib)}"
    ports = " ".join(f"{name}:{port}" for name, port in one.ports.items())
    return (
        f"{one.member}.{one.incarnation}", one.state, one.node, one.address, ports, ago(one.since), memory,
        f"{one.cpu_used:.2f}", one.reason,
    )  # fmt: skip


def _endpoint_rows(found: list[EndpointView]) -> list[tuple[str, str, str, str, str]]:
    return [(one.name, one.protocol, " ".join(one.addresses), one.user, one.description) for one in found]


def _action_rows(found: ServiceView) -> list[tuple[str, str, str]]:
    return [(str(one.get("name", "")), argument_words(one), str(one.get("description", ""))) for one in found.actions]

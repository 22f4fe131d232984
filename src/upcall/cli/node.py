"""``upcall node``: machines. A drain asks the services first; undrain brings back what it held."""

import time
from collections.abc import Callable
from typing import Annotated, Final, Literal

import typer
from pydantic import BaseModel

from upcall.cli.asking import Yes, confirm
from upcall.cli.event_stream import EventStream
from upcall.cli.output import mib
from upcall.cli.patience import patiently
from upcall.cli.session import Session, command, commands
from upcall.cli.status import NODE_COLUMNS, node_row
from upcall.cli.values import parse_pairs
from upcall.cli.waiting import PATIENCE_S, REFRESH_S, wait_for
from upcall.client import paths
from upcall.client.blocking import KEPT_PATIENCE_S
from upcall.protocol.errors import Conflict, NotFound
from upcall.protocol.operator import (
    DRAIN_WINDOW_S,
    AddNode,
    Ask,
    Drain,
    DrainTogether,
    NodeView,
    OperationView,
    UndrainTogether,
)

node_app = commands("Nodes: list, add, remove, drain, undrain.")
APPS = {"node": node_app}

UP_TIMEOUT_S: Final = 120.0

Name = Annotated[str, typer.Argument(metavar="NODE")]
Names = Annotated[list[str] | None, typer.Argument(metavar="NODE", show_default=False, help="By name, or see --zone.")]
OfZone = Annotated[str, typer.Option("--zone", metavar="ZONE", show_default=False, help="All nodes of it.")]
Reason = Annotated[str, typer.Option("--reason", help="Recorded, and shown to the services.")]
Window = Annotated[
    float, typer.Option("--window", metavar="SECONDS", min=0.001, help="The services are asked for so long.")
]
OnDeadline = Annotated[
    Literal["hold", "proceed", "force"],
    typer.Option(help="When the window is over: wait on, go over the answer, or over answer and minimum."),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return as soon as it is recorded.")]


@command(node_app, "list")
def list_nodes(session: Session) -> None:
    """Nodes, what each offers and what runs there."""
    found = session.client.nodes()
    session.out.show(found, NODE_COLUMNS, map(node_row, found), empty="no nodes have registered yet")


@command(node_app, "add")
def add(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NODE", help="Default: the next free node-N.")] = "",
    zone: Annotated[str, typer.Option("--zone", help="Default: the zone with the fewest nodes.")] = "",
    attribute: Annotated[
        list[str] | None, typer.Option("--attribute", metavar="KEY=VALUE", help="For constraints.")
    ] = None,
    memory: Annotated[
        int, typer.Option("--memory-mib", min=0, show_default=False, help="Default: as the nodes of the first `up`.")
    ] = 0,
) -> None:
    """Add a virtual node with the part of the memory that is kept for it."""
    attributes = {key: str(value) for key, value in parse_pairs(attribute or [], "--attribute").items()}
    made = session.client.post("/v1/nodes", AddNode(name=name, zone=zone, memory_mib=memory, attributes=attributes))
    node = _until_up(session, str(made["name"]))
    session.out.say(node, f"{node.name} is up: zone {node.zone}, {mib(node.memory_mib)}")


def _until_up(session: Session, name: str) -> NodeView:
    """The node, when it has registered and nothing keeps it away."""
    until = time.monotonic() + UP_TIMEOUT_S
    with session.out.progress() as progress, EventStream(session.client) as event_stream:
        while True:
            found = next(
                (one for one in session.client.patient(session.client.nodes, PATIENCE_S) if one.name == name), None
            )
            if found is not None and found.state == "up":
                return found
            state = f"{found.state} {found.reason}".strip() if found else "not registered yet"
            if time.monotonic() > until:
                raise Conflict(f"{name} is {state} after {UP_TIMEOUT_S:g} s", where=f"node {name}", expected="up")
            progress.line(f"{name}: {state}")
            event_stream.wait(REFRESH_S)


@command(node_app, "drain")
def drain(
    session: Session,
    nodes: Names = None,
    zone: OfZone = "",
    reason: Reason = "maintenance",
    window: Window = DRAIN_WINDOW_S,
    on_deadline: OnDeadline = "hold",
    no_wait: NoWait = False,
) -> None:
    """Ask the services to leave a node for maintenance, or several together; members are held with their volumes until
    undrain."""
    given = {"reason": reason, "window_s": window, "on_deadline": on_deadline}
    _named(nodes, zone)
    if zone or len(nodes or ()) != 1:
        request = DrainTogether.model_validate({**given, "nodes": nodes or [], "zone": zone})
        operation = _once_there(session, "drain", lambda: session.client.operation_of("/v1/maintenance", request))
    else:
        operation = _asked(session, (nodes or [""])[0], "drain", Drain.model_validate(given))
    _wait(session, operation, "drain", no_wait)


@command(node_app, "remove")
def remove(
    session: Session,
    node: Name,
    reason: Reason = "node is removed",
    window: Window = DRAIN_WINDOW_S,
    on_deadline: OnDeadline = "hold",
    no_wait: NoWait = False,
    yes: Yes = False,
) -> None:
    """Drain a node for good; its members are replaced elsewhere."""
    request = Drain(reason=reason, window_s=window, on_deadline=on_deadline)
    what = f"{node} leaves for good, with the volumes on it; its services are asked, and what ran there is replaced"
    confirm(session, what, f"node remove {node}", yes=yes, for_good=False)
    _wait(session, _asked(session, node, "remove", request), "remove", no_wait)


@command(node_app, "undrain")
def undrain(
    session: Session,
    nodes: Names = None,
    zone: OfZone = "",
    reason: Reason = "maintenance is over",
    no_wait: NoWait = False,
) -> None:
    """Maintenance is over: what was held comes back. Of a drain of several nodes, the part of those that are named."""
    _named(nodes, zone)
    if zone or len(nodes or ()) != 1:
        request = UndrainTogether(nodes=nodes or [], zone=zone, reason=reason)
        answer = session.client.post("/v1/maintenance/over", request)
        operations = [OperationView.model_validate(each) for each in answer]
    else:
        operations = [_asked(session, (nodes or [""])[0], "undrain", Ask(reason=reason))]
    back = nodes or [one.name for one in session.client.nodes() if one.zone == zone]
    for node in back if not no_wait else ():
        _until_up(session, node)
    ids = ", ".join(one.id for one in operations)
    verb, whose = ("is", "its") if len(back) == 1 else ("are", "their")
    shown = operations[0] if len(operations) == 1 else operations
    then = f"{whose} members come back" if _had_left(session, operations) else "no member had left"
    session.out.say(shown, f"{', '.join(back)} {verb} no longer drained ({ids}); {then}")


def _had_left(session: Session, drains: list[OperationView]) -> bool:
    """Whether a member had to go for it: no longer where each was still asked, or waited for. What is not known any
    more may have."""
    try:
        stops = [session.client.operation(each) for one in drains for each in one.children]
    except NotFound:
        return True
    return not stops or any(each.state != "withdrawn" for each in stops)


def _named(nodes: list[str] | None, zone: str) -> None:
    if bool(nodes) == bool(zone):
        raise typer.BadParameter("nodes by name, or --zone" + (", not both" if zone else ""), param_hint="NODE...")


def _asked(session: Session, node: str, verb: str, request: BaseModel) -> OperationView:
    path = paths.of("nodes", node, verb)
    return _once_there(session, verb, lambda: session.client.operation_of(path, request))


def _once_there(session: Session, verb: str, ask: Callable[[], OperationView]) -> OperationView:
    """A master that has just started has not heard of its nodes yet: that is waited for as for the master itself."""
    return patiently(session, ask, verb, KEPT_PATIENCE_S, twice=False)


def _wait(session: Session, operation: OperationView, verb: str, no_wait: bool) -> None:
    of = operation.target
    if no_wait:
        session.out.say(
            operation, f"{operation.id}: {verb} of {of} is asked; `upcall why {operation.id}` says how far it is"
        )
        return
    operation = wait_for(session, operation)
    several = len(operation.nodes) > 1
    back = f"drained; `upcall node undrain {' '.join(operation.nodes) or of}` brings {'their' if several else 'its'}"
    words = f"{back} members back" if verb == "drain" else "removed"
    session.out.say(operation, f"{of} {'are' if several else 'is'} {words}")

"""``upcall status``: nodes, services, and what waits."""

import threading
import time
from typing import Annotated, Any, Final

import typer

from upcall.cli import watching
from upcall.cli.output import mib, rich_table
from upcall.cli.session import Session, command, commands
from upcall.cli.why import degraded_lines, of_what, standing, still_stands
from upcall.cluster.processes import has_page
from upcall.protocol.errors import NotNow, UpcallError
from upcall.protocol.operator import NodeView, ServiceView, Status

NODE_COLUMNS: Final = ("node", "state", "zone", "memory", "used", "cpu", "members", "reason")
SERVICE_COLUMNS: Final = ("service", "state", "ready", "package", "version", "reason")
REFRESH_S: Final = 5.0
"""Usage figures are no events; so often they are read anyway."""
SETTLE_S: Final = 0.4

status_app = commands()
APPS = {"status": status_app}


@command(status_app, "status")
def status(
    session: Session,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow the changes until Ctrl-C.")] = False,
) -> None:
    """Nodes, services, and what waits."""
    found = session.client.status()
    if watch and session.out.rich:
        _watch(session, found)
        return
    if not session.out.as_json:
        _print(session, found)
    elif not watch:
        session.out.json(found)
    if watch:
        watching.follow(session, found)


def node_row(node: NodeView) -> tuple[Any, ...]:
    memory = f"{mib(node.memory_reserved_mib)} of {mib(node.memory_mib)}"
    return (
        node.name,
        node.state,
        node.zone,
        memory,
        mib(node.memory_used_mib),
        f"{node.cpu_used:.2f} of {node.cpus:g}",
        ", ".join(node.members),
        "" if node.state == "up" else node.reason,
    )


def service_row(service: ServiceView) -> tuple[Any, ...]:
    ready = f"{service.ready}/{service.wanted}"
    return (service.name, service.state, ready, service.package, service.version, service.reason)


def _print(session: Session, found: Status) -> None:
    page = (
        "by `upcall open`" if session.control_plane else (found.page_url or "not up") if has_page() else "not installed"
    )
    session.out.line(f"cluster {found.cluster}  {found.url}  page {page}")
    session.out.table(NODE_COLUMNS, map(node_row, found.nodes), empty="no nodes have registered yet")
    session.out.table(
        SERVICE_COLUMNS,
        map(service_row, found.services),
        empty="no services; `upcall catalog` lists what can be installed",
    )
    for line in waiting_lines(found):
        session.out.line(line)


def waiting_lines(found: Status) -> list[str]:
    """What is wrong and what is stuck, in words; else what is under way."""
    lines = [line for one in found.services for line in degraded_lines(one) if one.state != "degraded"]
    lines += [f"waits: {words}" for words in found.waiting]
    nodes = {one.name for one in found.nodes}
    recovering = {one.name for one in found.services if one.state == "recovering"}
    """Their own line says how what was lost comes back."""
    for one in found.operations:
        if one.kind == "lost" and one.service in recovering:
            continue
        if still_stands(one, nodes):
            lines.append(standing(one))
        elif one.ended_at is None and not found.waiting:
            lines.append(f"under way: {of_what(one)} ({one.id}) {one.waits_for}".rstrip())
    return lines


def _watch(session: Session, found: Status) -> None:
    """Redrawn when an event comes, and every few seconds for the usage figures."""
    from rich.console import Group, RenderableType
    from rich.live import Live
    from rich.text import Text

    changed = threading.Event()

    def listen() -> None:
        try:
            for _ in session.client.follow(found.event_sequence, detail=True):
                changed.set()
        except UpcallError:
            changed.set()  # the picture below says what is wrong

    console = session.out.console()

    def picture(now: Status) -> RenderableType:
        head = Text.assemble(
            ("upcall ", "bold"), (now.cluster, "cyan"), f"  {now.url}  ", (time.strftime("%H:%M:%S"), "dim")
        )
        return Group(
            head,
            "",
            rich_table(NODE_COLUMNS, [[str(cell) for cell in node_row(one)] for one in now.nodes], width=console.width),
            "",
            rich_table(
                SERVICE_COLUMNS, [[str(cell) for cell in service_row(one)] for one in now.services], width=console.width
            ),
            *(Text(line, style="yellow") for line in waiting_lines(now)),
        )

    threading.Thread(target=listen, daemon=True).start()
    with Live(picture(found), console=console, screen=True, auto_refresh=False) as live:
        while True:
            changed.wait(REFRESH_S)
            changed.clear()
            try:
                live.update(picture(session.client.status()), refresh=True)
            except NotNow as away:
                live.update(Text(str(away), style="red"), refresh=True)
            time.sleep(SETTLE_S)

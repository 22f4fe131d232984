"""``upcall window`` and ``upcall schedule``: when the system may act by itself, and what is due."""

from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from upcall.cli.output import duration
from upcall.cli.session import Session, command, commands
from upcall.cli.update import DryRun, Instead, Name, NoWait, Reason, change
from upcall.protocol.errors import Invalid
from upcall.protocol.operator import ScheduleView, Update

window_app = commands()
schedule_app = commands("What is done again and again of services: list.")
APPS = {"window": window_app, "schedule": schedule_app}

COLUMNS = ("service", "what", "every", "windows", "next", "last", "took", "outcome")


@command(window_app, "window")
def window(
    session: Session,
    service: Name,
    windows: Annotated[
        list[str] | None, typer.Argument(metavar="WINDOW", help="`sat 02:00-04:00`, `mon-fri 22:00-05:00`.")
    ] = None,
    zone: Annotated[
        str,
        typer.Option(
            "--zone",
            metavar="NAME",
            help="Time zone of windows and schedules: Europe/Berlin. Default: as it is (UTC at first).",
        ),
    ] = "",
    none: Annotated[bool, typer.Option("--none", help="No windows: the system may act at any time.")] = False,
    reason: Reason = "",
    instead: Instead = False,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
) -> None:
    """Maintenance windows of a service: what the system does by itself begins in them."""
    stands = session.client.service(service)
    if windows and none:
        raise Invalid("windows and --none", where="window", expected="one of them")
    if not (windows or none or zone):
        known = stands.options.get("windows", [])
        named = stands.options.get("time_zone", "UTC")
        words = ", ".join(known) + f" ({named})" if known else "no windows: the system may act at any time"
        session.out.say({"windows": known, "time_zone": named}, f"{service}: {words}")
        return
    wish: dict[str, Any] = {"windows": windows} if windows else {}
    if zone:
        wish["time_zone"] = zone
    unset = ["windows"] if none and "windows" in stands.options else []
    asked = Update(set=wish, unset=unset, made_from=stands.revision, reason=reason, instead=instead)
    change(session, service, asked, dry_run=dry_run, wait=not no_wait)


@command(schedule_app, "list")
def list_schedules(
    session: Session, service: Annotated[str, typer.Argument(metavar="SERVICE", help="Of one service only.")] = ""
) -> None:
    """What is due, when it comes next, and how the last one ended."""
    services = [session.client.service(service)] if service else session.client.services()
    found = [one for each in services for one in each.schedules]
    session.out.show(found, COLUMNS, [(one.service, *schedule_row(one)) for one in found], empty="nothing is scheduled")


def schedule_row(one: ScheduleView) -> tuple[str, ...]:
    outcome = f"{one.outcome}: {one.error}" if one.error else one.outcome
    return (
        one.name,
        one.every if one.by == "package" else f"{one.every} (as you said)",
        ", ".join(one.windows),
        f"now ({one.running})" if one.running else _moment(one.next, one.time_zone),
        _moment(one.began, one.time_zone),
        duration(one.took_s) if one.ended else "",
        outcome + (" (late)" if one.late else ""),
    )


def _moment(at: float, zone: str) -> str:
    return datetime.fromtimestamp(at, ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M %Z") if at else ""

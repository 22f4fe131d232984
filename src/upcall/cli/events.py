"""``upcall events``: what happened, and the conversation about it."""

import sys
import time
from typing import Annotated, Final

import typer

from upcall.cli.output import nearest
from upcall.cli.session import Session, command, commands
from upcall.cli.values import seconds
from upcall.protocol.errors import Invalid, NotFound
from upcall.protocol.operator import EVENT_KINDS, Event

events_app = commands()
APPS = {"events": events_app}

LINES_MAX: Final = 10_000
FILTERED_AMONG: Final = 5_000
ABOUT: Final = ("service", "operation", "node", "member")
"""What an event may be about besides its subject."""
COLOURS: Final = {"operation": "cyan", "answer": "magenta", "node": "blue", "gap": "red", "master": "yellow"}


@command(events_app, "events")
def events(
    session: Session,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=LINES_MAX, help="From the end.")] = 50,
    since: Annotated[
        str, typer.Option("--since", metavar="NUMBER|AGE", help="After this event, or not older than `10m`, instead.")
    ] = "",
    kind: Annotated[str, typer.Option("--kind", help="operation, answer, task, node, service, plan ...")] = "",
    subject: Annotated[str, typer.Option("--about", help="A service, member, node or operation.")] = "",
    detail: Annotated[bool, typer.Option("--detail", help="Each step on the way too.")] = False,
) -> None:
    """What happened, and who asked whom; -f follows it."""
    if kind and kind not in EVENT_KINDS:
        raise Invalid(f"no events are of kind {kind!r}", where="--kind", expected=nearest(kind, EVENT_KINDS))
    number = int(since) if since.isdecimal() else None
    oldest = time.time() - seconds(since, "--since") if since and number is None else 0.0
    last = number if number is not None else session.client.status().event_sequence
    if number is None:
        # A filter is looked for among the newest alone; the whole journal may be long.
        among = max(lines, FILTERED_AMONG) if kind or subject or oldest else lines
        found = session.client.events(limit=among, detail=detail) if lines else []
        last = found[-1].sequence if found else last
        wanted = [one for one in found if one.at >= oldest and _wanted(one, kind, subject)]
        wanted = wanted if oldest else wanted[-lines:]
        for one in wanted:
            _show(session, one)
        if lines and not wanted:
            if subject and not follow:
                _check_subject(session, subject)
            session.out.note(f"none in the last {since}" if oldest else f"none among the newest {len(found)} events")
    else:
        shown = False
        while found := session.client.events(last, detail=detail):
            last = found[-1].sequence
            for one in found:
                if _wanted(one, kind, subject):
                    shown = True
                    _show(session, one)
        if subject and not shown and not follow:
            _check_subject(session, subject)
    if follow:
        for one in session.client.follow(last, detail=detail):
            if _wanted(one, kind, subject):
                _show(session, one)


def _check_subject(session: Session, subject: str) -> None:
    """What nothing was said of, there is at least: a name that is unknown is a mistake. (One that is followed may be
    about to come.)"""
    status = session.client.status()
    known = {node.name for node in status.nodes} | {service.name for service in status.services}
    known |= {name for task in session.client.tasks() for name in (task.member, task.task)}
    if subject not in known | {one.id for one in session.client.operations(ended=True)}:
        raise NotFound(f"nothing is known of {subject!r}", where="--about", expected=nearest(subject, known))


def _wanted(event: Event, kind: str, subject: str) -> bool:
    if event.kind == "gap":
        return True
    about = (event.subject, *(event.data.get(key) for key in ABOUT))
    return kind in ("", event.kind) and (not subject or subject in about or event.subject.startswith(f"{subject}."))


def _show(session: Session, event: Event) -> None:
    clock = time.strftime("%H:%M:%S", time.localtime(event.at))
    if session.out.as_json:
        session.out.json_line(event)
    elif sys.stdout.isatty():
        from rich.text import Text

        colour = COLOURS.get(event.kind, "")
        words = ((f"{clock} ", "dim"), (f"{event.kind:<9} ", colour), (f"{event.subject} ", "bold"), event.text)
        session.out.console().print(Text.assemble(*words))
    else:
        session.out.line(f"{event.sequence} {clock} {event.kind} {event.subject}: {event.text}", flush=True)

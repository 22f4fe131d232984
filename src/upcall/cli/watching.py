"""``upcall status --watch`` where nobody looks at a screen: each change as it comes, until Ctrl-C.

For a person who reads a log, one line for each thing that changed; for a program, the whole status as one JSON object
a line, again whenever something changed. What only counts (memory in use, seconds of a wait) is no change.
"""

import time
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from upcall.cli.event_stream import EventStream
from upcall.cli.output import SECONDS
from upcall.cli.session import Session
from upcall.cli.why import of_what
from upcall.protocol.errors import NotNow
from upcall.protocol.operator import Status

REFRESH_S: Final = 5.0


class Thing(NamedTuple):
    """What something is said of."""

    sort: Literal["node", "service", "operation", "master"]
    name: str

    def __str__(self) -> str:
        return f"{self.sort} {self.name}" if self.sort in ("node", "service") else self.name


AWAY: Final = Thing("master", "the master")
OVER: Final = {"node": "gone", "service": "gone", "operation": "over", "master": "answers again"}


def follow(session: Session, first: Status) -> None:
    """Each change after ``first``; ends with the exception of an interrupt."""
    said = facts(first)
    if session.out.as_json:
        session.out.json_line(first)
    with EventStream(session.client) as event_stream:
        while True:
            event_stream.wait(REFRESH_S)
            try:
                status = session.client.status()
                now = facts(status)
            except NotNow as away:
                status, now = None, {**said, AWAY: str(away)}
            lines = changes(said, now)
            if session.out.as_json:
                if lines and status is not None:
                    session.out.json_line(status)
            else:
                for line in lines:
                    session.out.line(f"{time.strftime('%H:%M:%S')} {line}", flush=True)
            said = now


def facts(status: Status) -> dict[Thing, str]:
    """Each thing with what is so of it, in words that stay the same while it is so."""
    found = {}
    for node in status.nodes:
        found[Thing("node", node.name)] = _words(node.state, "" if node.state == "up" else node.reason)
    for service in status.services:
        found[Thing("service", service.name)] = _words(
            f"{service.state} {service.ready}/{service.wanted}", "" if service.state == "running" else service.reason
        )
    for one in status.operations:
        what = f"{one.id} {of_what(one)}"
        found[Thing("operation", what)] = _words(one.state, one.waits_for)
    return found


def _words(state: str, reason: str) -> str:
    reason = SECONDS.sub("", reason).strip()
    return f"{state}: {reason}" if reason else state


def changes(before: Mapping[Thing, str], now: Mapping[Thing, str]) -> list[str]:
    lines = [f"{thing}: {words}" for thing, words in now.items() if before.get(thing) != words]
    return lines + [f"{thing}: {OVER[thing.sort]}" for thing in before if thing not in now]

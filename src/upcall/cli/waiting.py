"""Waiting for an operation: who is waited for, shown while it lasts.

The wait reads the whole operation whenever the event stream tells of a change (level-triggered), so a master that
restarts meanwhile costs nothing.
Ctrl-C ends the wait, never the operation.
"""

import time
from typing import Final

from upcall.cli.event_stream import EventStream
from upcall.cli.output import duration
from upcall.cli.session import Session
from upcall.cli.why import kind_of, of_what
from upcall.client.blocking import Unreachable
from upcall.protocol.errors import Conflict
from upcall.protocol.operator import OperationView, Why

REFRESH_S: Final = 5.0
"""So often it is looked at unasked: how long a service has been silent is no event."""
PATIENCE_S: Final = 60.0
"""How long the master may be away while something is waited for."""

ENDED: Final = frozenset({"done", "failed", "withdrawn", "lifted", "declined"})
GOOD_END: Final = frozenset({"done", "lifted"})


def wait_for(session: Session, operation: OperationView, *, timeout_s: float | None = None) -> OperationView:
    """Until it ended; a failure is raised in the operation's own words. Where the cluster goes down meanwhile, it is
    said what becomes of it."""
    began = time.monotonic()
    try:
        with session.out.progress() as progress, EventStream(session.client) as event_stream:
            while True:
                seconds = time.monotonic() - began
                patience_s = PATIENCE_S if timeout_s is None else max(1.0, min(PATIENCE_S, timeout_s - seconds))
                why = session.client.patient(lambda: session.client.why(operation.id), patience_s)
                if why.operation.state in ENDED:
                    break
                seconds = time.monotonic() - began
                if timeout_s is not None and seconds > timeout_s:
                    waits = "; ".join(_lines(why))
                    raise Conflict(
                        f"{kind_of(operation)} is not over after {timeout_s:g} s: {waits}", where=operation.id
                    )

                def draw(why: Why = why) -> None:
                    progress.show(lambda: _picture(why, time.monotonic() - began), _lines(why))

                draw()
                event_stream.wait(REFRESH_S if timeout_s is None else min(REFRESH_S, timeout_s - seconds), draw)
    except Unreachable as away:
        raise went_down(session, away, operation.id, f"{of_what(operation)} ({operation.id})") from None
    except KeyboardInterrupt:
        nodes = " ".join(operation.nodes) or operation.target
        undo = f"; `upcall node undrain {nodes}` takes it back" if operation.kind == "maintenance" else ""
        session.out.note(f"no longer waiting; {operation.id} goes on, `upcall why {operation.id}` says how far{undo}")
        raise
    ended = why.operation
    if ended.state not in GOOD_END:
        reason = ended.outcome or ended.waits_for or "no reason was given"
        # Who declined it is said with the reason.
        said = f"was {reason}" if reason.startswith(f"{ended.state} by ") else f"{ended.state}: {reason}"
        nothing = "something else; nothing was changed" if ended.state == "declined" else ""
        raise Conflict(f"{of_what(ended)} {said}", where=ended.id, expected=nothing)
    return ended


def went_down(session: Session, away: Unreachable, where: str, what: str) -> Unreachable:
    """Nobody answers any more: what was begun stands in the record, and goes on when the cluster is up again. A master
    that is only away for long says that itself."""
    if not session.client.gone():
        return away
    return Unreachable(
        f"{away.problem.message}; {what} is not over, and goes on then",
        where=where,
        expected=f"`upcall up`; `upcall why {where}` says then how far it is",
    )


def _picture(why: Why, seconds: float):  # type: ignore[no-untyped-def]
    from rich.console import Group
    from rich.spinner import Spinner
    from rich.text import Text

    head = f" {of_what(why.operation)}  {why.operation.id}  {duration(seconds)}"
    return Group(
        Spinner("dots", text=Text(head), style="yellow"), *(Text(f"  {line}", style="dim") for line in _lines(why))
    )


def _lines(why: Why) -> list[str]:
    """Who is waited for at the leaves of the tree, a line each."""
    if why.children:
        return [line for child in why.children for line in _lines(child)]
    one = why.operation
    return [f"{one.id} {of_what(one)}: {one.waits_for or one.state}"]

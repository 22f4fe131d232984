"""``upcall top``: nodes, members, operations and events on one screen, as they change; drain and undrain by key."""

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import Final

from upcall.cli.session import Session, command, commands
from upcall.protocol.errors import Invalid, UpcallError

top_app = commands()
APPS = {"top": top_app}

REDRAW_S: Final = 1.0
"""Ages and the clock go on by themselves; nobody is asked for that."""


@command(top_app, "top")
def top(session: Session) -> None:
    """The cluster on one screen, as it changes: nodes, members, operations, events, logs; drain and undrain by key."""
    if session.out.as_json or not (sys.stdin.isatty() and sys.stdout.isatty()) or _is_dumb():
        right = "a terminal; elsewhere `upcall status --watch` and `upcall events -f` say what changes"
        raise Invalid("top draws on a terminal, and there is none", where="top", expected=right)
    cluster = session.client.status().cluster  # or why it cannot be seen
    asked: list[str] = []
    try:
        _watch(session, cluster, asked)
    finally:
        if asked:
            session.out.note(f"{', '.join(asked)}: asked from here, and not over; `upcall why` says how far")


def _watch(session: Session, cluster: str, asked: list[str]) -> None:
    from rich.live import Live

    from upcall.cli.top import keys
    from upcall.cli.top.asking import Asking, Lost
    from upcall.cli.top.board import Board
    from upcall.cli.top.drawing import drawn

    board = Board(cluster)
    board.asked = asked
    console = session.out.console()
    terminal = sys.stdin.fileno()
    lost: UpcallError | None = None
    with _ended_by_signals(), keys.pressed(terminal), Asking(session) as asking:
        picture = drawn(board, *console.size, time.time())
        with Live(picture, console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
            while lost is None:
                ready, _, _ = select.select([terminal, asking.bell], [], [], REDRAW_S)
                if asking.bell in ready:
                    try:
                        for one in asking.news():
                            one(board)
                    except Lost as gone:
                        lost = gone.error
                        break
                if terminal in ready:
                    pressed = keys.read(terminal)
                    if pressed is None:
                        break
                    wishes = [wish for key in pressed if (wish := board.key(key)) is not None]
                    if any(wish.verb == "leave" for wish in wishes):
                        break
                    for wish in wishes:
                        asking.ask(wish)
                live.update(drawn(board, *console.size, time.time()), refresh=True)
    if board.status is not None:
        live_ones = {one.id for one in board.status.operations if one.ended_at is None}
        asked[:] = [one for one in asked if one in live_ones or lost is not None]
    if lost is not None:
        raise lost


def _is_dumb() -> bool:
    return os.environ.get("TERM", "dumb") in ("dumb", "unknown")


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """The screen is put back also where somebody ends the program."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

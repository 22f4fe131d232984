"""What the screen waits for, in threads of their own: a key is answered at once, however long the cluster takes.

The event stream says that something changed; then, and only then, nodes, members and operations are looked at. Each
thing that is found out is a piece of news: a function that tells the board of it, in the screen's own thread.
"""

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Final

from upcall.cli import log_following
from upcall.cli.event_stream import EventStream
from upcall.cli.session import Session
from upcall.cli.top.board import Board, Wish
from upcall.cli.why import why_lines
from upcall.client import paths
from upcall.client.blocking import Client
from upcall.protocol.errors import NotNow, UpcallError
from upcall.protocol.operator import Ask, Drain, Event

AWAY_MAX_S: Final = 60.0
"""A master that is started again is back before that."""
LONG_S: Final = 3600.0
EVENTS_AT_FIRST: Final = 100
LOG_LINES: Final = 200

News = Callable[[Board], None]


class Lost(Exception):
    """The cluster does not answer any more; in words, with what would be right."""

    def __init__(self, error: UpcallError) -> None:
        super().__init__(str(error))
        self.error = error


class Asking:
    """A context. ``bell``: readable when there is news."""

    def __init__(self, session: Session) -> None:
        self._client: Client = session.client
        self._client.patience_s = 0.0  # What is away is said at once, and looked at again when the stream is back.
        self._news: queue.SimpleQueue[News | Lost] = queue.SimpleQueue()
        self.bell, self._rings = os.pipe()
        os.set_blocking(self._rings, False)
        self._closed = threading.Event()
        self._stream = EventStream(self._client, told=self._happened)
        self._detail = threading.Event()
        """Set: the detail that is being read is wanted no more."""
        self._away_since = 0.0
        self._has_past = False

    def __enter__(self) -> "Asking":
        threading.Thread(target=self._look, daemon=True, name="look").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._detail.set()

    def news(self) -> list[News]:
        """What came since; raises :class:`Lost`."""
        os.read(self.bell, 1 << 16)
        found: list[News] = []
        while True:
            try:
                one = self._news.get_nowait()
            except queue.Empty:
                return found
            if isinstance(one, Lost):
                raise one
            found.append(one)

    def ask(self, wish: Wish) -> None:
        self._detail.set()
        if wish.verb in ("drain", "undrain"):
            self._apart(lambda: self._maintain(wish))
        elif wish.verb == "log":
            self._detail = over = threading.Event()
            self._apart(lambda: self._log(wish, over))
        elif wish.verb == "why":
            self._apart(lambda: self._why(wish))
        elif wish.verb == "look":
            self._apart(self._look_once)

    # -- in threads of their own ------------------------------------------------------------------------------------

    def _tell(self, one: News | Lost) -> None:
        self._news.put(one)
        with contextlib.suppress(BlockingIOError):  # It rings already.
            os.write(self._rings, b".")

    def _happened(self, event: Event) -> None:
        self._tell(lambda board: board.happened(event))

    def _look(self) -> None:
        with self._stream:
            while not self._closed.is_set():
                if self._stream.wait(LONG_S):
                    self._look_once()

    def _look_once(self) -> None:
        try:
            if not self._has_past:
                # Only now: the stream has begun, so nothing happens between what is past and what it tells.
                for event in self._client.events(limit=EVENTS_AT_FIRST):
                    self._happened(event)
                self._has_past = True
            status, tasks = self._client.status(), self._client.tasks()
        except NotNow as away:
            self._is_away(away)
        except UpcallError as error:
            self._tell(Lost(error))
        else:
            self._away_since = 0.0
            at = time.time()
            self._tell(lambda board: board.saw(status, tasks, at))

    def _is_away(self, away: NotNow) -> None:
        now = time.time()
        self._away_since = self._away_since or now
        if self._client.gone() or now - self._away_since > AWAY_MAX_S:
            self._tell(Lost(away))
            return
        words = away.problem.message
        self._tell(lambda board: board.away(words, now))

    def _apart(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except UpcallError as error:
                words = str(error)
                self._tell(lambda board: board.said(words, bad=True))

        threading.Thread(target=run, daemon=True, name="asks").start()

    def _maintain(self, wish: Wish) -> None:
        request = Drain() if wish.verb == "drain" else Ask(reason="maintenance is over")
        operation = self._client.operation_of(paths.of("nodes", wish.of, wish.verb), request)

        def asked(board: Board) -> None:
            board.asked.append(operation.id)
            board.said(f"{operation.id}: {wish.verb} of {wish.of} is asked")

        self._tell(asked)

    def _why(self, wish: Wish) -> None:
        lines = why_lines(self._client.why(wish.of))
        self._tell(lambda board: _into_detail(board, wish, lines))

    def _log(self, wish: Wish, over: threading.Event) -> None:
        def note(words: str) -> None:
            self._tell(lambda board: _into_detail(board, wish, [f"-- {words}"]))

        for line in log_following.followed(self._client, wish.of, LOG_LINES, "both", note):
            if over.is_set() or self._closed.is_set():
                return
            self._tell(_line(wish, line))


def _line(wish: Wish, line: str) -> News:
    return lambda board: _into_detail(board, wish, [line])


def _into_detail(board: Board, wish: Wish, lines: list[str]) -> None:
    """Unless something else is looked at by now."""
    if board.detail is not None and board.detail.of == wish:
        board.detail.lines.extend(lines)

"""Waiting to be told: the event stream says *that* something changed; who waits then looks at how it is now.

What is looked at is always the whole present state, so nothing depends on a single event: a gap, a stream that breaks,
a master that restarts are each one more look. A wait still has a time after which it looks unasked, since some of what
is shown (how long a service has been silent) changes by itself.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

from upcall.client.blocking import Client
from upcall.protocol.errors import UpcallError
from upcall.protocol.operator import Event

SETTLE_S: Final = 0.25
"""Changes that come together are one look."""
REDRAW_S: Final = 1.0
"""Seconds that are shown go on without a question to the master."""
AGAIN_S: Final = 0.25
"""Between attempts to reach a master that is away: nobody is there who could tell of its return."""


class EventStream:
    """A context: within it the event stream is followed, in a thread of its own. ``told``: of each event, there."""

    def __init__(
        self, client: Client, *, settle_s: float = SETTLE_S, told: Callable[[Event], None] | None = None
    ) -> None:
        self._client, self._settle_s, self._told = client, settle_s, told
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._listen, daemon=True, name="events")

    def __enter__(self) -> "EventStream":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        opened = self._socket
        if opened is not None:
            # Nothing else ends a read that waits for the next event.
            _shut(opened)

    def wait(self, timeout_s: float, redraw: Callable[[], None] = lambda: None) -> bool:
        """True when something happened; False when the time is over. ``redraw`` is called meanwhile."""
        until = time.monotonic() + timeout_s
        while (left_s := until - time.monotonic()) > 0:
            if self._changed.wait(min(left_s, REDRAW_S)):
                time.sleep(min(self._settle_s, max(0.0, until - time.monotonic())))
                self._changed.clear()
                return True
            redraw()
        return False

    # -- the thread -------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        last: int | None = None
        while not self._closed.is_set():
            try:
                if last is None:
                    newest = self._client.events(limit=1, detail=True)
                    last = newest[-1].sequence if newest else 0
                # What happened before the stream is open is seen by one more look.
                self._changed.set()
                last = self._read(last)
            except UpcallError:
                self._changed.set()
            self._closed.wait(AGAIN_S)

    def _read(self, last: int) -> int:
        """Until the stream breaks; gives the number of the last event."""
        path = f"/v1/events?since={last}&follow=true&detail=true"
        try:
            for line in self._client.lines(path, "text/event-stream", self._opened):
                if line.startswith("id:"):
                    last = int(line[3:])
                    self._changed.set()
                elif line.startswith("data:") and self._told is not None:
                    self._told(Event.model_validate_json(line[5:]))
        finally:
            self._socket = None
        return last

    def _opened(self, opened: socket.socket) -> None:
        self._socket = opened
        if self._closed.is_set():
            _shut(opened)


def _shut(opened: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it may have ended by itself
        opened.shutdown(socket.SHUT_RDWR)

"""HTTP with bounds: uvicorn's protocol, and what a stranger may do to it.

Its parser has no bound on headers, no deadline for them, nor one for a body. They are added here, where bytes arrive:
before any application sees a request, it is small, whole and in time.
"""

import asyncio
import logging
from typing import Any, Final, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from upcall.transport.bounds import HEADER_BYTES_MAX, HEADERS_MAX, PIPELINED_MAX, UNKNOWN_BODY_BYTES_MAX, Bounds

LINE_BYTES: Final = 4
"""Of a header, beside its name and value."""
TOO_LARGE: Final = f"headers of more than {HEADER_BYTES_MAX} bytes"
TOO_MANY: Final = f"more than {HEADERS_MAX} headers"
_errors_alone = logging.getLogger("upcall.transport.http")
_errors_alone.setLevel(logging.ERROR)
"""Whoever sends no HTTP could fill the log with it."""
Headers = list[tuple[bytes, bytes]]


class Visitor(Protocol):
    """A connection, as whoever accepted it counts it."""

    bounds: Bounds

    def made(self, transport: asyncio.Transport) -> None: ...
    def shows(self, headers: Headers) -> bool:
        """Whether the request says who is there; remembered for the connection."""
        ...

    def lost(self) -> None: ...


class BoundedHttp(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *, visitor: Visitor, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self.logger = _errors_alone
        self._visitor = visitor
        self._kept_bytes = 0
        """Of this request's line, headers and trailers."""
        self._unfinished_bytes = 0
        """Arrived since the parser last made something of them: part of a header that has no end."""
        self._refused = self._upgraded = self._known = False
        self._body_bytes = 0
        self._running: RequestResponseCycle | None = None
        """The request that is answered; uvicorn's own ``cycle`` is the last that arrived."""
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._visitor.made(transport)
        self._set_deadline(self._visitor.bounds.headers_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_deadline()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)
        self._visitor.lost()
        self._let_go()

    def _let_go(self) -> None:
        """Of what names us in turn: what a connection held is free with its end, not when Python looks for garbage,
        which a master does seldom."""
        self._unset_keepalive_if_required()
        self.pipeline.clear()
        self._running = self.cycle = None  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._unfinished_bytes += len(data)
        super().data_received(data)
        if self._unfinished_bytes > HEADER_BYTES_MAX:
            self._refuse(431, TOO_LARGE)
        elif self._deadline is None and self.timeout_keep_alive_task is None and self._idle() and not self._upgraded:
            self._set_deadline(self._visitor.bounds.headers_s)  # an empty line between requests

    def handle_websocket_upgrade(self) -> None:
        self._clear_deadline()
        if self._refused:
            return
        self._upgraded = True
        self._visitor.shows(self.headers)
        super().handle_websocket_upgrade()
        self._hand_over()

    def _hand_over(self) -> None:
        """Another protocol has the connection from here on, and with it the word that it is over."""
        successor = self.transport.get_protocol()
        ended = successor.connection_lost

        def connection_lost(exc: Exception | None) -> None:
            del successor.connection_lost  # it names this function, and this function names it
            self._visitor.lost()
            self._let_go()
            ended(exc)

        successor.connection_lost = connection_lost  # type: ignore[method-assign]

    # -- the parser's calls -----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._kept_bytes = self._unfinished_bytes = 0
        if self._deadline is None:
            self._set_deadline(self._visitor.bounds.headers_s)

    def on_url(self, url: bytes) -> None:
        if self._keeps(len(url)):
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) >= HEADERS_MAX and not self._refused:
            self._refuse(431, TOO_MANY)
        if self._keeps(len(name) + len(value) + LINE_BYTES):
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._unfinished_bytes = 0
        if not self._refused and len(self.pipeline) >= PIPELINED_MAX:
            self._refuse(429, f"more than {PIPELINED_MAX} requests before the first was answered")
        if not self._refused and not self._idle() and self._waiting_bytes() + self._kept_bytes > HEADER_BYTES_MAX:
            self._refuse(429, f"requests of more than {HEADER_BYTES_MAX} bytes before the first was answered")
        if self._refused:
            return
        if not (self.parser.should_upgrade() and self._should_upgrade()):
            bounds = self._visitor.bounds
            self._known, self._body_bytes = self._visitor.shows(self.headers), 0
            self._set_deadline(bounds.body_s if self._known else bounds.unknown_body_s)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unfinished_bytes = 0
        self._body_bytes += len(body)
        if self._body_bytes > UNKNOWN_BODY_BYTES_MAX and not self._known and not self._refused:
            self._refuse(413, f"a body of more than {UNKNOWN_BODY_BYTES_MAX} bytes, of nobody who is known")
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._unfinished_bytes = 0
        self._clear_deadline()
        if not self._refused:
            super().on_message_complete()

    # -- bounds -----------------------------------------------------------------------------------------------------

    def _keeps(self, more_bytes: int) -> bool:
        self._unfinished_bytes = 0
        self._kept_bytes += more_bytes
        if self._kept_bytes > HEADER_BYTES_MAX and not self._refused:
            self._refuse(431, TOO_LARGE)
        return not self._refused

    def _waiting_bytes(self) -> int:
        """Of the requests that wait for the answer before them."""
        return sum(
            len(cycle.scope["raw_path"])
            + len(cycle.scope["query_string"])
            + sum(len(name) + len(value) + LINE_BYTES for name, value in cycle.scope["headers"])
            for cycle, _ in self.pipeline
        )

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _idle(self) -> bool:
        return self._running is None or self._running.response_complete

    def _set_deadline(self, seconds: float) -> None:
        self._clear_deadline()
        if self.transport.is_closing():
            return
        self._deadline = self.loop.call_later(seconds, self._late)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        self._refuse(408, "the request did not arrive in time")

    def _refuse(self, status: int, words: str) -> None:
        """A last answer, where none has begun; nothing more is read."""
        self._refused = True
        self._clear_deadline()
        if self.transport.is_closing():
            return
        if self._running is None or self._running.response_complete or not self._running.response_started:
            text = words.encode()
            self.transport.write(
                STATUS_LINE[status]
                + b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: "
                + str(len(text)).encode()
                + b"\r\n\r\n"
                + text
            )
            self.transport.close()
        else:
            self.transport.abort()

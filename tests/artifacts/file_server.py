"""A file server on loopback that misbehaves on demand, and remembers what it was asked and what it sent."""

import base64
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ADDRESS = "127.83.19.4"
BLOCK = 8192


@dataclass
class Asked:
    """One request: where the asked range begins (None: no range), and how many bytes of a body went out."""

    path: str
    first: int | None
    sent: int = 0


@dataclass
class FileServer:
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    ranges: bool = True
    """Whether it knows of ranges at all."""
    cuts: list[int] = field(default_factory=list)
    """For the next answers with a body: cut the connection after so many bytes of it."""
    statuses: list[int] = field(default_factory=list)
    """For the next requests: just this status."""
    resumed: dict[str, bytes] = field(default_factory=dict)
    """Files that look otherwise from their middle on."""
    before: list[int] = field(default_factory=list)
    """For the next ranges: begin so many bytes before what was asked for (and say so)."""
    hold: int | None = None
    """Fall silent after so many bytes, until let go."""
    password: str = ""
    """``name:password`` that has to be given."""
    refuses: Callable[[str, str], int] = lambda path, agent: 0
    """By path and program: the status that is all of the answer."""
    let_go: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def url(self, path: str) -> str:
        return f"http://{ADDRESS}:{self.port}{path}"

    def about(self, path: str) -> list[Asked]:
        return [one for one in self.asked if one.path == path]


@contextmanager
def serving() -> Iterator[FileServer]:
    served = FileServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            asked = Asked(self.path, _first(self.headers.get("Range")))
            served.asked.append(asked)
            token = base64.b64encode(served.password.encode()).decode()
            if served.statuses:
                self._only(served.statuses.pop(0))
            elif served.password and self.headers.get("Authorization") != f"Basic {token}":
                self._only(401)
            elif status := served.refuses(self.path, self.headers.get("User-Agent", "")):
                self._only(status)
            elif self.path not in served.files:
                self._only(404)
            else:
                self._answer(asked, served.files[self.path])

        def _only(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            if status == 401:
                self.send_header("WWW-Authenticate", "Basic realm=files")
            self.end_headers()

        def _answer(self, asked: Asked, data: bytes) -> None:
            first = (asked.first or 0) if served.ranges else 0
            if first and served.before:
                first -= served.before.pop(0)
            if first and asked.path in served.resumed:
                data = served.resumed[asked.path]
            if first and first >= len(data):
                self._only(416)
                return
            self.send_response(206 if first else 200)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
            body = data[first:]
            self.send_header("Content-Type", "text/html" if asked.path.endswith("/") else "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            big = not asked.path.endswith("/")
            end = min(len(body), served.cuts.pop(0)) if served.cuts and big else len(body)
            try:
                for at in range(0, end, BLOCK):
                    if big and served.hold is not None and at >= served.hold:
                        self.wfile.flush()
                        served.let_go.wait(120)
                    block = body[at : min(at + BLOCK, end)]
                    self.wfile.write(block)
                    asked.sent += len(block)
            except OSError:
                pass  # whoever asked is gone
            if end < len(body):
                self.close_connection = True

    server = ThreadingHTTPServer((ADDRESS, 0), Handler)
    server.daemon_threads = True
    served.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _first(header: str | None) -> int | None:
    return int(header.removeprefix("bytes=").partition("-")[0]) if header else None


def await_that(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)

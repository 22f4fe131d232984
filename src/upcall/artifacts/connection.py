"""One HTTP request for (the rest of) a file, which whoever waits for it can leave at any moment.

Connecting, waiting for the first byte and reading block for as long as a server is silent, and a blocked read cannot
be called back. So a thread of its own does all that and hands over what comes; the one who waits looks up several
times a second. A connection that was left ends by itself, at its next byte or when its time is over, and has no file
in its hands.

What can go wrong is one of two things: :class:`Refused`, asking again is of no use; :class:`Dropped`, another
connection may go on. Neither tells the address, which may carry a name and a password.
"""

import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import requests

CHUNK_BYTES: Final = 32 << 10
"""At most this much is lost when a connection is cut."""
CHUNKS_AHEAD: Final = 16
CONNECT_S: Final = 20.0
SILENCE_S: Final = 60.0
"""Long, because a mirror may fetch a large file itself before it sends the first byte of it."""
LOOK_S: Final = 0.1
RETRY_AFTER_MAX_S: Final = 60.0
AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""What a server may answer now and not in a minute."""


class Refused(Exception):
    """This address does not give the file. Another one may, or a tool that has credentials or other certificates."""


class Dropped(Exception):
    """This connection is over, or never was."""

    def __init__(self, cause: str, retry_after_s: float = 0.0) -> None:
        super().__init__(cause)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Head:
    """How an answer begins."""

    status: int
    headers: Mapping[str, str]

    @property
    def first_byte(self) -> int | None:
        """Where the part of the file begins that a 206 brings."""
        unit, _, rest = self.headers.get("Content-Range", "").partition(" ")
        first = rest.partition("-")[0]
        return int(first) if unit.strip().lower() == "bytes" and first.isdigit() else None

    @property
    def tells_its_length(self) -> bool:
        """Then its end is the end, and not perhaps a connection that was cut."""
        return "Content-Length" in self.headers or "chunked" in self.headers.get("Transfer-Encoding", "").lower()


class Connection:
    """A request under way. The first thing that comes is its :class:`Head`, the rest is the body."""

    def __init__(self, session: "requests.Session", address: str, first_byte: int, check: Callable[[], None]) -> None:
        self._check = check
        self._came: queue.Queue[Head | bytes | Exception | None] = queue.Queue(CHUNKS_AHEAD)
        self._left = threading.Event()
        arguments = (session, address, first_byte)
        threading.Thread(target=self._read, args=arguments, name="transfer", daemon=True).start()

    def head(self) -> Head:
        """The answer's beginning; raises what speaks against reading on."""
        head = self._next()
        assert isinstance(head, Head), "a connection begins with its head"
        if head.status in AGAIN:
            told = head.headers.get("Retry-After", "")
            raise Dropped(f"HTTP {head.status}", min(float(told) if told.isdigit() else 0.0, RETRY_AFTER_MAX_S))
        if head.status not in (200, 206, 416):
            known = head.status not in (404, 410)
            raise Refused(f"the registry refused it (HTTP {head.status})" if known else "the registry does not have it")
        return head

    def body(self) -> Iterator[bytes]:
        while (chunk := self._next()) is not None:
            assert isinstance(chunk, bytes), "a head comes once"
            yield chunk

    def leave(self) -> None:
        self._left.set()

    def _next(self) -> Head | bytes | None:
        while True:
            self._check()
            try:
                came = self._came.get(timeout=LOOK_S)
            except queue.Empty:
                continue
            if isinstance(came, Exception):
                raise came
            return came

    # -- the reading thread -----------------------------------------------------------------------------------------

    def _read(self, session: "requests.Session", address: str, first_byte: int) -> None:
        # As it is stored: a length and a range mean nothing for a body that was compressed on its way.
        headers = {"Accept-Encoding": "identity"}
        if first_byte:
            headers["Range"] = f"bytes={first_byte}-"
        try:
            with session.get(address, headers=headers, stream=True, timeout=(CONNECT_S, SILENCE_S)) as answer:
                self._hand_over(Head(answer.status_code, answer.headers))
                for chunk in answer.raw.stream(CHUNK_BYTES, decode_content=False):
                    self._hand_over(chunk)
                    if self._left.is_set():
                        return
            self._hand_over(None)
        except Exception as error:  # whatever it is, somebody waits for it
            self._hand_over(_meaning(error))

    def _hand_over(self, item: Head | bytes | Exception | None) -> None:
        while not self._left.is_set():
            try:
                self._came.put(item, timeout=LOOK_S)
                return
            except queue.Full:
                continue


def new_session() -> "requests.Session":
    """Proxies and passwords as the environment and ``.netrc`` have them; the certificates that ``uv`` would take."""
    import requests

    session = requests.Session()
    given = os.environ.get("SSL_CERT_FILE", "")
    if given and not os.environ.get("REQUESTS_CA_BUNDLE") and Path(given).is_file():
        session.verify = given
    return session


def _meaning(error: Exception) -> Exception:
    """What an error of the libraries means to us, without the address that its text has."""
    import requests

    name = type(error).__name__
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Refused(f"the registry cannot be reached ({name})")
    if isinstance(error, ValueError):  # all that the libraries say of an address itself
        return Refused(f"its address cannot be used ({name})")
    return Dropped(f"the registry cannot be reached ({name})")

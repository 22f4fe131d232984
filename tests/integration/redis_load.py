"""Writes to whichever Redis is the primary, numbered, each tried until it is acknowledged; and what is there then."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Where = tuple[str, int, str]
"""Host, port, password."""
TIMEOUT_S = 2.0
PAUSE_S = 0.02


class Connection:
    """As much of the protocol as is needed here: one line out, one line back."""

    def __init__(self, where: Where) -> None:
        self._socket = socket.create_connection(where[:2], timeout=TIMEOUT_S)
        self._lines = self._socket.makefile("rb")
        self.ask("AUTH", where[2])

    def ask(self, *words: str) -> str:
        self._socket.sendall((" ".join(words) + "\r\n").encode())
        said = self._lines.readline().decode().strip()
        if not said or said.startswith("-"):
            raise ConnectionError(said or "closed")
        return said

    def array(self, *words: str) -> list[str]:
        """Of an answer of several lines: each comes below its length."""
        lines = 2 * int(self.ask(*words).removeprefix("*"))
        return [self._lines.readline().decode().strip() for _ in range(lines)][1::2]

    def close(self) -> None:
        self._socket.close()


class Writes:
    """``where`` is asked anew after each failure: the primary may be another by then."""

    def __init__(self, where: Callable[[], Where]) -> None:
        self._where = where
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.acknowledged: list[int] = []
        self.slowest_s = 0.0

    @contextmanager
    def running(self) -> Iterator["Writes"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            self._thread.join()

    def missing(self) -> list[int] | None:
        """What was acknowledged and is not there; None: the primary does not answer yet."""
        try:
            connection = Connection(self._where())
        except OSError:
            return None
        try:
            return [each for each in self.acknowledged if connection.ask("EXISTS", f"write:{each}") != ":1"]
        except OSError:
            return None
        finally:
            connection.close()

    def _run(self) -> None:
        connection: Any = None
        number, due_s = 0, time.monotonic()
        while not self._stopping.is_set():
            try:
                connection = connection or Connection(self._where())
                connection.ask("SET", f"write:{number}", str(number))
            except (OSError, AssertionError):
                if connection is not None:
                    connection.close()
                connection = None
                time.sleep(PAUSE_S)
                continue
            self.acknowledged.append(number)
            self.slowest_s = max(self.slowest_s, time.monotonic() - due_s)
            number, due_s = number + 1, time.monotonic() + PAUSE_S
            time.sleep(PAUSE_S)

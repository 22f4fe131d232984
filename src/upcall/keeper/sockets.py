"""Unix sockets in folders whose paths may be long, and requests over them: one JSON object a line, both ways.

A socket's address holds 107 bytes, a data folder's path may hold more; ``/proc/self/fd/<folder>/<name>`` is always
short. The socket has mode 0600, and who comes is looked at as well: a task may have our user, and is not us.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

from upcall.keeper.identity import name_of, stat_of

REQUEST_BYTES_MAX = 4 * 1024 * 1024
"""A command line with a few hundred jars has 50 KiB; the kernel's own limit for one is 2 MiB."""

SHIM = "upcall-shim"
"""What a shim calls itself (:mod:`upcall.keeper.shim`)."""
ANCESTORS_MAX = 1000


@contextlib.contextmanager
def short_address(path: str) -> Iterator[str]:
    """An address for ``path`` that fits; valid within the block."""
    folder, name = os.path.split(path)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)


def listen(path: str) -> socket.socket:
    """Whoever calls this holds a lock, so a socket that lies there already is a dead one's."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    mask = os.umask(0o177)
    try:
        with short_address(path) as address:
            listener.bind(address)
    finally:
        os.umask(mask)
    listener.listen(16)
    listener.setblocking(False)
    return listener


def connect(path: str, timeout_s: float | None) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    client.settimeout(timeout_s)
    try:
        with short_address(path) as address:
            client.connect(address)
    except BaseException:
        client.close()
        raise
    return client


def same_user(client: socket.socket) -> bool:
    """Whether a process of our own user asks, and no task of his: Landlock does not keep a task from connecting."""
    pid, user, _group = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return bool(user == os.getuid()) and (not below_a_shim(pid) or below_a_shim(os.getpid()))


def below_a_shim(pid: int) -> bool:
    """Whether a process is a task's. Its shim is a subreaper, so what a task starts cannot leave it; a process that is
    gone by now counts as one. A task that calls itself a shim only shuts itself out."""
    at = pid
    for _ in range(ANCESTORS_MAX):
        if at <= 1:
            return False
        stat = stat_of(at)
        if stat is None and at != pid:
            at = pid  # This ancestor has just ended, and what it had begun has another parent.
            continue
        if stat is None or name_of(at) == SHIM:
            return True
        at = stat.parent
    return True


class Lines:
    """Collects what arrives until a line is whole."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The requests that are complete now. ``ValueError`` for what is none."""
        self._buffer += data
        if len(self._buffer) > REQUEST_BYTES_MAX:
            raise ValueError(f"a request has at most {REQUEST_BYTES_MAX} bytes")
        *lines, self._buffer = self._buffer.split(b"\n")
        requests = [json.loads(line) for line in lines]
        if not all(isinstance(request, dict) for request in requests):
            raise ValueError("a request is a JSON object")
        return requests


def ask(path: str, request: dict[str, Any], timeout_s: float | None = 30.0) -> dict[str, Any]:
    """One request, one answer. ``OSError`` when nobody listens or the answer does not come."""
    with connect(path, timeout_s) as client:
        client.sendall(json.dumps(request).encode() + b"\n")
        lines = Lines()
        while data := client.recv(65536):
            for answer in lines.feed(data):
                return answer
    raise ConnectionResetError(f"{path}: closed before it answered")

"""Unix sockets in a private folder, with the kernel's word on who is at the other end.

A path proves nothing: whoever may write in its folder can listen there. So the folder is its owner's alone, and each
side compares the other's user (``SO_PEERCRED``: who called ``listen``, who called ``connect``) before anything is said.
A socket's address holds 107 bytes, a data folder's path may hold more; ``/proc/self/fd/<folder>/<name>`` is short.
"""

import contextlib
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from upcall.transport.tasks import below_a_shim

BACKLOG: Final = 1024
ROOT: Final = 0
_CREDENTIALS: Final = struct.Struct("3i")


class Stranger(PermissionError):
    """Another user is at the other end, or could be."""


@contextlib.contextmanager
def short_address(path: Path) -> Iterator[str]:
    """An address for ``path`` that fits; valid within the block."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen(path: Path) -> socket.socket:
    """Listens in a folder that nobody else may enter. Whoever calls this holds a lock, so a socket that lies there
    already is a dead one's."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = path.parent.stat()
    if folder.st_uid != os.geteuid():
        raise Stranger(f"{path.parent} belongs to user {folder.st_uid}")
    if stat.S_IMODE(folder.st_mode) != 0o700:
        path.parent.chmod(0o700)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with short_address(path) as address:
            listener.bind(address)
        path.chmod(0o600)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def connect(path: Path, timeout_s: float | None) -> socket.socket:
    """Connected to a process of ours. ``timeout_s`` 0 does not wait: a listener that is too busy is an error then.
    Raises :class:`Stranger` before anything is sent, and :class:`OSError` when nobody listens."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    client.settimeout(timeout_s)
    try:
        with short_address(path) as address:
            client.connect(address)
        check_server(client, path.parent)
    except BaseException:
        client.close()
        raise
    return client


def peer_user(connected: socket.socket) -> int:
    return _peer(connected)[1]


def _peer(connected: socket.socket) -> tuple[int, int]:
    """Process and user at the other end."""
    process, user, _group = _CREDENTIALS.unpack(
        connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    return int(process), int(user)


def check_server(connected: socket.socket, folder: Path) -> None:
    """Whoever listens is this user, or root; for root, also the folder's owner, whose cluster he looks at."""
    user, own = peer_user(connected), os.geteuid()
    trusted = {own, ROOT} | ({folder.stat().st_uid} if own == ROOT else set())
    if user not in trusted:
        raise Stranger(f"user {user} listens there, not user {own}")


def check_client(connected: socket.socket) -> None:
    """Whoever connected is this user, or root, and no task: a task may have our user, and is not us."""
    process, user = _peer(connected)
    own = os.geteuid()
    if user not in (own, ROOT):
        raise Stranger(f"user {user} is not user {own}")
    if below_a_shim(process) and not below_a_shim(os.getpid()):
        raise Stranger(f"process {process} is a task's")

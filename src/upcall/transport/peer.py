"""Which user of this machine is at the other end of a loopback connection.

A Unix socket's peer is told by the kernel. Of a TCP connection on loopback the kernel knows it too: the other end is a
socket of this machine, and ``/proc/net/tcp`` lists each with its owner. Reading it costs a millisecond, so it is asked
where a secret is given or taken, not for each request.
"""

import pwd
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from upcall.protocol.errors import Forbidden

TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
"""A program that speaks IPv4 through an IPv6 socket stands in the second one."""
LOOKS: Final = 3
"""The kernel lists a table a page at a time, so where connections come and go meanwhile one can miss."""
_ALIVE: Final = frozenset({"01", "04", "05", "08"})
"""Established, or closed on one side: a socket that a process still has. Others show no owner."""
_MAPPED: Final = (
    "0000000000000000" + int.from_bytes(b"\x00\x00\xff\xff", sys.byteorder).to_bytes(4, "big").hex().upper()
)

Address = tuple[str, int]


class Unknown(Exception):
    """Nobody is known to be there: not a connection of this machine, or one that is closed already."""


def user_of(peer: Address, own: Address) -> int:
    """The user of the process that connected from ``peer`` to us at ``own``. Raises :class:`Unknown`; on a machine that
    does not tell at all, :class:`OSError`."""
    for _ in range(LOOKS):
        if (user := _listed(_written(peer), _written(own))) is not None:
            return user
    raise Unknown(f"no process of this machine is known to have {peer[0]}:{peer[1]}")


def _listed(theirs: str, ours: str) -> int | None:
    for table in TABLES:
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            if table is TABLES[0]:
                raise
            continue
        for line in lines:
            words = line.split()
            local, remote = (word.removeprefix(_MAPPED) for word in words[1:3])
            if (local, remote) == (theirs, ours) and words[3] in _ALIVE and words[9] != "0":
                return int(words[7])
    return None


def user_at(scope: Mapping[str, Any]) -> int | None:
    """Of a request's ASGI scope. None where the machine does not tell. Raises :class:`Forbidden` for a connection that
    nobody is known to have."""
    client, server = scope.get("client"), scope.get("server")
    if not client or not server:
        return None  # a Unix socket: its listener looked already
    try:
        return user_of((client[0], client[1]), (server[0], server[1]))
    except Unknown as error:
        raise Forbidden(
            str(error), where="login", expected="a browser of this machine, or a port that is forwarded to it"
        ) from None
    except OSError:
        return None


def name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def _written(address: Address) -> str:
    """As the table has it: the address as one number of this machine, the port."""
    number = int.from_bytes(socket.inet_aton(address[0]), sys.byteorder)
    return f"{number:08X}:{address[1]:04X}"

"""Whether one node answers, asked beside the driver, which asks nobody whom it has seen down."""

import socket
from typing import Final

OPTIONS: Final = bytes.fromhex("04 00 0000 05 00000000")
"""A request of Cassandra's native protocol (version 4) that every node answers, before anybody has logged in."""


def answers(address: str, port: int, within_s: float) -> bool:
    """A connection says nothing: the kernel takes it for a process that stands still."""
    try:
        with socket.create_connection((address, port), within_s) as connection:
            connection.sendall(OPTIONS)
            return bool(connection.recv(1))
    except OSError:
        return False

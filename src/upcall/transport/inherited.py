"""Sockets that the keeper listens on for us: it binds them once and holds them while the cluster is up.

So an address stays ours while the process behind it starts again; whoever connects meanwhile waits in the queue.
"""

import os
import socket

VARIABLE = "UPCALL_LISTENING"
"""``name=descriptor`` of each, separated by commas; the keeper writes it."""


def held(name: str) -> socket.socket | None:
    """The socket of this name; None where no keeper started this process."""
    for entry in os.environ.get(VARIABLE, "").split(","):
        found, _, number = entry.partition("=")
        if found == name:
            listener = socket.socket(fileno=int(number))
            listener.set_inheritable(False)
            listener.setblocking(False)
            return listener
    return None


def bound(address: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(128)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener

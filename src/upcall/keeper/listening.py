"""Sockets that are held for our processes for as long as they are wanted, whether they run or not.

Between the death of a process and its next start, its address would be anybody's: another user of the machine could
listen there and be taken for us. So the supervisor binds it once; the process inherits the socket. Who stands by for
the supervisor inherits all of them, and hands them to the next one: the death of the supervisor lets none go.
"""

from __future__ import annotations

import os
import socket

from upcall.keeper.spec import Process

VARIABLE = "UPCALL_LISTENING"
"""``name=descriptor`` of each, separated by commas; see :mod:`upcall.transport.inherited`."""
BACKLOG = 128


class Held:
    """The sockets, by address."""

    def __init__(self, handed: dict[str, int] | None = None) -> None:
        """``handed``: descriptors of those that an earlier supervisor held, by address."""
        self._sockets = {address: socket.socket(fileno=number) for address, number in (handed or {}).items()}
        for one in self._sockets.values():
            one.set_inheritable(False)

    def hold(self, processes: list[Process]) -> None:
        """Exactly the sockets of these. ``OSError`` names the address that somebody else has; nothing changes then."""
        wanted = {address for process in processes for address in process.listen.values()}
        fresh: dict[str, socket.socket] = {}
        try:
            for address in wanted - set(self._sockets):
                fresh[address] = _bound(address)
        except OSError:
            for one in fresh.values():
                one.close()
            raise
        self._sockets |= fresh
        for address in set(self._sockets) - wanted:
            self._sockets.pop(address).close()

    def inherit(self, process: Process) -> dict[str, str]:
        """In the forked child: these sockets outlive ``exec``; the variable that tells the process of them."""
        entries = []
        for name, address in process.listen.items():
            descriptor = self._sockets[address].fileno()
            os.set_inheritable(descriptor, True)
            entries.append(f"{name}={descriptor}")
        return {VARIABLE: ",".join(entries)} if entries else {}

    def inherit_all(self) -> dict[str, int]:
        """In the forked child of who stands by: all of them, by address."""
        for one in self._sockets.values():
            one.set_inheritable(True)
        return {address: one.fileno() for address, one in self._sockets.items()}


def _bound(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, error.strerror, address) from None
    return listener

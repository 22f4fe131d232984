"""Is a port of the task's address free? Asked before the start, so the answer is a sentence and no stack trace."""

import contextlib
import errno
import socket
from collections.abc import Sequence

from upcall.protocol.declaration import Port
from upcall.protocol.errors import Conflict, Invalid


def check_free(address: str, ports: Sequence[Port]) -> None:
    """Raises for the first port that cannot be used."""
    for port in ports:
        if address and port.number:
            _check(address, port)


def _check(address: str, port: Port) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # As servers do: waiting connections are harmless.
        try:
            probe.bind((address, port.number))
            probe.listen(1)
        except OSError as error:
            where = f"{address}:{port.number}"
            if error.errno == errno.EADDRINUSE:
                raise Conflict(f"port {where} ({port.name}) is in use{_by_whom(address, port.number)}") from None
            if error.errno == errno.EACCES:
                raise Conflict(f"port {where} ({port.name}) may not be opened by this user") from None
            raise Invalid(f"port {where} ({port.name}) cannot be opened: {error.strerror}") from None


def _by_whom(address: str, number: int) -> str:
    import psutil  # Slow to load, and rarely needed.

    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            local = connection.laddr
            if local and local.port == number and local.ip in (address, "0.0.0.0", "::") and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return ""

"""How an event loop reaches the master: HTTP over its Unix socket, or over TLS from another machine."""

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import aiohttp

from upcall.transport import unix

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler

BASE: Final = "http://localhost"
"""What stands before the path: where the request goes is the connector's business alone."""
IDLE_S: Final = 3.0
"""The master ends a connection that was idle for 5 s; a request on one that it is about to end would be lost."""


class MasterConnector(aiohttp.UnixConnector):
    """Each connection is made anew to the path, and to a process of this user."""

    def __init__(self, path: Path, limit: int = 100) -> None:
        super().__init__(path=str(path), limit=limit, keepalive_timeout=IDLE_S)
        self._socket = path

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: object, timeout: aiohttp.ClientTimeout
    ) -> "ResponseHandler":
        try:
            connected = unix.connect(self._socket, 0)
            _, protocol = await self._loop.create_unix_connection(self._factory, sock=connected)
        except OSError as error:
            reason = error.strerror or str(error) or os.strerror(error.errno or 0)
            raise aiohttp.ClientConnectionError(f"{self._socket}: {reason}") from error
        return protocol


class Way(Protocol):
    """To the master, for who does not choose it."""

    @property
    def base(self) -> str:
        """What stands before a path."""
        ...

    def connector(self) -> aiohttp.BaseConnector:
        """For one session. Raises ``OSError`` or ``ssl.SSLError`` where what it needs is not there."""
        ...


class OverSocket:
    """On the same machine, as the same user."""

    base: Final = BASE

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def connector(self) -> aiohttp.BaseConnector:
        return MasterConnector(self._path)


class OverTls:
    """To a master that one of ``authorities`` (a file of certificates) vouches for, and to nobody else. The file is
    read anew each time: authorities are exchanged while we run."""

    def __init__(self, url: str, authorities: Path) -> None:
        self.base: Final = url.rstrip("/")
        self._authorities = authorities

    def __str__(self) -> str:
        return self.base

    def connector(self) -> aiohttp.BaseConnector:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(self._authorities)
        return aiohttp.TCPConnector(ssl=context, keepalive_timeout=IDLE_S)

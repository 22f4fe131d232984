"""How an event loop reaches the master: HTTP over its Unix socket."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

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

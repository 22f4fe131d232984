"""Endpoints of a cluster elsewhere, as sockets of this machine: for clients of a service's own that know no other way.

Each address has a Unix socket in a folder of this process alone. What connects there is led on by the control plane
(:mod:`upcall.protocol.relay`), through whatever leads to it (``relay``, a Unix socket too).
"""

import asyncio
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from upcall.protocol import relay
from upcall.protocol.errors import NotNow, UpcallError, from_problem
from upcall.transport import unix
from upcall.transport.piping import Streams, pipe

log = logging.getLogger(__name__)

ANSWER_S: Final = 60.0


class Relayed:
    def __init__(self, through: Path, token: str) -> None:
        self._through, self._token = through, token
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._servers: dict[tuple[str, str, str], tuple[asyncio.Server, Path]] = {}

    async def sockets(self, service: str, endpoint: str, addresses: Sequence[str]) -> list[Path]:
        """One for each address. Raises what the cluster says if it leads to none of them."""
        await self._leads_to_one(service, endpoint, addresses)
        return [await self._socket((service, endpoint, address)) for address in addresses]

    def close(self) -> None:
        for server, _ in self._servers.values():
            server.close()
        self._servers.clear()
        if self._folder is not None:
            self._folder.cleanup()

    async def _leads_to_one(self, service: str, endpoint: str, addresses: Sequence[str]) -> None:
        said: UpcallError | None = None
        for address in addresses:
            try:
                _, writer = await self._led((service, endpoint, address))
            except UpcallError as error:
                said = error
            else:
                writer.close()
                return
        if said is not None:
            raise said

    async def _socket(self, where: tuple[str, str, str]) -> Path:
        if where not in self._servers:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="upcall-relay-")
            path = Path(self._folder.name) / str(len(self._servers))

            async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                try:
                    unix.check_client(writer.get_extra_info("socket"))
                    await pipe((reader, writer), await self._led(where))
                except (UpcallError, OSError) as error:
                    log.warning("%s of %s.%s is not reached: %s", where[2], where[0], where[1], error)
                finally:
                    writer.close()

            self._servers[where] = await asyncio.start_unix_server(taken, sock=unix.listen(path)), path
        return self._servers[where][1]

    async def _led(self, where: tuple[str, str, str]) -> Streams:
        service, endpoint, address = where
        asked = relay.Ask(token=self._token, service=service, endpoint=endpoint, address=address)
        try:
            async with asyncio.timeout(ANSWER_S):
                near = unix.connect(self._through, 0)
                reader, writer = await asyncio.open_unix_connection(sock=near, limit=relay.LINE_BYTES_MAX)
                writer.write(relay.line(asked))
                said = msgspec.json.decode(await reader.readline(), type=relay.Answer)
        except (OSError, TimeoutError, ValueError) as error:
            raise NotNow(
                f"{address} is not reached through the control plane: {error or type(error).__name__}",
                where=f"{service}.{endpoint}",
            ) from None
        if said.problem is not None:
            writer.close()
            raise from_problem(said.problem)
        return reader, writer

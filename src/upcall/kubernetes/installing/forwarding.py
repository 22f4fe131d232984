"""One connection to a port of a pod: TLS with the control plane itself, carried in frames that the API server hands on.

The API server and the node see what is encrypted. Each frame begins with the number of its channel: 0 carries bytes,
1 an error in words; the first frame of each says the port and nothing else.
"""

import asyncio
import ssl
from typing import Final

import aiohttp

from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.errors import Unreachable
from upcall.substrate.kubernetes.client.kinds import POD

PROTOCOL: Final = "v4.channel.k8s.io"
BYTES: Final = 0
ERROR: Final = 1
CHUNK: Final = 64 << 10
HANDSHAKE_S: Final = 20.0


async def forward(
    connection: Connection,
    pod: tuple[str, str],
    port: int,
    trust: ssl.SSLContext,
    host: str,
    near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    """Until one side ends it. ``pod``: namespace and name. ``host``: to whom the certificate is made out. Raises an
    ``ApiError`` where nobody can be reached, before anything of ``near`` was taken."""
    namespace, name = pod
    path, query = POD.path(namespace, name, "portforward"), {"ports": str(port)}
    async with connection.socket(path, query=query, protocol=PROTOCOL) as socket:
        far = _Far(socket, trust, host)
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                await far.greet()
        except TimeoutError:
            raise Unreachable(f"port {port} of {name} says nothing") from None
        except ssl.SSLError as error:
            raise Unreachable(f"who answers in {name} is not this cluster's control plane: {error}") from None
        there, back = asyncio.create_task(_there(near[0], far)), asyncio.create_task(_back(far, near[1]))
        try:
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (there, back):
                task.cancel()
            await asyncio.gather(there, back, return_exceptions=True)


class _Far:
    """The other end, in clear."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, trust: ssl.SSLContext, host: str) -> None:
        self._socket = socket
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = trust.wrap_bio(self._in, self._out, server_hostname=host)
        self._opened: set[int] = set()

    async def greet(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
                await self._flush()
                return
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._more():
                    raise Unreachable("the connection was closed before anything was said") from None

    async def write(self, data: bytes) -> None:
        self._tls.write(data)
        await self._flush()

    async def read(self) -> bytes:
        """Empty: it is over."""
        while True:
            try:
                return self._tls.read(CHUNK)
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._more():
                    return b""
            except ssl.SSLError:
                return b""

    async def _flush(self) -> None:
        while data := self._out.read(CHUNK):
            await self._socket.send_bytes(bytes((BYTES,)) + data)

    async def _more(self) -> bool:
        while True:
            said = await self._socket.receive()
            if said.type != aiohttp.WSMsgType.BINARY or not said.data:
                return False
            channel, data = said.data[0], said.data[1:]
            if channel not in self._opened:
                self._opened.add(channel)
            elif channel == ERROR and data:
                raise Unreachable(data.decode(errors="replace"))
            elif channel == BYTES and data:
                self._in.write(data)
                return True


async def _there(reader: asyncio.StreamReader, far: _Far) -> None:
    while data := await reader.read(CHUNK):
        await far.write(data)


async def _back(far: _Far, writer: asyncio.StreamWriter) -> None:
    while data := await far.read():
        writer.write(data)
        await writer.drain()

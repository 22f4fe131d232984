"""The wire between a client and the API server, which a test cuts, mends and lets fall silent."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

HOST = "127.0.0.1"


class Wire:
    def __init__(self, port: int) -> None:
        self._to = port
        self._whole = True
        self._there, self._back = asyncio.Event(), asyncio.Event()
        self._there.set()
        self._back.set()
        self._ends: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0
        self.opened = 0
        """Connections so far."""

    def cut(self) -> None:
        """What is open breaks, and nothing can be opened."""
        self._whole = False
        for end in list(self._ends):
            end.transport.abort()

    def mend(self) -> None:
        self._whole = True
        self._there.set()
        self._back.set()

    def falls_silent(self, *, there: bool = True, back: bool = True) -> None:
        """All stays open, and nothing arrives of what is asked (``there``), of what is answered, or of both."""
        for one, silent in ((self._there, there), (self._back, back)):
            if silent:
                one.clear()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self.opened += 1
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._to)
        except OSError:
            writer.transport.abort()
            return
        self._ends |= {writer, far_writer}
        try:
            there, back = self._pump(reader, far_writer, self._there), self._pump(far_reader, writer, self._back)
            await asyncio.gather(there, back)
        except asyncio.CancelledError:
            pass  # The server that called us takes a cancelled task for a fault; we are its last frame.
        finally:
            for end in (writer, far_writer):
                self._ends.discard(end)
                end.transport.abort()
            self._connections.discard(task)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, flows: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                await flows.wait()
                sink.write(data)
                await sink.drain()
        sink.transport.abort()

    async def end(self) -> None:
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)


@contextlib.asynccontextmanager
async def wire(port: int) -> AsyncIterator[Wire]:
    """To the server at ``port``; it is reached at :attr:`Wire.port` instead."""
    carrying = Wire(port)
    server = await asyncio.start_server(carrying.carry, HOST, 0)
    carrying.port = server.sockets[0].getsockname()[1]
    try:
        yield carrying
    finally:
        server.close()
        await carrying.end()

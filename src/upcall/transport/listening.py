"""Accepting connections: at a bounded pace, so many at once, and strangers give way to each other.

asyncio's own servers take whatever comes, as fast as it comes: who opens ten thousand connections a second then owns
the loop, and who opens as many as there are descriptors shuts everybody else out. Here each socket has its own count
and its own pace, so a flood on one is not felt on another.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Final

from upcall.transport import unix
from upcall.transport.bounds import Bounds
from upcall.transport.http import Headers
from upcall.transport.tls import SmallTls

log = logging.getLogger(__name__)

OUT_OF_DESCRIPTORS_S: Final = 0.5
SAID_EVERY_S: Final = 10.0

Knows = Callable[[Headers], bool]
"""Whether the headers of a request say who is there."""


class Connection:
    """One that was accepted; a :class:`~upcall.transport.http.Visitor`."""

    def __init__(self, listener: "Listener", connected: socket.socket, address: str) -> None:
        self.bounds = listener.bounds
        self.address = address
        self.known = False
        self._listener, self._connected = listener, connected
        self._transport: asyncio.Transport | None = None

    def made(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def shows(self, headers: Headers) -> bool:
        if not self.known and self._listener.knows(headers):
            self.known = True
            self._listener.became_known(self)
        return self.known

    def end(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        else:  # within its handshake, where no transport is ours yet
            with contextlib.suppress(OSError):
                self._connected.shutdown(socket.SHUT_RDWR)

    def lost(self) -> None:
        self._listener.forget(self)


class Listener:
    """One socket that listens. Has what uvicorn asks of a server: ``close`` and ``wait_closed``."""

    def __init__(
        self, listening: socket.socket, bounds: Bounds, knows: Knows, context: ssl.SSLContext | None = None
    ) -> None:
        self.bounds, self.knows = bounds, knows
        self._listening, self._context = listening, context
        self._is_unix = listening.family == socket.AF_UNIX
        self._all: dict[Connection, None] = {}
        self._unknown: dict[Connection, None] = {}
        """Oldest first."""
        self._addresses: Counter[str] = Counter()
        """Of the unknown ones."""
        self._begun: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop
        self._make: Callable[[Connection], asyncio.Protocol]
        self._paused: asyncio.TimerHandle | None = None
        self._said_s = -SAID_EVERY_S

    def start(self, make: Callable[[Connection], asyncio.Protocol]) -> None:
        """Within the loop that serves it; ``make`` gives the protocol of a connection."""
        self._loop, self._make = asyncio.get_running_loop(), make
        self._listening.setblocking(False)
        self._loop.add_reader(self._listening.fileno(), self._ready)

    def close(self) -> None:
        if self._paused is not None:
            self._paused.cancel()
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening.fileno())
            self._listening.close()

    async def wait_closed(self) -> None:
        return None

    @property
    def connections(self) -> int:
        return len(self._all)

    # -- accepting --------------------------------------------------------------------------------------------------

    def _ready(self) -> None:
        for _ in range(self.bounds.burst):
            try:
                connected, address = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:
                continue
            except OSError as error:
                self._say(f"no connection can be taken: {error.strerror}")
                self._pause(OUT_OF_DESCRIPTORS_S)
                return
            self._take(connected, address[0] if isinstance(address, tuple) else "")
        self._pause(self.bounds.pause_s)

    def _pause(self, seconds: float) -> None:
        """The others have the loop; what comes meanwhile waits in the kernel's queue."""
        self._loop.remove_reader(self._listening.fileno())
        self._paused = self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._paused = None
        self._loop.add_reader(self._listening.fileno(), self._ready)

    def _take(self, connected: socket.socket, address: str) -> None:
        try:
            if self._is_unix:
                unix.check_client(connected)
        except OSError as error:
            self._say(f"a connection was refused: {error}")
            connected.close()
            return
        if len(self._unknown) >= self.bounds.unknown_max or len(self._all) >= self.bounds.connections_max:
            self._make_room()
        if len(self._all) >= self.bounds.connections_max:
            connected.close()
            return
        connected.setblocking(False)
        connection = Connection(self, connected, address)
        self._all[connection] = self._unknown[connection] = None
        self._addresses[address] += 1
        task = self._loop.create_task(self._begin(connection, connected))
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)

    async def _begin(self, connection: Connection, connected: socket.socket) -> None:
        application = self._make(connection)
        begun: asyncio.Future[None] = self._loop.create_future()
        protocol: asyncio.BaseProtocol = application
        if self._context is None:
            begun.set_result(None)
        else:
            protocol = SmallTls(application, self._context, begun)
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, connected)
            await begun
        except (OSError, ssl.SSLError) as error:
            # What names itself in turn lets go of it, else it waits for Python's search for garbage: the error names
            # frames, of which this one names the error; the application its parser, although it got no connection.
            error.__traceback__ = None
            connected.close()
            application.connection_lost(error)

    # -- the count --------------------------------------------------------------------------------------------------

    def _make_room(self) -> None:
        """The oldest stranger goes, of the address that has the most of them."""
        if not self._unknown:
            return
        most, _ = self._addresses.most_common(1)[0]
        oldest = next(one for one in self._unknown if one.address == most)
        self._say(f"{len(self._unknown)} connections have not said who they are; the oldest is closed")
        self.forget(oldest)
        oldest.end()

    def became_known(self, connection: Connection) -> None:
        if connection in self._unknown:
            del self._unknown[connection]
            self._addresses[connection.address] -= 1
            if not self._addresses[connection.address]:
                del self._addresses[connection.address]

    def forget(self, connection: Connection) -> None:
        self.became_known(connection)
        self._all.pop(connection, None)

    def _say(self, words: str) -> None:
        """A flood is told, and does not fill the log."""
        if self._loop.time() - self._said_s >= SAID_EVERY_S:
            self._said_s = self._loop.time()
            log.warning("%s", words)

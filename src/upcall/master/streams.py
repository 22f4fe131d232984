"""One stream for each service (and host): whole sets, newest only, plus a short queue of what happens once.

A whole set (``members``, ``operations`` ...) that nobody read yet is replaced by the next one, so a slow reader costs
a bounded amount. ``told`` and ``action`` events are queued; a reader that leaves :data:`QUEUED_MAX` of them unread is
disconnected and starts again with whole sets. The newest subscription fences the older one off.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec

from upcall.protocol import service as wire
from upcall.protocol.errors import Stale
from upcall.protocol.versions import WIRE

QUEUED_MAX: Final = 1000
HEARTBEAT_S: Final = 5.0
_ONCE = (wire.Told, wire.Action, wire.CancelAction)
_encoder = msgspec.json.Encoder()


def sse(event: wire.StreamEvent) -> bytes:
    """A server-sent event; its data is one line of JSON."""
    return b"data: " + _encoder.encode(event) + b"\n\n"


class Stream:
    """One subscription."""

    def __init__(self) -> None:
        self.id = secrets.token_hex(8)
        self._sets: dict[type, wire.StreamEvent] = {}
        self._queue: deque[wire.StreamEvent] = deque()
        self._news = asyncio.Event()
        self.closed = False

    def send(self, event: wire.StreamEvent) -> None:
        if isinstance(event, _ONCE):
            if len(self._queue) >= QUEUED_MAX:
                self.close()
                return
            self._queue.append(event)
        else:
            self._sets[type(event)] = event
        self._news.set()

    def close(self) -> None:
        self.closed = True
        self._news.set()

    async def events(self) -> AsyncIterator[wire.StreamEvent]:
        """Until the stream is closed; a heartbeat when nothing happens."""
        yield wire.Subscribed(stream=self.id, wire=WIRE, heartbeat_s=HEARTBEAT_S)
        while not self.closed:
            events = [*self._sets.values(), *self._queue]
            self._sets, self._queue = {}, deque()
            self._news.clear()
            for event in events:
                yield event
            if events or self.closed:
                continue
            try:
                async with asyncio.timeout(HEARTBEAT_S):  # wait_for may swallow the end of a reader that news reaches
                    await self._news.wait()
            except TimeoutError:
                yield wire.Heartbeat()

    async def read(self) -> AsyncIterator[bytes]:
        """The same, encoded."""
        async for event in self.events():
            yield sse(event)


async def read_until_gone(stream: Stream, end: Callable[[], None]) -> AsyncIterator[bytes]:
    """As :meth:`Stream.read`; ``end`` is called when nobody reads any more."""
    try:
        async for chunk in stream.read():
            yield chunk
    finally:
        end()


class Streams:
    """The current subscription of each name."""

    def __init__(self) -> None:
        self._streams: dict[str, Stream] = {}

    def subscribe(self, name: str) -> Stream:
        if older := self._streams.get(name):
            older.close()
        stream = self._streams[name] = Stream()
        return stream

    def unsubscribe(self, name: str, stream: Stream) -> bool:
        """True when this was the current one: nobody listens any more."""
        stream.close()
        if self._streams.get(name) is not stream:
            return False
        del self._streams[name]
        return True

    def names(self) -> list[str]:
        """Oldest subscription first."""
        return list(self._streams)

    def connected(self, name: str) -> bool:
        return name in self._streams

    def send(self, name: str, event: wire.StreamEvent) -> None:
        if stream := self._streams.get(name):
            stream.send(event)

    def check(self, name: str, stream_id: str) -> None:
        """Refuses a call from a stream that is not the current one."""
        stream = self._streams.get(name)
        if stream is None or stream.id != stream_id:
            raise Stale(
                f"this is not the current stream of {name}",
                where="Upcall-Stream",
                expected="the id of the newest subscription; subscribe again",
            )

    def close(self, name: str) -> None:
        if stream := self._streams.get(name):
            stream.close()

    def close_all(self) -> None:
        for stream in self._streams.values():
            stream.close()

"""The work of ingest: takes frames from the aircraft, stores them in the log, and acknowledges only what the log has
stored.

    aircraft --frames--> [ verify -> new or repeat? -> hand to the log ] --> Kafka
             <--acks----------------------------------- delivered

Exactly the verified bytes are stored. A repeat (after a reconnect, or of what an earlier ingest has stored) is
acknowledged and not stored again (`positions.py`). What cannot be read is counted, set aside with its reason, and
acknowledged: the stream goes on. Before the first frame of a run its record is stored. While Kafka is away, frames
wait: a bounded amount here, then in the aircraft.

It keeps no file. A new ingest asks the log how far each block has come, and an ingest whose log broke its promise ends
with an error and is started again. Once a second it says how it goes, in one line of JSON, to the aircraft and on
standard output.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

from upcall.fastdata import link
from upcall.fastdata.connection import Connection, refusal_of
from upcall.fastdata.frame_log import FRAME_BYTES_MAX, FrameLog, LogClosed
from upcall.fastdata.frames import CorruptFrame, Frame, FrameError, FutureFrame, decode, encode, inspect
from upcall.fastdata.link import FrameKey, LinkError, Message, MessageType
from upcall.fastdata.positions import Positions, Verdict
from upcall.fastdata.runs import Run

UNDER_WAY_BYTES_MAX: Final = 32 * 1024 * 1024
"""Handed to the log and not yet stored: beyond it no frame is read from a connection."""
STATUS_S: Final = 1.0
LOOK_S: Final = 5.0
"""Between two looks at how far the reader is behind."""
FLUSH_S: Final = 10.0
"""At the end: how long the log may take to store what was handed over."""


class LogFailed(Exception):
    """The log broke its promise: this ingest must end, and the next one look at what is stored."""


class Ingest:
    """All state belongs to the event loop; the log's calls that block are made beside it."""

    def __init__(self, log: FrameLog, token: str, say: Callable[[dict[str, object]], None]) -> None:
        if not token:
            raise ValueError("the token is empty: anyone could send readings")
        self._log = log
        self._token = token.encode()
        self._say = say
        self._positions = Positions()
        self._known: set[str] = set()
        """Runs whose record is stored and whose positions are known."""
        self._connections: set[Connection] = set()
        self._latest: dict[str, Connection] = {}
        """By run: the connection to which its frames are acknowledged."""
        self._opening = asyncio.Lock()
        self._room = asyncio.Event()
        self._delivered: deque[Callable[[], None]] = deque()
        self._failure: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.under_way_bytes = 0
        self.holding = ""
        self.counts: Counter[str] = Counter()

    async def serve(
        self, host: str, port: int, stopping: asyncio.Event, ready: Callable[[int], None] | None = None
    ) -> None:
        """Until `stopping`, or until the log fails (`LogFailed`)."""
        self._loop = asyncio.get_running_loop()
        self._failure = self._loop.create_future()
        self._room.set()
        opening = asyncio.create_task(asyncio.to_thread(self._log.open, self._on_failure))
        stop: asyncio.Task[bool] = asyncio.create_task(stopping.wait())
        beside: list[asyncio.Task[None]] = []
        server: asyncio.Server | None = None
        self._say({"event": "waiting", "why": "the log is not reached yet"})
        try:
            either: set[asyncio.Future[Any]] = {opening, stop}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                return
            opening.result()
            server = await asyncio.start_server(self._on_connection, host, port, limit=link.STREAM_BUFFER_BYTES)
            bound: int = server.sockets[0].getsockname()[1]
            self._say({"event": "ready", "address": f"{host}:{bound}"})
            if ready is not None:
                ready(bound)
            beside = [asyncio.create_task(self._say_status()), asyncio.create_task(self._watch_reader())]
            ends: set[asyncio.Future[Any]] = {stop, self._failure, *beside}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._failure.done():
                self._failure.result()
            for ended in beside:
                if ended.done():
                    ended.result()
        finally:
            if server is not None:
                server.close()
            stop.cancel()
            for task in beside:
                task.cancel()
            await self._end(opening)

    async def _end(self, opening: asyncio.Task[None]) -> None:
        """Stores and acknowledges what was handed over, then hangs up."""
        failed = self._failure is not None and self._failure.done()
        self.holding = self.holding or "ending"
        await asyncio.to_thread(self._log.close, 0.0 if failed else FLUSH_S)
        self._on_delivered()
        for connection in list(self._connections):
            connection.writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await connection.writer.wait_closed()
        with contextlib.suppress(Exception):
            await opening
        self._say(self.status() | {"event": "ended"})

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(writer)
        try:
            async with asyncio.timeout(link.HELLO_TIMEOUT_S):
                hello = await link.receive(reader, link.JSON_BYTES_MAX)
            refusal = refusal_of(hello, self._token)
            if refusal:
                self.counts["refused"] += 1
                writer.write(link.json_message(MessageType.REFUSED, reason=refusal))
                await writer.drain()
                return
            writer.write(link.json_message(MessageType.WELCOME, protocol=link.PROTOCOL))
            self._connections.add(connection)
            while True:
                message = await link.receive(reader)
                if message.type is MessageType.FRAME:
                    await self._has_room()
                    self._on_frame(connection, *link.frame_in(message))
                elif message.type is MessageType.RUN:
                    await self._on_run(connection, message)
                else:
                    raise LinkError(f"unexpected {message.type.name}")
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError, LogClosed):
            pass  # an aircraft that is gone comes back; when we end, it goes to the next ingest
        except LinkError as error:
            self.counts["malformed"] += 1
            self._say({"event": "hung-up", "why": str(error)})
            with contextlib.suppress(ConnectionError):
                writer.write(link.json_message(MessageType.REFUSED, reason=str(error)))
        finally:
            self._connections.discard(connection)
            self._latest = {run_id: other for run_id, other in self._latest.items() if other is not connection}
            writer.close()

    async def _on_run(self, connection: Connection, message: Message) -> None:
        """A run before its first frame: its record is stored, or it is known and its positions are asked of the log."""
        ordinal, run = connection.run_of(message)
        async with self._opening:
            if run.run_id not in self._known:
                if self._log.is_announced(run):
                    last = await asyncio.to_thread(self._log.last_samples, run)
                    self._positions.recover(run.run_id, last)
                    self._say({"event": "recovered", "run_id": run.run_id, "blocks": len(last)})
                else:
                    await asyncio.to_thread(self._log.announce, run)
                    self._say({"event": "announced", "run_id": run.run_id})
                self._known.add(run.run_id)
        connection.runs[ordinal] = run
        connection.ordinals[run.run_id] = ordinal
        self._latest[run.run_id] = connection

    async def _has_room(self) -> None:
        """While too much is under way, or the reader is in danger, nothing is read: it waits in the aircraft."""
        while self.under_way_bytes >= UNDER_WAY_BYTES_MAX or self.holding:
            self._room.clear()
            await self._room.wait()

    def _on_frame(self, connection: Connection, key: FrameKey, data: bytes) -> None:
        self.counts["frames"] += 1
        run = connection.runs.get(key.ordinal)
        if run is None:
            raise LinkError(f"FRAME of run {key.ordinal}, which was not announced")
        try:
            if len(data) > FRAME_BYTES_MAX:
                raise CorruptFrame(f"{len(data)} bytes: the log takes frames of up to {FRAME_BYTES_MAX}")
            header = inspect(data)
            inside = (header.run_id, header.block, header.first_sample, header.rate_hz)
            if inside != (run.run_id, key.block, key.first_sample, run.rate_hz) or key.block not in run.block_numbers:
                raise CorruptFrame(
                    f"the frame is of {inside}, its envelope says {(run.run_id, key.block, key.first_sample)}"
                )
            judged = self._positions.judge(run.run_id, key.block, header.first_sample, header.last_sample)
            if judged.from_sample > header.first_sample:
                data = _without_beginning(data, judged.from_sample)
        except FrameError as error:
            self._set_aside(connection, key, data, error)
            return
        if judged.verdict is Verdict.NEW:
            self.counts["missing_samples"] += judged.missing
            self._append(run, key.block, judged.from_sample, header.last_sample, data)
        else:
            self.counts["repeats"] += 1
            if judged.verdict is Verdict.STORED:
                connection.acknowledge(key)

    def _append(self, run: Run, block: int, first_sample: int, last_sample: int, data: bytes) -> None:
        self.under_way_bytes += len(data)

        def stored() -> None:
            self.under_way_bytes -= len(data)
            self.counts["stored"] += 1
            self.counts["stored_bytes"] += len(data)
            for first in self._positions.delivered(run.run_id, block, last_sample):
                connection = self._latest.get(run.run_id)
                if connection is not None:
                    connection.acknowledge(FrameKey(connection.ordinals[run.run_id], block, first))

        self._log.append(block, data, run.due_us(first_sample), lambda: self._hand_back(stored))

    def _set_aside(self, connection: Connection, key: FrameKey, data: bytes, error: FrameError) -> None:
        self.counts["future" if isinstance(error, FutureFrame) else "corrupt"] += 1
        reason = f"block {key.block}, sample {key.first_sample}: {error}"
        self._say({"event": "set-aside", "reason": reason})
        self.under_way_bytes += len(data)

        def stored() -> None:
            self.under_way_bytes -= len(data)
            connection.acknowledge(key)

        self._log.set_aside(data, reason, lambda: self._hand_back(stored))

    def _hand_back(self, stored: Callable[[], None]) -> None:
        """In the log's thread. The loop is woken once for all that has come by then."""
        self._delivered.append(stored)
        if self._loop is not None and len(self._delivered) == 1:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
                self._loop.call_soon_threadsafe(self._on_delivered)

    def _on_delivered(self) -> None:
        try:
            while self._delivered:
                self._delivered[0]()
                self._delivered.popleft()
        except Exception as error:
            self._fail(f"what the log says it stored contradicts what it was given: {error!r}")
        for connection in list(self._connections):
            connection.flush()
        self._room.set()

    def _on_failure(self, reason: str) -> None:
        """In the log's thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._fail, reason)

    def _fail(self, reason: str) -> None:
        if self._failure is not None and not self._failure.done():
            self._failure.set_exception(LogFailed(reason))

    async def _watch_reader(self) -> None:
        while True:
            try:
                reason = await asyncio.to_thread(self._log.reader_in_danger, held=bool(self.holding))
            except Exception as error:  # a look that failed says nothing about the reader
                self._say({"event": "look-failed", "why": str(error)})
            else:
                if bool(reason) != bool(self.holding):
                    self._say({"event": "holding" if reason else "going-on", "why": reason})
                self.holding = reason
                self._room.set()
            await asyncio.sleep(LOOK_S)

    def status(self) -> dict[str, object]:
        counted = (
            "frames",
            "stored",
            "stored_bytes",
            "acked",
            "repeats",
            "missing_samples",
            "corrupt",
            "future",
            "refused",
            "malformed",
        )
        return {
            "event": "status",
            "connections": len(self._connections),
            "under_way_bytes": self.under_way_bytes,
            "holding": self.holding,
            "log_trouble": self._log.trouble(),
            **{name: self.counts[name] for name in counted},
        }

    async def _say_status(self) -> None:
        while True:
            self._say(self.status())
            message = link.json_message(MessageType.STATUS, holding=self.holding)
            for connection in list(self._connections):
                connection.writer.write(message)
            await asyncio.sleep(STATUS_S)


def _without_beginning(data: bytes, from_sample: int) -> bytes:
    """The frame from a later sample on: an aircraft that was started again may cut time otherwise than before."""
    frame = decode(data)
    counts = frame.counts[from_sample - frame.first_sample :]
    return encode(Frame(frame.run_id, frame.block, from_sample, frame.rate_hz, counts))

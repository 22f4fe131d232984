"""The connections of agents: who is there, what goes out to them, and requests that wait for their reply.

An agent speaks for a node of ours, or for one pod of somebody else's; whoever answers its dialling says which.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from upcall.protocol import agent as wire
from upcall.protocol import service as service_wire
from upcall.protocol.errors import Conflict, NotNow
from upcall.protocol.programs import program
from upcall.substrate.interface import Send
from upcall.substrate.local_needs import disk_uses
from upcall.substrate.machines import Usage

log = logging.getLogger(__name__)

QUEUED_MAX: Final = 10_000
"""Messages to an agent that does not read: then its connection is closed and it starts again with whole sets."""
REPLY_GRACE_S: Final = 10.0


class Disconnected(Exception):
    """Before what was asked for was answered."""


@dataclass(eq=False, slots=True)
class Connection:
    """One agent's WebSocket, seen from the sender's side."""

    node: str
    """Or whatever else it speaks for."""
    boot: str
    queue: "asyncio.Queue[wire.ToAgent | None]" = field(default_factory=lambda: asyncio.Queue(QUEUED_MAX))
    closed: bool = False

    def send(self, message: wire.ToAgent) -> None:
        if self.closed:
            return
        try:
            self.queue.put_nowait(message)
        except asyncio.QueueFull:
            log.warning("%s does not read its messages; its connection is closed", self.node)
            self.close()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            while self.queue.full():
                self.queue.get_nowait()
            self.queue.put_nowait(None)


@dataclass(frozen=True, slots=True)
class _Measured:
    usage: Usage
    cpu_s: float
    at_s: float


class Agents:
    def __init__(self, called: str = "the agent of {}") -> None:
        """``called``: what people call the one that speaks for something."""
        self._called = called
        self._connections: dict[str, Connection] = {}
        self._replies: dict[str, asyncio.Queue[wire.Reply]] = {}
        """Of logs that are read."""
        self._tools: dict[str, tuple[Connection, asyncio.Future[wire.Reply]]] = {}
        """Request of a tool that runs -> to whom it was sent, and its reply."""
        self._readers: dict[str, str] = {}
        """Request of a log that is read -> its node."""
        self._measured: dict[str, _Measured] = {}
        """Of running tasks."""
        self.features: dict[str, tuple[str, ...]] = {}
        """Of nodes, as their agents said at their registration."""
        self.progress: dict[str, str] = {}
        """Of tasks whose artifacts are fetched."""

    # -- connections ------------------------------------------------------------------------------------------------

    def connect(self, node: str, boot: str) -> Connection:
        """The newer one of two agents of a node wins."""
        if older := self._connections.get(node):
            older.close()
            self._give_up_tools(older)
        connection = self._connections[node] = Connection(node, boot)
        return connection

    def disconnect(self, connection: Connection) -> bool:
        """True when it was the current one."""
        connection.close()
        self._give_up_tools(connection)
        if self._connections.get(connection.node) is not connection:
            return False
        del self._connections[connection.node]
        gone = f"{self._called.format(connection.node)} is disconnected; the log goes on when it is back"
        for request in [one for one, node in self._readers.items() if node == connection.node]:
            self.reply(wire.Reply(request=request, error=gone))
        return True

    def _give_up_tools(self, connection: Connection) -> None:
        """Their replies are lost with it. An agent that was killed ends, when it is back, what it had begun to run."""
        for of, reply in self._tools.values():
            if of is connection and not reply.done():
                reply.set_exception(Disconnected())

    def connected(self, node: str) -> bool:
        return node in self._connections

    def send(self, send: Send) -> None:
        """What is lost because nobody is connected comes again after the registration."""
        if connection := self._connections.get(send.node):
            connection.send(send.message)

    def ask_again(self) -> None:
        """Each connected agent says all that it runs once more; its connection stays."""
        for connection in list(self._connections.values()):
            connection.send(wire.RegisterAgain())

    def close_all(self) -> None:
        for connection in list(self._connections.values()):
            connection.close()

    # -- what agents tell -------------------------------------------------------------------------------------------

    def usage(self, task: str) -> Usage | None:
        measured = self._measured.get(task)
        return measured.usage if measured else None

    def note_usage(self, message: wire.Usage, now_s: float) -> None:
        for each in message.tasks:
            before, cores = self._measured.get(each.task), 0.0
            if before and now_s > before.at_s and each.cpu_s >= before.cpu_s:
                cores = (each.cpu_s - before.cpu_s) / (now_s - before.at_s)
            usage = Usage(cpu_cores=cores, memory_mib=each.memory_mib, disk_mib=each.disk_mib, filling=disk_uses(each))
            self._measured[each.task] = _Measured(usage, each.cpu_s, now_s)

    def forget_task(self, task: str) -> None:
        self._measured.pop(task, None)
        self.progress.pop(task, None)

    def reply(self, message: wire.Reply) -> None:
        if message.request in self._tools:
            _, replied = self._tools[message.request]
            if not replied.done():
                replied.set_result(message)
            return
        if waiting := self._replies.get(message.request):
            if waiting.full():
                waiting.get_nowait()
                if message.request in self._readers:  # It ends here; a piece that is missing in silence would be worse.
                    message = wire.Reply(request=message.request, error="more of the log than there was room for came")
            waiting.put_nowait(message)

    # -- requests ---------------------------------------------------------------------------------------------------

    def _connection_of(self, node: str, task: str) -> Connection:
        connection = self._connections.get(node)
        if connection is None:
            raise NotNow(f"{self._called.format(node)} is not connected", where=task, expected="its return")
        return connection

    async def run(self, task: str, node: str, tool: service_wire.RunTool) -> service_wire.ToolResult:
        connection = self._connection_of(node, task)
        request = secrets.token_hex(8)
        replied: asyncio.Future[wire.Reply] = asyncio.get_running_loop().create_future()
        self._tools[request] = connection, replied
        connection.send(
            wire.Run(
                request=request,
                task=task,
                command=tool.command,
                timeout_s=tool.timeout_s,
                env=tool.env,
                input=tool.input,
            )
        )
        try:
            async with asyncio.timeout(tool.timeout_s + REPLY_GRACE_S):
                reply = await replied
        except TimeoutError:
            raise NotNow(f"no reply from {connection.node} within {tool.timeout_s:.0f} s", where=task) from None
        except Disconnected:
            gone = f"{self._called.format(connection.node)} was disconnected while {program(tool.command)} ran"
            raise NotNow(f"{gone}: how it ended is not known", where=task, expected="its return") from None
        finally:
            del self._tools[request]
        if reply.code is None:
            raise Conflict(reply.error or "the tool did not end by itself", where=task)
        return service_wire.ToolResult(code=reply.code, output=reply.output, error=reply.error)

    async def read_log(
        self, task: str, node: str, stream: str, lines: int, *, follow: bool, after: str = ""
    ) -> AsyncIterator[str]:
        connection = self._connection_of(node, task)
        request = secrets.token_hex(8)
        # As many parts as the agent may send ahead, its last word, and ours that it is gone.
        replies = self._replies[request] = asyncio.Queue(wire.LOG_PARTS_AHEAD + 2)
        self._readers[request] = connection.node
        connection.send(
            wire.ReadLog(request=request, task=task, stream=stream, lines=lines, follow=follow, after=after)
        )
        last = False
        try:
            while not last:
                async with asyncio.timeout(None if follow else REPLY_GRACE_S):
                    reply = await replies.get()
                if reply.error:
                    raise Conflict(reply.error, where=task)
                last = reply.last
                yield reply.output
                if not last:  # Whoever reads has it: so much more may come.
                    connection.send(wire.Taken(request=request))
        except TimeoutError:
            raise NotNow(f"no reply from {connection.node}", where=task) from None
        finally:
            del self._replies[request], self._readers[request]
            if not last:
                connection.send(wire.StopReading(request=request))

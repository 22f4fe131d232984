"""The door for our part in the pods: they dial out, the master never connects to them.

It is a socket of its own, not the master's API: what runs in pods reaches this one alone (a NetworkPolicy can say so by
its port), its certificate is renewed by itself, and nothing behind it knows the tokens of people. Who dials is known
(:mod:`identities`) before anything that he says is read.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from upcall.kubernetes.identities import Identities
from upcall.protocol import agent as wire
from upcall.protocol.errors import Forbidden, Invalid, UpcallError
from upcall.substrate.connections import Agents, Connection
from upcall.substrate.dialled import POLICY_VIOLATION, registration, send_all, text_of, understood
from upcall.substrate.interface import Output, TaskId
from upcall.substrate.kubernetes.pods import Word
from upcall.substrate.kubernetes.substrate import KubernetesSubstrate
from upcall.substrate.machines import Master
from upcall.transport import bounds, inherited
from upcall.transport.listening import Listener
from upcall.transport.server import Server

log = logging.getLogger(__name__)

PATH: Final = "/v1/pod"
GRACEFUL_S: Final = 2


class PodDoor:
    def __init__(
        self,
        cluster: str,
        agents: Agents,
        master: Master,
        identities: Identities,
        core: Callable[[], KubernetesSubstrate],
        take: Callable[[Callable[[float], Output]], None],
    ) -> None:
        self._cluster, self._agents, self._master = cluster, agents, master
        self._identities, self._core, self._take = identities, core, take

    async def serve(self, host: str, port: int, tls: ssl.SSLContext) -> None:
        """Until it is cancelled."""
        listener = Listener(inherited.bound(host, port), bounds.OPEN, self._identities.knows, tls)
        routes = [WebSocketRoute(PATH, self._socket), Route(PATH + "/blobs/{sha256}", self._blob, methods=["GET"])]
        await Server(Starlette(routes=routes), [listener], graceful_s=GRACEFUL_S).beside()

    async def _blob(self, request: Request) -> Response:
        try:
            await self._identities.of(request.headers.get("authorization", ""))
            data = await self._master.blob(request.path_params["sha256"])
        except UpcallError as error:
            return Response(msgspec.json.encode(error.problem), error.status, media_type="application/json")
        return Response(data, media_type="application/octet-stream")

    async def _socket(self, socket: WebSocket) -> None:
        """One connection, from its proof to its end."""
        try:
            task = await self._identities.of(socket.headers.get("authorization", ""))
        except UpcallError as error:
            log.info("a connection was refused: %s", error)
            await socket.close(POLICY_VIOLATION)  # before it is accepted: 403
            return
        await socket.accept()
        connection: Connection | None = None
        sender: asyncio.Task[None] | None = None
        try:
            register = await registration(socket, "a pod")
            connection = self._agents.connect(str(task), register.boot)
            sender = asyncio.create_task(send_all(socket, connection, "this pod"))
            self._register(task, register, connection)
            while not connection.closed:
                self._receive(task, connection, await text_of(socket))
        except WebSocketDisconnect:
            pass
        except (Forbidden, Invalid) as error:
            log.warning("%s: %s", task, error)
            await socket.close(POLICY_VIOLATION, str(error)[:120])
        finally:
            if sender is not None:
                sender.cancel()
            if connection is not None and self._agents.disconnect(connection):
                self._agents.forget_task(str(task))
                self._take(lambda now_s: self._core().left(task, now_s))

    def _register(self, task: TaskId, register: wire.Register, connection: Connection) -> None:
        connection.send(wire.Registered(cluster=self._cluster))
        for status in register.tasks:
            self._status(task, status)
        self._take(lambda now_s: self._core().arrived(task, now_s))

    def _receive(self, task: TaskId, connection: Connection, text: str) -> None:
        match message := understood(text, str(task)):
            case wire.Register():
                self._register(task, message, connection)
            case wire.Status():
                self._status(task, message.status)
                connection.send(wire.Ack(number=message.number))
            case wire.Usage():
                self._agents.note_usage(_of(task, message), self._master.monotonic())
            case wire.Progress():
                self._agents.progress[str(task)] = message.text
            case wire.Reply():
                self._agents.reply(message)

    def _status(self, task: TaskId, status: wire.TaskStatus) -> None:
        if status.task != str(task):
            raise Forbidden(f"{task} may not speak for {status.task}", expected="its own task")
        if (word := word_of(status)) is not None:
            self._take(lambda now_s: self._core().told(task, word, now_s))


def word_of(status: wire.TaskStatus) -> Word | None:
    """How it ended its pod says."""
    told = Word(reason=status.reason, progress=status.progress, generation=status.generation)
    match status.state:
        case "placed" | "fetching" | "starting":
            return replace(told, state=status.state)
        case "running" | "ready":
            return told
        case "unready":
            return replace(told, late=True)
        case "ended":
            return Word(over=True, generation=status.generation)
        case _:
            return None


def _of(task: TaskId, usage: wire.Usage) -> wire.Usage:
    """Nobody's figures but its own."""
    return wire.Usage(tasks=tuple(each for each in usage.tasks if each.task == str(task)))

"""The door for agents: they dial out, the master never connects to them."""

import asyncio
import logging
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, WebSocket, WebSocketDisconnect
from fastapi.responses import Response

from upcall.master.http import principal_of
from upcall.master.package_api import BINARY
from upcall.master.published import gives
from upcall.master.tokens import Principal
from upcall.protocol import agent as wire
from upcall.protocol.errors import Forbidden, Invalid
from upcall.substrate.connections import Agents, Connection
from upcall.substrate.dialled import POLICY_VIOLATION, registration, send_all, text_of, understood
from upcall.substrate.local import LocalSubstrate
from upcall.substrate.machines import Master

log = logging.getLogger(__name__)


class AgentDoor:
    """``ending`` says whether a node's agent ends because the node is removed."""

    def __init__(
        self,
        agents: Agents,
        master: Master,
        substrate: Callable[[], LocalSubstrate],
        ending: Callable[[str], bool],
    ) -> None:
        self._agents, self._master = agents, master
        self._substrate, self._ending = substrate, ending

    async def serve(self, socket: WebSocket, principal: Principal) -> None:
        """One connection, from its registration to its end."""
        await socket.accept()
        connection: Connection | None = None
        sender: asyncio.Task[None] | None = None
        try:
            register = await self._registration(socket, principal)
            connection = self._agents.connect(register.node, register.boot)
            self._agents.features[register.node] = register.features
            sender = asyncio.create_task(send_all(socket, connection, "this agent"))
            # News only of a node that was up all the time; of any other it is told next that it is up.
            self._master.tell(
                register.node, "its agent is connected", detail=not self._substrate().hears(register.node)
            )
            self._input(register.node, register)
            while not connection.closed:
                self._receive(register.node, await text_of(socket))
        except WebSocketDisconnect:
            pass
        except (Forbidden, Invalid) as error:
            await socket.close(POLICY_VIOLATION, str(error)[:120])
        finally:
            if sender:
                sender.cancel()
            if connection and self._agents.disconnect(connection):
                self._disconnected(connection.node)

    async def _registration(self, socket: WebSocket, principal: Principal) -> wire.Register:
        first = await registration(socket, "an agent")
        if principal.role != "agent" or principal.node != first.node:
            raise Forbidden(
                f"{principal.name} may not speak for {first.node}", expected="the token of that node's agent"
            )
        return first

    def _receive(self, node: str, text: str) -> None:
        match message := understood(text, node):
            case wire.Usage():
                self._agents.note_usage(message, self._master.monotonic())
                self._input(node, message)
            case wire.Progress():
                self._agents.progress[message.task] = message.text
                self._heard(node)
            case wire.Reply():
                self._agents.reply(message)
            case _:
                self._input(node, message)

    def _input(self, node: str, message: wire.FromAgent) -> None:
        self._master.take(lambda now_s: self._substrate().agent(node, message, now_s))
        if isinstance(message, wire.Status) and message.status.state == "ended":
            self._agents.forget_task(message.status.task)

    def _heard(self, node: str) -> None:
        self._master.take(lambda now_s: self._substrate().agent_heard(node, now_s))

    def _disconnected(self, node: str) -> None:
        removed = self._ending(node)
        self._master.tell(node, "its agent has ended" if removed else "its agent is disconnected; its tasks run on")
        self._master.take(lambda now_s: self._substrate().agent_disconnected(node, now_s))

    async def blob(self, sha256: str) -> bytes:
        return await self._master.blob(sha256)


def router(door: AgentDoor) -> APIRouter:
    api = APIRouter(tags=["agent API"])

    @api.websocket("/v1/agent")
    async def agent(socket: WebSocket) -> None:
        await door.serve(socket, principal_of(socket))

    @api.get("/v1/agent/blobs/{sha256}", response_class=Response, responses=gives(bytes, BINARY))
    async def agent_blob(sha256: str, who: Annotated[Principal, Depends(principal_of)]) -> Response:
        who.must_be("agent", "operator")
        return Response(await door.blob(sha256), media_type=BINARY)

    return api

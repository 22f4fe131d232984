"""The door for agents: they dial out, the master never connects to them."""

import asyncio
import logging
from collections.abc import Callable
from typing import Annotated, Final, Protocol

import msgspec
from fastapi import APIRouter, Depends, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import Response

from upcall.master.agents import Agents, Connection
from upcall.master.driver import Driver
from upcall.master.http import principal_of
from upcall.master.package_api import BINARY, blob
from upcall.master.published import gives
from upcall.master.tokens import Principal
from upcall.master.transaction import Transaction
from upcall.protocol import agent as wire
from upcall.protocol.errors import Forbidden, Invalid
from upcall.protocol.versions import WIRE
from upcall.substrate.interface import Output

log = logging.getLogger(__name__)

REGISTER_TIMEOUT_S: Final = 10.0
POLICY_VIOLATION: Final = 1008


class AgentSubstrate(Protocol):
    """What this door needs of a substrate that has agents."""

    def agent(self, node: str, message: wire.FromAgent, now_s: float) -> Output: ...
    def agent_connected(self, node: str, now_s: float) -> Output: ...
    def agent_disconnected(self, node: str, now_s: float) -> Output: ...
    def agent_heard(self, node: str, now_s: float) -> Output: ...


class AgentDoor:
    def __init__(self, core: Driver, agents: Agents, substrate: Callable[[], AgentSubstrate]) -> None:
        self._core, self._agents, self._substrate = core, agents, substrate

    async def serve(self, socket: WebSocket, principal: Principal) -> None:
        """One connection, from its registration to its end."""
        await socket.accept()
        connection: Connection | None = None
        sender: asyncio.Task[None] | None = None
        try:
            register = await self._registration(socket, principal)
            connection = self._agents.connect(register.node, register.boot)
            self._agents.features[register.node] = register.features
            sender = asyncio.create_task(_send_all(socket, connection))
            self._core.post(lambda tx: _connected(tx, register.node))
            self._input(register.node, register)
            while not connection.closed:
                self._receive(register.node, await socket.receive_text())
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
        try:
            first = wire.decode_from_agent(await asyncio.wait_for(socket.receive_text(), REGISTER_TIMEOUT_S))
        except (TimeoutError, msgspec.DecodeError) as error:
            raise Invalid(f"no registration: {error}", expected="`register` as the first message") from None
        if not isinstance(first, wire.Register):
            raise Invalid("no registration", expected="`register` as the first message")
        if principal.role != "agent" or principal.node != first.node:
            raise Forbidden(
                f"{principal.name} may not speak for {first.node}", expected="the token of that node's agent"
            )
        if first.wire > WIRE:
            raise Invalid(f"an agent of wire version {first.wire}", expected=f"version {WIRE} or older")
        return first

    def _receive(self, node: str, text: str) -> None:
        try:
            message = wire.decode_from_agent(text)
        except msgspec.DecodeError as error:
            raise Invalid(
                f"a message that cannot be read: {error}", where=node, expected="the agent protocol"
            ) from None
        match message:
            case wire.Usage():
                self._agents.note_usage(message, self._core.monotonic())
                self._heard(node)
            case wire.Progress():
                self._agents.progress[message.task] = message
                self._heard(node)
            case wire.Reply():
                self._agents.reply(message)
            case _:
                self._input(node, message)

    def _input(self, node: str, message: wire.FromAgent) -> None:
        def take(tx: Transaction) -> None:
            tx.substrate(self._substrate().agent(node, message, tx.now_s))

        self._core.post(take)
        if isinstance(message, wire.Status) and message.status.state == "ended":
            self._agents.forget_task(message.status.task)

    def _heard(self, node: str) -> None:
        self._core.post(lambda tx: tx.substrate(self._substrate().agent_heard(node, tx.now_s)))

    def _disconnected(self, node: str) -> None:
        def gone(tx: Transaction) -> None:
            standing = tx.core.state.ledger.maintenance(node)
            removed = standing is not None and standing.removes_node and standing.state == "done"
            tx.event("node", node, "its agent has ended" if removed else "its agent is disconnected; its tasks run on")
            tx.substrate(self._substrate().agent_disconnected(node, tx.now_s))

        self._core.post(gone)


async def _send_all(socket: WebSocket, connection: Connection) -> None:
    while (message := await connection.queue.get()) is not None:
        await socket.send_text(wire.encode(message).decode())
    await socket.close(POLICY_VIOLATION, "a newer connection of this agent, or one that does not read")


def router(door: AgentDoor, core: Driver, principal: Callable[[Request], Principal]) -> APIRouter:
    api = APIRouter(tags=["agent API"])

    @api.websocket("/v1/agent")
    async def agent(socket: WebSocket) -> None:
        await door.serve(socket, principal_of(socket))

    @api.get("/v1/agent/blobs/{sha256}", response_class=Response, responses=gives(bytes, BINARY))
    async def agent_blob(sha256: str, who: Annotated[Principal, Depends(principal)]) -> Response:
        who.must_be("agent", "operator")
        return await blob(core, sha256)

    return api


def _connected(tx: Transaction, node: str) -> None:
    """News only of a node that was up all the time; of any other it is told next that it is up."""
    seen = tx.core.nodes.get(node)
    tx.event("node", node, "its agent is connected", detail=seen is None or seen.state != "up")

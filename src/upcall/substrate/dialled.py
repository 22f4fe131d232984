"""What an agent says over the WebSocket that it dialled, and how it is spoken to, at whichever door."""

import asyncio
from typing import Final

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from upcall.protocol import agent as wire
from upcall.protocol.errors import Invalid
from upcall.protocol.versions import WIRE
from upcall.substrate.connections import Connection

REGISTER_TIMEOUT_S: Final = 10.0
POLICY_VIOLATION: Final = 1008


async def registration(socket: WebSocket, who: str) -> wire.Register:
    """Its first message. ``who``: what dials here, in words: ``an agent``."""
    try:
        async with asyncio.timeout(REGISTER_TIMEOUT_S):
            first = wire.decode_from_agent(await text_of(socket))
    except (TimeoutError, msgspec.DecodeError) as error:
        raise Invalid(f"no registration: {error}", expected="`register` as the first message") from None
    if not isinstance(first, wire.Register):
        raise Invalid("no registration", expected="`register` as the first message")
    if first.wire > WIRE:
        raise Invalid(f"{who} of wire version {first.wire}", expected=f"version {WIRE} or older")
    return first


async def text_of(socket: WebSocket) -> str:
    """The next message. The protocol's are text; whoever sends bytes does not speak it."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"], message.get("reason"))
    text: str | None = message.get("text")
    if text is None:
        raise Invalid("a binary message cannot be read", expected="the agent protocol, in messages of text")
    return text


def understood(text: str, where: str) -> wire.FromAgent:
    try:
        return wire.decode_from_agent(text)
    except msgspec.DecodeError as error:
        what = f"a message that cannot be read: {error}"
        raise Invalid(what, where=where, expected="the agent protocol") from None


async def send_all(socket: WebSocket, connection: Connection, who: str) -> None:
    """Until the connection is closed. ``who``: whose it is: ``this agent``."""
    while (message := await connection.queue.get()) is not None:
        await socket.send_text(wire.encode(message).decode())
    await socket.close(POLICY_VIOLATION, f"a newer connection of {who}, or one that does not read")

"""The wire between aircraft and ingest: length-prefixed messages over one TCP connection, which the aircraft opens.

    aircraft                                     ingest
    HELLO   protocol, token           ->
                                      <-         WELCOME protocol   |   REFUSED reason, and the connection ends
    RUN     ordinal, record           ->                            a run is announced before its first frame
    FRAME   ordinal, block, sample, frame ->
                                      <-         ACK     (ordinal, block, first sample), many at once
                                      <-         STATUS  once a second: alive; why nothing is acknowledged, if so

A frame is known by (run, block, first sample), on every connection and to every ingest: the aircraft keeps it until
just that is acknowledged, and sends all that was not when it connects again. The ordinal is a short name for a run,
given by the aircraft. A FRAME's envelope repeats what the frame says inside, so that a frame that cannot be read can
still be named.

    message: 4 bytes length of what follows, 1 byte type, payload. Integers little-endian; HELLO, WELCOME, REFUSED,
    RUN, STATUS are JSON.
"""

from __future__ import annotations

import asyncio
import json
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from upcall.fastdata.frames import FRAME_BYTES_MAX

PROTOCOL: Final = 1
MESSAGE_BYTES_MAX: Final = FRAME_BYTES_MAX + 1_024
JSON_BYTES_MAX: Final = 16_384
STREAM_BUFFER_BYTES: Final = 1024 * 1024
SILENCE_S: Final = 10.0
"""An ingest that said nothing for so long is taken for dead (it says STATUS once a second)."""
HELLO_TIMEOUT_S: Final = 10.0

_HEAD: Final = struct.Struct("<IB")
_KEY: Final = struct.Struct("<IIQ")


class LinkError(Exception):
    """The other side does not speak this protocol, or refused; says what was wrong."""


class MessageType(IntEnum):
    HELLO = 1
    WELCOME = 2
    REFUSED = 3
    RUN = 4
    FRAME = 5
    ACK = 6
    STATUS = 7


@dataclass(frozen=True, slots=True)
class FrameKey:
    """What a frame is called on the wire."""

    ordinal: int
    block: int
    first_sample: int


@dataclass(frozen=True, slots=True)
class Message:
    type: MessageType
    payload: bytes


def json_message(kind: MessageType, **said: Any) -> bytes:
    return _message(kind, json.dumps(said).encode())


def frame_message(key: FrameKey, frame: bytes) -> bytes:
    return _message(MessageType.FRAME, _KEY.pack(key.ordinal, key.block, key.first_sample) + frame)


def ack_message(keys: list[FrameKey]) -> bytes:
    return _message(MessageType.ACK, b"".join(_KEY.pack(key.ordinal, key.block, key.first_sample) for key in keys))


def said_in(message: Message) -> dict[str, Any]:
    """The JSON of a message."""
    try:
        said = json.loads(message.payload) if len(message.payload) <= JSON_BYTES_MAX else None
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise LinkError(f"{message.type.name} of {len(message.payload)} bytes holds no JSON object")
    return said


def frame_in(message: Message) -> tuple[FrameKey, bytes]:
    if len(message.payload) < _KEY.size:
        raise LinkError(f"FRAME of {len(message.payload)} bytes is shorter than its envelope")
    return FrameKey(*_KEY.unpack_from(message.payload)), message.payload[_KEY.size :]


def acks_in(message: Message) -> list[FrameKey]:
    if len(message.payload) % _KEY.size:
        raise LinkError(f"ACK of {len(message.payload)} bytes is no list of keys")
    return [FrameKey(*key) for key in _KEY.iter_unpack(message.payload)]


async def receive(reader: asyncio.StreamReader, bytes_max: int = MESSAGE_BYTES_MAX) -> Message:
    """The next message. `LinkError` for what is none, `asyncio.IncompleteReadError` at the connection's end."""
    length, code = _HEAD.unpack(await reader.readexactly(_HEAD.size))
    if not 1 <= length <= bytes_max:
        raise LinkError(f"a message of {length} bytes: 1 to {bytes_max} are possible")
    try:
        kind = MessageType(code)
    except ValueError:
        raise LinkError(f"a message of the unknown type {code}") from None
    return Message(kind, await reader.readexactly(length - 1))


def _message(kind: MessageType, payload: bytes) -> bytes:
    return _HEAD.pack(len(payload) + 1, kind) + payload

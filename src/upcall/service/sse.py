"""Server-sent events: bytes in, whole events out.

A stream is read by bytes, not by lines of a library's choosing: one event (a whole set of members) may be larger than
any line limit, and must not be larger than ours.
"""

from typing import Final, get_args

import msgspec

from upcall.protocol import service as wire
from upcall.protocol.errors import Invalid, TooLarge

EVENT_BYTES_MAX: Final = 16 * 2**20
"""A thousand members with long reasons are under 1 MiB; beyond this the other side is broken."""


class _Head(msgspec.Struct):
    type: str = ""


_decoder: msgspec.json.Decoder[wire.StreamEvent] = msgspec.json.Decoder(wire.StreamEvent)
_head = msgspec.json.Decoder(_Head)
_KNOWN: Final = frozenset(str(kind.__struct_config__.tag) for kind in get_args(wire.StreamEvent))


class EventParser:
    """Feed it chunks; it gives the events that became whole."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[wire.StreamEvent]:
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        events = []
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif not line and self._data:
                event = decode(b"\n".join(self._data))
                self._data = []
                if event is not None:
                    events.append(event)
        if len(self._rest) + sum(map(len, self._data)) > EVENT_BYTES_MAX:
            raise TooLarge(f"an event of the stream is larger than {EVENT_BYTES_MAX} bytes")
        return events


def decode(data: bytes) -> wire.StreamEvent | None:
    """One event; None for a type that a newer master knows and this one does not."""
    try:
        if _head.decode(data).type not in _KNOWN:
            return None
        return _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise Invalid(f"the master sent an event that is none: {error}") from error

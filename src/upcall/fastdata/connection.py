"""One aircraft's connection, as ingest holds it: who may send, which runs it named, what is still to acknowledge."""

from __future__ import annotations

import asyncio
import hmac
import json
from dataclasses import dataclass, field
from typing import Final

from upcall.fastdata import link
from upcall.fastdata.link import FrameKey, LinkError, Message, MessageType
from upcall.fastdata.runs import Run

UNSENT_BYTES_MAX: Final = 4 * 1024 * 1024
"""Acknowledgements that an aircraft does not take: it is hung up on."""
RUNS_MAX: Final = 64
"""Runs of one connection: a run lasts for hours."""


@dataclass(slots=True, eq=False)
class Connection:
    """One aircraft's connection."""

    writer: asyncio.StreamWriter
    runs: dict[int, Run] = field(default_factory=dict)
    """By the aircraft's ordinals."""
    ordinals: dict[str, int] = field(default_factory=dict)
    unsent: list[FrameKey] = field(default_factory=list)

    def run_of(self, message: Message) -> tuple[int, Run]:
        """The run that a RUN names, and its ordinal; `LinkError` when it names none."""
        said = link.said_in(message)
        ordinal = said.get("ordinal")
        if not isinstance(ordinal, int) or not 0 <= ordinal < 2**32 or len(self.runs) >= RUNS_MAX:
            raise LinkError(f"RUN with ordinal {ordinal!r} after {len(self.runs)} runs")
        try:
            return ordinal, Run.from_json(json.dumps(said.get("run")))
        except ValueError as error:
            raise LinkError(str(error)) from error

    def acknowledge(self, key: FrameKey) -> None:
        """At the loop's next turn, together with all others until then."""
        if not self.unsent:
            asyncio.get_running_loop().call_soon(self.flush)
        self.unsent.append(key)

    def flush(self) -> None:
        if not self.unsent or self.writer.is_closing():
            return
        self.writer.write(link.ack_message(self.unsent))
        self.unsent.clear()
        if self.writer.transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            self.writer.transport.abort()


def refusal_of(message: Message, token: bytes) -> str:
    """Why an aircraft that says this first may not send; empty when it may."""
    if message.type is not MessageType.HELLO:
        return f"the first message is {message.type.name}: HELLO is expected"
    said = link.said_in(message)
    if said.get("protocol") != link.PROTOCOL:
        return f"protocol {said.get('protocol')!r}: this ingest speaks {link.PROTOCOL}"
    if not hmac.compare_digest(str(said.get("token", "")).encode(), token):
        return "the token is not the one that this ingest knows"
    return ""

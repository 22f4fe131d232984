"""What is said before a connection is led on to an endpoint in a cluster: a line each way, then the bytes of both.

Members there have names and addresses of that cluster alone. Who looks from elsewhere is led on by its control plane.
"""

from typing import Final

import msgspec

from upcall.protocol.errors import Problem

LINE_BYTES_MAX: Final = 16 << 10


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    token: str
    """The master's, of whoever asks."""
    service: str
    endpoint: str
    address: str
    """One of the endpoint's."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    problem: Problem | None = None
    """None: from here on it is the endpoint that speaks."""


def line(said: Ask | Answer) -> bytes:
    return msgspec.json.encode(said) + b"\n"

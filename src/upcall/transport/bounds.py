"""What a connection may cost before and after its request shows who is there. Each bound has its reason."""

from dataclasses import dataclass
from typing import Final

HEADER_BYTES_MAX: Final = 64 << 10
"""Of one request, its line, its headers and trailers together; a browser's largest has a tenth of it."""
HEADERS_MAX: Final = 100
"""Of one request, with its trailers: each costs more than its bytes, and a browser sends a quarter of it."""
PIPELINED_MAX: Final = 16
"""Requests on one connection that wait for the answer before them; what they say has :data:`HEADER_BYTES_MAX` too,
all together."""
UNKNOWN_BODY_BYTES_MAX: Final = 4 << 10
"""Of who has not said who he is: a form with a login code."""
HANDSHAKE_S: Final = 5


@dataclass(frozen=True)
class Bounds:
    connections_max: int
    """At once."""
    unknown_max: int
    """Of these, such that have not yet shown who is there. When there are more, the oldest of the address that has
    the most of them gives way: a newcomer who says at once who he is gets in, whoever else waits."""
    burst: int
    """Connections taken at a time; then everybody else has a turn."""
    pause_s: float
    """Between two bursts that found more than they took."""
    headers_s: float = 10.0
    """From the connection, or from the first byte of a later request, to the end of its headers."""
    unknown_body_s: float = 5.0
    body_s: float = 120.0
    """From the headers to the end of the body: 64 MiB on the slowest machine."""


LOCAL: Final = Bounds(connections_max=4096, unknown_max=512, burst=64, pause_s=0.005)
"""A Unix socket: whoever connects is a process of this user."""
OPEN: Final = Bounds(connections_max=512, unknown_max=64, burst=8, pause_s=0.02)
"""TCP: every user of the machine. 400 connections a second, of which each costs a handshake, leave the loop to the
others."""

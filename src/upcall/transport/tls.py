"""TLS on a connection that we accepted, with buffers as small as a stranger's request.

What event loops bring holds a quarter of a megabyte for what may arrive, lets as much again wait while the application
does not read, and twice that while the other end does not: of sixty-four strangers that is more memory than all the
rest of a master. Requests here are small; a blob of a caller who is known passes in more, smaller steps.
"""

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from typing import Final

from upcall.transport.bounds import HANDSHAKE_S

STEP_BYTES: Final = 16 << 10
"""Read from the socket at a time, and waiting at most before the socket is not read any more: one record of TLS."""
UNREAD_BYTES: Final = 64 << 10
"""Of answers that the other end has not taken, before whoever writes them waits: what connections without TLS have."""


class SmallTls(SSLProtocol):
    """Stands between a transport of any loop and the protocol of the application."""

    max_size = STEP_BYTES

    def __init__(self, protocol: asyncio.Protocol, context: ssl.SSLContext, begun: "asyncio.Future[None]") -> None:
        """``begun`` is told how the handshake ended."""
        super().__init__(
            begun.get_loop(),
            protocol,
            context,
            begun,
            server_side=True,
            ssl_handshake_timeout=HANDSHAKE_S,
            ssl_shutdown_timeout=HANDSHAKE_S,
        )
        self._app_transport.set_read_buffer_limits(STEP_BYTES)
        self._app_transport.set_write_buffer_limits(UNREAD_BYTES)

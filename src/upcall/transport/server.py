"""Serves one application on several sockets, each with its own bounds."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any, Final

import uvicorn

from upcall.transport.http import BoundedHttp
from upcall.transport.limits import raise_open_files
from upcall.transport.listening import Connection, Listener

PING_EVERY_S: Final = 5.0
PING_TIMEOUT_S: Final = 20.0
STARTUP_FAILED_EXIT: Final = 3


class Server(uvicorn.Server):
    """uvicorn, with our own way of accepting."""

    def __init__(self, app: Any, listeners: Sequence[Listener], *, graceful_s: int, websocket: str = "auto") -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedHttp,
                ws=websocket,
                ws_ping_interval=PING_EVERY_S,
                ws_ping_timeout=PING_TIMEOUT_S,
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=graceful_s,
            )
        )
        self.listeners = listeners

    def end(self) -> None:
        """As a signal does: nothing new is accepted, and what runs is given its time."""
        self.should_exit = True

    async def beside(self) -> None:
        """Serves within a loop that is somebody else's, whose signals are his. Until it is cancelled."""
        try:
            await self._serve()
        finally:
            for listener in self.listeners:
                listener.close()

    async def startup(self, sockets: Any = None) -> None:
        raise_open_files()
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILED_EXIT)
        loop = asyncio.get_running_loop()

        def make(connection: Connection) -> asyncio.Protocol:
            return BoundedHttp(
                visitor=connection,
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
                _loop=loop,
            )

        for listener in self.listeners:
            listener.start(make)
        self.servers = list(self.listeners)  # type: ignore[arg-type]
        self.started = True

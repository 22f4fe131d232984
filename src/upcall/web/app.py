"""The page as one ASGI application: NiceGUI inside, the login's gate around it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import Response
from nicegui import ui
from starlette.types import ASGIApp

from upcall.client.streaming import AsyncClient
from upcall.transport.http import Headers
from upcall.transport.listening import Knows
from upcall.web.live import Live
from upcall.web.login import FORGET_TICKET, SESSION, Gate
from upcall.web.page import Page
from upcall.web.sessions import Sessions
from upcall.web.tabs import Tabs

MESSAGES_KEPT: Final = 200
"""For a browser whose connection breaks for a moment; older ones would be a page loaded anew."""
FAVICON: Final = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'><rect width='24' height='24' rx='6' fill='#2459d6'/>"
    "<path d='M8 19V6M4.5 9.5 8 6l3.5 3.5M16 5v13M12.5 14.5 16 18l3.5-3.5' fill='none' stroke='#fff' stroke-width='2' "
    "stroke-linecap='round' stroke-linejoin='round'/></svg>"
)


def application(
    client: AsyncClient, page_url: str, tabs: Tabs | None = None, command: str = "upcall open"
) -> tuple[ASGIApp, Knows]:
    """Everything that one page process serves, and whether the headers of a request say who is there."""
    import asyncio

    live = Live(client)
    sessions = Sessions()
    plug_ins = Tabs.load() if tabs is None else tabs

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = asyncio.ensure_future(live.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await client.close()

    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/favicon.svg")
    def favicon() -> Response:
        return Response(FAVICON, media_type="image/svg+xml")

    @ui.page("/", title="upcall", favicon="/favicon.svg", dark=None)
    def cluster(request: Request) -> None:
        ui.add_head_html(FORGET_TICKET)
        Page(live, plug_ins, request.scope[SESSION])

    ui.run_with(
        app,
        title="upcall",
        reconnect_timeout=10.0,
        message_history_length=MESSAGES_KEPT,
        tailwind=False,
        binding_refresh_interval=None,
        show_welcome_message=False,
    )

    def knows(headers: Headers) -> bool:
        cookies = next((value.decode("latin-1") for name, value in headers if name == b"cookie"), "")
        return sessions.of(cookies) is not None

    return Gate(app, sessions, client, urlsplit(page_url).hostname or "127.0.0.1", command), knows

"""Who may see the page: a browser that brought a one-use code, and only from the page's own address.

Loopback is no authentication: every user of the machine, and every site open in a browser on it, reaches this port.
So each request needs the session's cookie (HttpOnly, SameSite=Strict), a Host that is ours, and, where the browser
names one, an Origin that is ours too. The code is given in by a POST: what merely looks a link up does not use it up.
"""

import html
import secrets
import time
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from upcall.client.streaming import AsyncClient
from upcall.protocol.errors import UpcallError
from upcall.protocol.operator import Login

COOKIE: Final = "upcall_session"
SESSION_S: Final = 12 * 3600.0
SESSIONS_MAX: Final = 200
CODE_CHARACTERS_MAX: Final = 100
FORM_BYTES_MAX: Final = 4096
FRAME: Final = Path(__file__).parent / "login.html"
LOCAL_NAMES: Final = ("localhost", "127.0.0.1")
"""Beside the page's own address: what a forwarded port looks like."""
SECURITY_HEADERS: Final = (
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'; form-action 'self'",
    ),
)
"""Everything comes from here: a reference to another host would fail, with a network or without."""


@dataclass(frozen=True)
class Session:
    token: str
    """Of the operator API: what is done on the page is done as this principal."""
    until: float


class Sessions:
    """In memory: a page that was started again asks for a new code."""

    def __init__(self) -> None:
        self._by_id: dict[str, Session] = {}

    def add(self, token: str) -> str:
        now = time.monotonic()
        self._by_id = {key: one for key, one in self._by_id.items() if one.until > now}
        while len(self._by_id) >= SESSIONS_MAX:
            del self._by_id[next(iter(self._by_id))]
        name = secrets.token_urlsafe(32)
        self._by_id[name] = Session(token, now + SESSION_S)
        return name

    def find(self, name: str) -> Session | None:
        found = self._by_id.get(name)
        return found if found is not None and found.until > time.monotonic() else None

    def of(self, headers: dict[str, str]) -> Session | None:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return None
        return self.find(cookie.value) if cookie else None


class Gate:
    """Around the whole application: what may not pass never reaches it."""

    def __init__(self, app: ASGIApp, sessions: Sessions, client: AsyncClient, page_host: str) -> None:
        self._app, self._sessions, self._client = app, sessions, client
        self._names = {page_host, *LOCAL_NAMES}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if reason := self._foreign(headers):
            await self._refuse(scope, receive, send, PlainTextResponse(reason, 403))
        elif scope["type"] == "http" and scope["path"] == "/login":
            await (await self._login(Request(scope, receive)))(scope, receive, _with_headers(send))
        elif scope["type"] == "http" and scope["path"] == "/favicon.svg":
            await self._app(scope, receive, _with_headers(send))
        elif self._sessions.of(headers) is None:
            wants_page = scope["type"] == "http" and "text/html" in headers.get("accept", "")
            answer = RedirectResponse("/login", 303) if wants_page else PlainTextResponse("log in first", 401)
            await self._refuse(scope, receive, send, answer)
        else:
            await self._app(scope, receive, _with_headers(send))

    def _foreign(self, headers: dict[str, str]) -> str:
        """Why this request is none of ours; empty when it is."""
        host = headers.get("host", "")
        if urlsplit(f"//{host}").hostname not in self._names:
            return f"requests for host {host!r} are refused"
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return f"requests from origin {origin!r} are refused"
        return ""

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, answer: Response) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await answer(scope, receive, _with_headers(send))

    async def _login(self, request: Request) -> Response:
        if request.method == "GET":
            return HTMLResponse(_form(request.query_params.get("code", "")))
        if request.method != "POST":
            return PlainTextResponse("GET or POST", 405)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > FORM_BYTES_MAX:
                return PlainTextResponse("a form of this size is none of ours", 413)
        code = parse_qs(body.decode("latin-1")).get("code", [""])[0]
        try:
            answer = await self._client.call("POST", "/v1/login", Login(code=code[:CODE_CHARACTERS_MAX]))
        except UpcallError as error:
            return HTMLResponse(_form("", str(error)), 401)
        # A page that goes on by itself, not a redirect: a strict cookie is not sent along a redirect from elsewhere.
        response = HTMLResponse(_page("<p>Logged in.</p><script>location.replace('/')</script><a href='/'>Go on</a>"))
        response.set_cookie(
            COOKIE,
            self._sessions.add(answer["token"]),
            max_age=int(SESSION_S),
            path="/",
            httponly=True,
            samesite="strict",
        )
        return response


def _with_headers(send: Send) -> Send:
    async def sending(message):  # type: ignore[no-untyped-def]
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *SECURITY_HEADERS]}
        await send(message)

    return sending


def _form(code: str, trouble: str = "") -> str:
    if code:
        given = html.escape(code[:CODE_CHARACTERS_MAX])
        return _page(
            f"<form method=post action=/login><input type=hidden name=code value='{given}'>"
            "<button>Log in</button></form>"
            "<script>document.forms[0].submit()</script>"
        )
    return _page(
        (f"<p class=bad>{html.escape(trouble)}</p>" if trouble else "")
        + "<p>This page wants a login. Run <code>upcall open</code> in a terminal on this machine and follow the "
        "address that it prints, or give its code here.</p><form method=post action=/login>"
        "<input name=code placeholder='one-use code' autocomplete=off autofocus required><button>Log in</button></form>"
    )


def _page(body: str) -> str:
    return FRAME.read_text().replace("{{body}}", body)

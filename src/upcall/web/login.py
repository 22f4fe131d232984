"""Who may see the page: a browser that brought a one-use code, and only from the page's own address.

Loopback is no authentication: every user of the machine, and every site open in a browser on it, reaches this port.
So each request needs the session's cookie (HttpOnly, SameSite=Strict), a Host that is ours, and, where the browser
names one, an Origin that is ours too. The code is given in by a POST: what merely looks a link up does not use it up.

A cookie is not enough (:mod:`upcall.web.sessions`). ``/`` shows nothing of the cluster: its script takes the key that
the login left in this origin's storage, exchanges it for a ticket (``/enter``), and goes on to ``/?ticket=``. The
socket of a page is opened for the session that was shown that page. Where a secret is given or taken, the kernel is
asked whose process is at the other end: another user's gets nothing, whatever he holds.
"""

import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from upcall.client.streaming import AsyncClient
from upcall.protocol.errors import UpcallError
from upcall.protocol.operator import Login
from upcall.transport import peer
from upcall.web.sessions import COOKIE, SESSION_S, Session, Sessions

KEY_HEADER: Final = "upcall-key"
SESSION: Final = "upcall.session"
"""In the scope of a request that was let through."""
CODE_CHARACTERS_MAX: Final = 100
FORM_BYTES_MAX: Final = 4096
FRAME: Final = Path(__file__).parent / "login.html"
LOCAL_NAMES: Final = ("localhost", "127.0.0.1")
"""Beside the page's own address: what a forwarded port looks like."""
SOCKET: Final = "/_nicegui_ws/"
FILES: Final = re.compile(
    r"/favicon.ico$|/_nicegui/[^/]+/(?:static|libraries|components|resources|dynamic_resources|esm)/"
)
"""Scripts and styles of public packages, the same in every installation."""
HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?")
READS: Final = frozenset({"GET", "HEAD"})
SECURITY_HEADERS: Final = (
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'; form-action 'self'",
    ),
)
"""Everything comes from here: a reference to another host would fail, with a network or without."""


class Gate:
    """Around the whole application: what may not pass never reaches it."""

    def __init__(
        self, app: ASGIApp, sessions: Sessions, client: AsyncClient, page_host: str, command: str = "upcall open"
    ) -> None:
        """``command``: what prints a new code."""
        self._command = command
        self._app, self._sessions, self._client = app, sessions, client
        self._names = {page_host, *LOCAL_NAMES}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        answer = await self._answer(scope, receive)
        if answer is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await answer(scope, receive, _with_headers(send))

    async def _answer(self, scope: Scope, receive: Receive) -> Response | None:
        """Ours; None for what the application answers."""
        names = [name.decode("latin-1").lower() for name, _ in scope["headers"]]
        headers = {name: value.decode("latin-1") for name, (_, value) in zip(names, scope["headers"], strict=True)}
        if reason := self._foreign(headers, names.count("host")):
            return PlainTextResponse(reason, 403)
        path: str = scope["path"]
        if path == "/favicon.svg":
            return None
        try:
            if path == "/login" and scope["type"] == "http":
                return await self._login(Request(scope, receive))
            return self._within(scope, headers, self._sessions.of(headers.get("cookie", "")))
        except UpcallError as error:
            return PlainTextResponse(str(error), error.status)

    def _foreign(self, headers: Mapping[str, str], hosts: int) -> str:
        """Why this request is none of ours; empty when it is."""
        host = headers.get("host", "")
        found = HOST.fullmatch(host)
        if hosts != 1 or found is None or found["name"].lower() not in self._names:
            return f"requests for host {host!r} are refused"
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return f"requests from origin {origin!r} are refused"
        return ""

    # -- who logged in ----------------------------------------------------------------------------------------------

    def _within(self, scope: Scope, headers: Mapping[str, str], session: Session | None) -> Response | None:
        is_http, path = scope["type"] == "http", scope["path"]
        if session is None:
            wants_page = is_http and "text/html" in headers.get("accept", "")
            return (
                RedirectResponse("/login", 303)
                if wants_page
                else PlainTextResponse(f"log in first: `{self._command}` prints the address", 401)
            )
        scope[SESSION] = session
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        if path.startswith(SOCKET):
            return self._socket(scope, headers, session, query.get("client_id", [""])[0])
        if not is_http:
            return PlainTextResponse("no socket is here", 404)
        if path == "/enter":
            return self._enter(scope, headers, session)
        if scope["method"] not in READS:
            return PlainTextResponse("GET only", 405)
        if path == "/":
            return None if session.takes(query.get("ticket", [""])[0]) else HTMLResponse(_page(_ENTER))
        if FILES.match(path) or session.knows_key(headers.get(KEY_HEADER, "")):
            return None
        return PlainTextResponse("nothing is here for a browser that shows no key", 404)

    def _enter(self, scope: Scope, headers: Mapping[str, str], session: Session) -> Response:
        """The key for a ticket."""
        if scope["method"] != "POST":
            return PlainTextResponse("POST only", 405)
        if not session.knows_key(headers.get(KEY_HEADER, "")):
            return PlainTextResponse("this is not the browser that logged in", 401)
        if session.user not in (None, peer.user_at(scope)):
            return PlainTextResponse("another user of this machine logged in", 401)
        return JSONResponse({"ticket": session.ticket()}, headers={"cache-control": "no-store"})

    def _socket(self, scope: Scope, headers: Mapping[str, str], session: Session, page: str) -> Response | None:
        if not session.has(page):
            return PlainTextResponse("this session was not shown that page", 401)
        if scope["type"] == "websocket" and session.user not in (None, peer.user_at(scope)):
            return PlainTextResponse("another user of this machine logged in", 401)
        if scope["type"] == "http" and scope["method"] == "POST" and "content-length" not in headers:
            return PlainTextResponse("a body has to say its length", 411)
        return None

    # -- who logs in ------------------------------------------------------------------------------------------------

    async def _login(self, request: Request) -> Response:
        if request.method == "GET":
            return HTMLResponse(_form(self._command, request.query_params.get("code", "")))
        if request.method != "POST":
            return PlainTextResponse("GET or POST", 405)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > FORM_BYTES_MAX:
                return PlainTextResponse("a form of this size is none of ours", 413)
        code = parse_qs(body.decode("latin-1")).get("code", [""])[0]
        user = peer.user_at(request.scope)
        try:
            answer = await self._client.call("POST", "/v1/login", Login(code=code[:CODE_CHARACTERS_MAX], user=user))
        except UpcallError as error:
            return HTMLResponse(_form(self._command, "", str(error)), 401)
        name, session = self._sessions.add(answer["token"], user)
        # A page that goes on by itself, not a redirect: a strict cookie is not sent along a redirect from elsewhere.
        response = HTMLResponse(
            _page(_LOGGED_IN.replace("{{key}}", session.key)), headers={"cache-control": "no-store"}
        )
        response.set_cookie(COOKIE, name, max_age=int(SESSION_S), path="/", httponly=True, samesite="strict")
        return response


STORED: Final = "upcall-key"
_LOGGED_IN: Final = (
    f"<p>Logged in.</p><script>localStorage.setItem('{STORED}', '{{{{key}}}}'); location.replace('/')</script>"
    "<a href='/'>Go on</a>"
)
_ENTER: Final = f"""<p>One moment.</p><noscript><p class=bad>This page needs scripts.</p></noscript><script>
(async () => {{
  const key = localStorage.getItem('{STORED}');
  const answer = key && await fetch('/enter', {{method: 'POST', headers: {{'{KEY_HEADER}': key}}}});
  if (answer && answer.ok) location.replace('/?ticket=' + encodeURIComponent((await answer.json()).ticket));
  else location.replace('/login');
}})().catch(() => setTimeout(() => location.reload(), 1000));
</script>"""
FORGET_TICKET: Final = "<script>history.replaceState(null, '', '/' + location.hash)</script>"
"""At the head of the page that was shown for a ticket: loading it again asks for another."""


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *SECURITY_HEADERS]}
        await send(message)

    return sending


def _form(command: str, code: str, trouble: str = "") -> str:
    if code:
        given = html.escape(code[:CODE_CHARACTERS_MAX])
        return _page(
            f"<form method=post action=/login><input type=hidden name=code value='{given}'>"
            "<button>Log in</button></form>"
            "<script>document.forms[0].submit()</script>"
        )
    return _page(
        (f"<p class=bad>{html.escape(trouble)}</p>" if trouble else "")
        + f"<p>This page wants a login. Run <code>{html.escape(command)}</code> in a terminal on this machine and "
        "follow the address that it prints, or give its code here.</p><form method=post action=/login>"
        "<input name=code placeholder='one-use code' autocomplete=off autofocus required><button>Log in</button></form>"
    )


def _page(body: str) -> str:
    return FRAME.read_text().replace("{{body}}", body)

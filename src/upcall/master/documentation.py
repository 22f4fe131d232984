"""The gate of the documentation: its pages and the OpenAPI document have a principal like every other call.

A program sends its token. A browser that follows a link sends none, so it logs in as the page does: by a one-use code
(``upcall open --docs``), given in by a POST, for a session in a cookie. A cookie reaches every port of its host, so
others may come by it: it is no token, no call of the API knows it, and it reads these pages and nothing else.

One exception, on purpose: the pages' scripts and styles (``/static-offline-docs``) are files of a public package, the
same in every installation, and tell nothing of this cluster.
"""

import html
import secrets
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request, cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from upcall.master.http import problem_response
from upcall.master.tokens import SESSION_VALID_S, Principal
from upcall.protocol.errors import UpcallError
from upcall.transport import peer

PATHS: Final = frozenset({"/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})
LOGIN: Final = "/docs/login"
COOKIE: Final = "upcall_docs"
CODE_CHARACTERS_MAX: Final = 100
FORM_BYTES_MAX: Final = 4096
READERS_MAX: Final = 200


class Readers:
    """Sessions of browsers that may read the documentation."""

    def __init__(self) -> None:
        self._until_s: dict[str, float] = {}

    def open(self, now_s: float) -> str:
        self._until_s = {session: until for session, until in self._until_s.items() if until > now_s}
        while len(self._until_s) >= READERS_MAX:
            del self._until_s[next(iter(self._until_s))]
        session = secrets.token_urlsafe(32)
        self._until_s[session] = now_s + SESSION_VALID_S
        return session

    def reads(self, session: str, now_s: float) -> bool:
        return self._until_s.get(session, 0.0) > now_s


class DocumentationGate:
    """``authenticate`` takes the value of an Authorization header; ``login`` a code and whose browser gave it in. Each
    raises what is wrong. ``reads`` knows the sessions that ``login`` gave."""

    def __init__(
        self,
        app: ASGIApp,
        authenticate: Callable[[str], Principal],
        reads: Callable[[str], bool],
        login: Callable[[str, int | None], str],
    ) -> None:
        self._app, self._authenticate, self._reads, self._login = app, authenticate, reads, login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in PATHS | {LOGIN}:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        refused = await self._logged_in(request) if scope["path"] == LOGIN else self._refused(request)
        await (refused or self._app)(scope, receive, send)

    def _refused(self, request: Request) -> Response | None:
        """Nothing for the operator and for browsers that logged in."""
        try:
            said = request.headers.get("authorization", "")
            if said or not self._reads(session_of(request.headers.get("cookie", ""))):
                self._authenticate(said).must_be("viewer")
        except UpcallError as error:
            if "text/html" in request.headers.get("accept", ""):
                return _form(request.query_params.get("code", ""), error.status)
            return problem_response(error.problem, error.status)
        return None

    async def _logged_in(self, request: Request) -> Response:
        if request.method != "POST":
            return RedirectResponse("/docs", 303)
        body = b""
        async for part in request.stream():
            body = (body + part)[: FORM_BYTES_MAX + 1]
        code = parse_qs(body.decode("latin-1")).get("code", [""])[0]
        try:
            session = self._login(code[:CODE_CHARACTERS_MAX], peer.user_at(request.scope))
        except UpcallError as error:
            return _form("", error.status, str(error))
        response = RedirectResponse("/docs", 303)
        response.set_cookie(COOKIE, session, max_age=int(SESSION_VALID_S), path="/", httponly=True, samesite="strict",
                            secure=request.url.scheme == "https")  # fmt: skip
        return response


def session_of(cookies: str) -> str:
    """From a browser's cookies."""
    return cookie_parser(cookies).get(COOKIE, "")


def _form(code: str, status: int, trouble: str = "") -> Response:
    given = html.escape(code[:CODE_CHARACTERS_MAX], quote=True)
    words = html.escape(trouble) or "The documentation wants a login: <code>upcall open --docs</code> prints a code."
    body = (
        "<!doctype html><html lang=en><meta charset=utf-8><title>upcall</title>"
        f"<p>{words}</p>"
        f"<form method=post action={LOGIN}><input name=code value='{given}' placeholder='one-use code' "
        "autocomplete=off autofocus required> <button>Log in</button></form></html>"
    )
    return HTMLResponse(body, status)

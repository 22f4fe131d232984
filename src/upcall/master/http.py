"""What all doors share: who calls, from where, how much, and errors in one form."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import msgspec
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from upcall.master.tokens import Principal, Role
from upcall.protocol.errors import Forbidden, Invalid, Malformed, NotNow, Problem, TooLarge, UpcallError
from upcall.protocol.names import refusal as refusal_of_name
from upcall.protocol.numbers import whole
from upcall.protocol.operator import refusal
from upcall.store.interface import StoreError

BODY_BYTES_MAX: Final = 3 << 20
"""What is recorded of one body fits one record of the store, with room for what the master adds."""
BLOB_BYTES_MAX: Final = 64 << 20
FORM_BYTES_MAX: Final = 4096
"""Of whoever has not said who he is: a login code."""
BODIES_OF_ONE_BYTES_MAX: Final = 96 << 20
"""A blob, and what comes beside it."""
BODIES_BYTES_MAX: Final = 192 << 20
LOCAL_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")
OPEN_PATHS: Final = frozenset({"/docs", "/docs/login", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})
"""They let in by other means: a one-use code, or the documentation's own gate."""
OPEN_FOLDER: Final = "/static-offline-docs/"
PRINCIPAL: Final = "principal"
KEYED: Final = "/v1/service/"
"""What a service remembers has keys with slashes in them."""
PATH_CHARS_SHOWN: Final = 200
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")

T = TypeVar("T")


def problem_response(problem: Problem, status: int) -> Response:
    return Response(msgspec.json.encode(problem), status_code=status, media_type="application/json")


class Gate:
    """Refuses what comes from another site (Host and Origin: a page in the user's browser may reach loopback), and
    whoever does not say who he is, before anything of a body is read; bounds bodies, each and all together."""

    def __init__(
        self, app: ASGIApp, hosts: tuple[str, ...], authenticate: Callable[[str], Principal], calls: "Calls"
    ) -> None:
        self._app, self._hosts, self._authenticate, self._calls = app, hosts, authenticate, calls
        self._bodies = Bodies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path: str = scope["path"]
        try:
            self._check_site(headers)
            _check_parts(scope)
            who = None
            if path not in OPEN_PATHS and not path.startswith(OPEN_FOLDER):
                who = self._authenticate(headers.get("authorization", ""))
                scope["state"] = {**scope.get("state", {}), PRINCIPAL: who}
            limit = FORM_BYTES_MAX if who is None else BODY_BYTES_MAX
            limit = BLOB_BYTES_MAX if who is not None and path.startswith("/v1/blobs/") else limit
            self._check_length(headers, limit)
        except UpcallError as error:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": str(error)[:120]})
                return
            response = problem_response(error.problem, error.status)
            response.headers["connection"] = "close"  # what it still sends is read by nobody
            await response(scope, receive, send)
            return
        body = self._bodies.of(who.name if who else "", limit)
        try:
            counted = body.counting(receive)
            if scope["type"] == "http" and limit != BLOB_BYTES_MAX:
                try:
                    counted = await _whole(counted)
                except UpcallError as error:
                    await problem_response(error.problem, error.status)(scope, receive, send)
                    return
            with self._calls.running(who.name if who else ""):
                await self._app(scope, counted, send)
        finally:
            body.over()

    def _check_site(self, headers: dict[str, str]) -> None:
        host = headers.get("host", "").rsplit(":", 1)[0]
        if host not in self._hosts:
            raise Forbidden(f"requests for host {host!r} are refused", where="Host", expected=" or ".join(self._hosts))
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].rsplit(":", 1)[0] not in self._hosts:
            raise Forbidden(f"requests from origin {origin!r} are refused", where="Origin", expected="a page of ours")

    @staticmethod
    def _check_length(headers: dict[str, str], limit: int) -> None:
        length = headers.get("content-length", "0")
        said = whole(length)
        if said is None or said > limit:
            raise TooLarge(f"a body of {length} bytes", expected=f"at most {limit} bytes")


def _check_parts(scope: Scope) -> None:
    """A slash that was written as ``%2F`` would, decoded, make two parts of one: another call than was meant."""
    raw, path = scope.get("raw_path") or b"", scope["path"]
    if b"%2f" in raw.lower() and not path.startswith(KEYED):
        raise Invalid(
            "a name with a slash in it", where=path[:PATH_CHARS_SHOWN], expected="names without one (see /openapi.json)"
        )


class Calls:
    """Who has a call running: a stream that was opened with a token ends when the token is revoked."""

    def __init__(self) -> None:
        self._running: dict[str, set[asyncio.Task[Any]]] = {}

    @contextmanager
    def running(self, who: str) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None
        tasks = self._running.setdefault(who, set())
        tasks.add(task)
        try:
            yield
        finally:
            tasks.discard(task)
            if not tasks:
                self._running.pop(who, None)

    def end(self, who: str) -> None:
        for task in self._running.get(who, set()) - {asyncio.current_task()}:
            task.cancel()


class Bodies:
    """What is held of bodies that are still arriving or being worked on: by each caller, and in all."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._all = 0

    def of(self, who: str, limit: int) -> "Body":
        return Body(self, who, limit)

    def take(self, who: str, count: int) -> None:
        if self._held.get(who, 0) + count > BODIES_OF_ONE_BYTES_MAX or self._all + count > BODIES_BYTES_MAX:
            raise NotNow("other calls with large bodies are not over", expected="the same call when they are")
        self._held[who] = self._held.get(who, 0) + count
        self._all += count

    def give_back(self, who: str, count: int) -> None:
        self._all -= count
        left = self._held.get(who, 0) - count
        if left > 0:
            self._held[who] = left
        else:
            self._held.pop(who, None)


class Body:
    """Of one request: counts what really arrives, whatever its headers say."""

    def __init__(self, bodies: Bodies, who: str, limit: int) -> None:
        self._bodies, self._who, self._limit = bodies, who, limit
        self._total = 0

    def counting(self, receive: Receive) -> Receive:
        async def counted() -> Message:
            message = await receive()
            if count := len(message.get("body", b"")):
                if self._total + count > self._limit:
                    raise TooLarge(f"a body of more than {self._limit} bytes", expected=f"at most {self._limit} bytes")
                self._bodies.take(self._who, count)
                self._total += count
            return message

        return counted

    def over(self) -> None:
        self._bodies.give_back(self._who, self._total)


async def _whole(receive: Receive) -> Receive:
    """The body read to its end, and found to be text that can be kept; handed on as one."""
    parts, message = [], await receive()
    while message["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            data = b"".join(parts)
            check_text(data)
            message = {"type": "http.request", "body": data, "more_body": False}
            break
        message = await receive()
    first: list[Message] = [message]

    async def again() -> Message:
        return first.pop() if first else await receive()

    return again


def check_text(data: bytes) -> None:
    """JSON can name half of a surrogate pair, which no encoding can write: nothing could be recorded of it."""
    if not _SURROGATE.search(data):
        return
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return  # whoever decodes it says what is wrong
    left: list[tuple[str, Any]] = [("", said)]
    while left:
        where, value = left.pop()
        if isinstance(value, dict):
            left += [(f"{where}.{key}" if where else str(key), key) for key in value]
            left += [(f"{where}.{key}" if where else str(key), one) for key, one in value.items()]
        elif isinstance(value, list):
            left += [(f"{where}[{number}]", one) for number, one in enumerate(value)]
        elif isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
            place = where.encode("ascii", "backslashreplace").decode()
            raise Malformed("half of a surrogate pair is no text", where=place or "body", expected="whole characters")


def principal_of(request: HTTPConnection) -> Principal:
    """Who calls, as the gate found it."""
    who: Principal = request.scope["state"][PRINCIPAL]
    return who


def install_error_handlers(app: FastAPI) -> None:
    """Every error leaves as a :class:`Problem`."""

    async def upcall_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, UpcallError)
        return problem_response(error.problem, error.status)

    async def validation_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        said = refusal(error.errors()).problem
        return problem_response(msgspec.structs.replace(said, expected=said.expected or "see /openapi.json"), 422)

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, UpcallError):  # raised by us while the framework read the body
            return problem_response(error.__cause__.problem, error.__cause__.status)
        message, expected = str(error.detail), ""
        if error.status_code in (404, 405):  # The router's; what is not there is named by whoever looked for it.
            message = f"no such call: {request.method} {request.url.path[:PATH_CHARS_SHOWN]}"
            allowed = (error.headers or {}).get("Allow", "")
            expected = f"{allowed} of this path" if allowed else "one of /openapi.json"
        code = {404: "not_found"}.get(error.status_code, "invalid")
        return problem_response(Problem(code=code, message=message, expected=expected), error.status_code)

    async def store_error(_: Request, error: Exception) -> Response:
        # The disk is full or broken: nothing was written, and the caller may try again.
        said = NotNow(str(error), expected="the same call when the store can be written")
        return problem_response(said.problem, said.status)

    async def our_mistake(request: Request, error: Exception) -> Response:
        # The server logs it with its traceback once this answer is out; the caller learns no more than its name.
        problem = Problem(
            code=UpcallError.code,
            message=f"a mistake of the master: {type(error).__name__}",
            where=f"{request.method} {request.url.path}",
            expected="an answer; the master's log says more",
        )
        return problem_response(problem, UpcallError.status)

    app.add_exception_handler(Exception, our_mistake)
    app.add_exception_handler(StoreError, store_error)
    app.add_exception_handler(UpcallError, upcall_error)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(HTTPException, http_error)


def caller(principal: Callable[[Request], Principal], *roles: Role) -> Callable[[Request], Principal]:
    """A dependency of calls: who calls, once it is known that they may."""

    def allowed(request: Request) -> Principal:
        who = principal(request)
        who.must_be(*roles)
        return who

    return allowed


def told_when_durable(durable: Callable[[], Awaitable[None]]) -> Any:
    """A dependency of a call or of a router: its answer leaves only when everything that it may tell is durable. An
    error waits too: that there is no such service may be what a crash undoes."""

    async def after_reading() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await durable()

    return Depends(after_reading, scope="function")


async def decode(request: Request, kind: type[T]) -> T:
    """The body as ``kind``, or one clear error that names the field."""
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except msgspec.ValidationError as error:
        raise refusal_of_name(error, kind.__name__) from None
    except RecursionError:
        raise Invalid("the body is nested too deeply", where="body", expected=kind.__name__) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"the body is not JSON: {error}", where="body", expected=kind.__name__) from None


def answer(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")

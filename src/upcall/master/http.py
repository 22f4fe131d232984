"""What all doors share: who calls, from where, how much, and errors in one form."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from upcall.master.tokens import Principal, Role
from upcall.protocol.errors import Forbidden, Invalid, NotNow, Problem, TooLarge, UpcallError
from upcall.protocol.names import refusal as refusal_of_name
from upcall.protocol.numbers import whole
from upcall.protocol.operator import refusal
from upcall.store.interface import StoreError

BODY_BYTES_MAX: Final = 3 << 20
"""What is recorded of one body fits one record of the store, with room for what the master adds."""
BLOB_BYTES_MAX: Final = 64 << 20
LOCAL_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")

T = TypeVar("T")


def problem_response(problem: Problem, status: int) -> Response:
    return Response(msgspec.json.encode(problem), status_code=status, media_type="application/json")


class Gate:
    """Refuses what comes from another site (Host and Origin: a page in the user's browser may reach loopback), and
    bodies that are larger than any real one, before they are read."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            self._check_site(headers)
            limit = BLOB_BYTES_MAX if scope["path"].startswith("/v1/blobs/") else BODY_BYTES_MAX
            self._check_length(headers, limit)
        except UpcallError as error:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": str(error)[:120]})
                return
            await problem_response(error.problem, error.status)(scope, receive, send)
            return
        await self._app(scope, _bounded(receive, limit), send)

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


def _bounded(receive: Receive, limit: int) -> Receive:
    """Counts what really arrives, for bodies without a length."""
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise TooLarge(f"a body of more than {limit} bytes", expected=f"at most {limit} bytes")
        return message

    return counted


def install_error_handlers(app: FastAPI) -> None:
    """Every error leaves as a :class:`Problem`."""

    async def upcall_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, UpcallError)
        return problem_response(error.problem, error.status)

    async def validation_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        said = refusal(error.errors()).problem
        return problem_response(msgspec.structs.replace(said, expected=said.expected or "see /openapi.json"), 422)

    async def http_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, UpcallError):  # raised by us while the framework read the body
            return problem_response(error.__cause__.problem, error.__cause__.status)
        code = {404: "not_found", 405: "invalid"}.get(error.status_code, "invalid")
        return problem_response(Problem(code=code, message=str(error.detail)), error.status_code)

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

"""One call to the API server, and what is done with its answer.

An answer 429 says that nothing was done and how long to wait: the call is made again, whatever it is, up to a bound.
No other failure is: without an answer it is not known whether the call was carried out, and who asked knows best what
is then to be looked at. A token that is refused is asked for anew, once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import aiohttp
import msgspec

from upcall.substrate.kubernetes.client.errors import (
    ApiError,
    Forbidden,
    TooMany,
    Unauthorized,
    Unreachable,
    from_status,
)
from upcall.substrate.kubernetes.client.login import Login
from upcall.substrate.kubernetes.client.tokens import TokenError

CALL_S: Final = 60.0
CONNECT_S: Final = 10.0
THROTTLED_TRIES_MAX: Final = 10
WAIT_S: Final = 1.0
"""Where the server does not say how long."""
WAIT_MAX_S: Final = 60.0
ANSWER_BYTES_MAX: Final = 64 << 20
"""A page of a list has at most 500 objects, and an object at most 1.5 MiB; real ones have a few KiB."""
CONNECTIONS_MAX: Final = 64
"""Each watch takes one for as long as it lasts."""

JSON: Final = "application/json"
APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"


class Connection:
    """To be used as a context, in one event loop."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self.on_forbidden: Callable[[], None] = lambda: None
        self.calls = 0
        """Requests sent, those of watches too."""
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            self.login.server,
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
            headers={"User-Agent": "upcall", "Accept": JSON},
            auto_decompress=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        form: str = JSON,
        throttled: bool = False,
    ) -> Any:
        """The answer's JSON. ``throttled``: a 429 is for the caller, who means something else by it."""
        data = None if body is None else msgspec.json.encode(body)
        timeout = aiohttp.ClientTimeout(total=CALL_S, connect=CONNECT_S)
        for attempt in range(THROTTLED_TRIES_MAX):
            try:
                async with self.open(method, path, query=query, data=data, form=form, timeout=timeout) as answer:
                    said = await _all(answer)
                    return msgspec.json.decode(said) if said else None
            except TooMany as error:
                if throttled or attempt == THROTTLED_TRIES_MAX - 1:
                    raise
                await asyncio.sleep(min(error.wait_s or WAIT_S, WAIT_MAX_S))
            except msgspec.DecodeError as error:
                raise Unreachable(f"{self.login.server} does not answer as an API server does: {error}") from None
        raise AssertionError("the last try raises")

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        timeout: aiohttp.ClientTimeout,
        query: Mapping[str, str] | None = None,
        data: bytes | None = None,
        form: str = JSON,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer that is a success, its body still to be read."""
        try:
            try:
                answer = await self._ask(method, path, query, data, form, timeout, anew=False)
            except Unauthorized:
                answer = await self._ask(method, path, query, data, form, timeout, anew=True)
            try:
                yield answer
            finally:
                # What was not read to its end cannot carry another call.
                answer.close() if not answer.content.at_eof() else answer.release()
        except Forbidden:
            self.on_forbidden()
            raise
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            said = str(error) or type(error).__name__
            raise Unreachable(f"{self.login.server} does not answer: {said}") from None

    @asynccontextmanager
    async def socket(
        self, path: str, *, query: Mapping[str, str], protocol: str
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A connection that goes on, which the server hands on to a node."""
        assert self._session is not None, "used outside of its context"
        # A kubelet has no JSON to give here, and refuses who wants nothing else.
        headers = {"Accept": "*/*"}
        try:
            if token := await self.login.token(anew=False):
                headers["Authorization"] = f"Bearer {token}"
        except TokenError as error:
            raise ApiError(str(error), status=0, reason="NoToken") from None
        self.calls += 1
        try:
            found = await self._session.ws_connect(
                path, params=query, headers=headers, protocols=(protocol,), proxy=self.login.proxy,
                ssl=self.login.trust if self.login.trust is not None else True, server_hostname=self.login.server_name,
            )  # fmt: skip
        except aiohttp.WSServerHandshakeError as error:
            raise from_status(error.status, f"{path} is refused with {error.status}") from None
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{self.login.server} does not answer: {str(error) or type(error).__name__}") from None
        try:
            yield found
        finally:
            await found.close()

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        data: bytes | None,
        form: str,
        timeout: aiohttp.ClientTimeout,
        *,
        anew: bool,
    ) -> aiohttp.ClientResponse:
        assert self._session is not None, "used outside of its context"
        headers = {"Content-Type": form} if data is not None else {}
        try:
            if token := await self.login.token(anew=anew):
                headers["Authorization"] = f"Bearer {token}"
        except TokenError as error:
            raise ApiError(str(error), status=0, reason="NoToken") from None
        self.calls += 1
        answer = await self._session.request(
            method,
            path,
            params=query or None,
            data=data,
            headers=headers,
            timeout=timeout,
            ssl=self.login.trust if self.login.trust is not None else True,
            server_hostname=self.login.server_name,
            proxy=self.login.proxy,
            allow_redirects=False,
        )
        if answer.status < 300:
            return answer
        try:
            text = await _all(answer)
        finally:
            answer.release()
        raise _refusal(answer, text)


async def _all(answer: aiohttp.ClientResponse) -> bytes:
    read = bytearray()
    async for chunk in answer.content.iter_any():
        read += chunk
        if len(read) > ANSWER_BYTES_MAX:
            raise aiohttp.ClientPayloadError(f"an answer of more than {ANSWER_BYTES_MAX >> 20} MiB")
    return bytes(read)


def _refusal(answer: aiohttp.ClientResponse, text: bytes) -> ApiError:
    try:
        said: Any = msgspec.json.decode(text)
    except msgspec.DecodeError:
        said = text.decode(errors="replace").strip()
    told = answer.headers.get("Retry-After", "")
    return from_status(answer.status, said, float(told) if told.isdigit() else None)

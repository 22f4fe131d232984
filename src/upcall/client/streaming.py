"""The operator API for event loops: calls, and one event stream that many readers may share."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import aiohttp
import msgspec
from pydantic import BaseModel

from upcall.client import paths
from upcall.client.relayed import Relayed
from upcall.protocol import operator as api
from upcall.protocol.errors import NotNow, Problem, UpcallError, from_problem
from upcall.transport import dialling

CALL_TIMEOUT_S: Final = 30.0
STREAM_SILENCE_S: Final = 45.0
LINE_BYTES_MAX: Final = 1 << 20


class AsyncClient:
    """Typed calls; ``token`` may differ from call to call (a page acts as the person who is logged in)."""

    def __init__(self, master: Path, token: str, relay: Path | None = None) -> None:
        """``relay``: what leads to endpoints, where these are not of this machine's network."""
        self.master = master
        self.relayed = Relayed(relay, token) if relay is not None else None
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        if self.relayed is not None:
            self.relayed.close()
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        # Made within the loop that uses it; the size of a line is the size of an event.
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                read_bufsize=LINE_BYTES_MAX, connector=dialling.MasterConnector(self.master)
            )
        return self._session

    def _headers(self, token: str | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token if token is None else token}"}

    async def call(self, method: str, path: str, body: BaseModel | None = None, *, token: str | None = None) -> Any:
        """One request; the decoded JSON, or the error that the API named."""
        payload = None if body is None else body.model_dump()
        timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
        try:
            async with self._open().request(
                method, dialling.BASE + path, json=payload, headers=self._headers(token), timeout=timeout
            ) as response:
                text = await response.read()
                if response.status >= 400:
                    raise _error(response.status, text, f"{method} {path}")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._away(error) from None
        return msgspec.json.decode(text) if text else None

    async def status(self) -> api.Status:
        return api.Status.model_validate(await self.call("GET", "/v1/status"))

    async def operation(self, name: str) -> api.OperationView:
        return api.OperationView.model_validate(await self.call("GET", paths.of("operations", name)))

    async def credentials(self, service: str, endpoint: str) -> api.CredentialsView:
        """How a client logs in to an endpoint; empty where nobody is asked who he is."""
        path = paths.of("endpoints", service, endpoint, "credentials")
        return api.CredentialsView.model_validate(await self.call("GET", path))

    async def events(self, limit: int) -> list[api.Event]:
        return [api.Event.model_validate(one) for one in await self.call("GET", f"/v1/events?limit={limit}")]

    async def output(self, member: str, lines: int, *, token: str | None = None) -> AsyncIterator[str]:
        """What the newest task of a member writes, a line at a time: the last ``lines`` of what there is, then as it
        comes, until the task is over. :class:`NotNow` when the stream breaks."""
        path = f"{paths.of('tasks', member, 'logs')}?lines={lines}&follow=true"
        timeout = aiohttp.ClientTimeout(total=None)
        try:
            async with self._open().get(
                dialling.BASE + path, headers=self._headers(token), timeout=timeout
            ) as response:
                if response.status >= 400:
                    raise _error(response.status, await response.read(), f"GET {path}")
                async for line in response.content:
                    yield line.decode("utf-8", "replace").rstrip("\r\n")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise self._away(error) from None

    async def follow(self, since: int) -> AsyncIterator[api.Event]:
        """All events after ``since``, each step on the way too, until the stream breaks (:class:`NotNow`); a gap comes
        as an event of that kind."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=STREAM_SILENCE_S)
        headers = {**self._headers(None), "Accept": "text/event-stream"}
        try:
            async with self._open().get(
                f"{dialling.BASE}/v1/events?since={since}&follow=true&detail=true", headers=headers, timeout=timeout
            ) as response:
                if response.status >= 400:
                    raise _error(response.status, await response.read(), "GET /v1/events")
                async for line in response.content:
                    if line.startswith(b"data:"):
                        yield api.Event.model_validate_json(line[5:])
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise self._away(error) from None
        raise NotNow("the event stream ended", where=str(self.master))

    def _away(self, error: Exception) -> NotNow:
        return NotNow(f"the master does not answer: {error or type(error).__name__}", where=str(self.master))


def _error(status: int, body: bytes, request: str) -> UpcallError:
    try:
        return from_problem(msgspec.json.decode(body, type=Problem))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        kind = NotNow if status == NotNow.status else UpcallError
        return kind(f"the master answered {status}", where=request)


async def backoff(attempt: int) -> None:
    """Half a second, doubled to at most five."""
    await asyncio.sleep(min(5.0, 0.5 * 2 ** min(attempt, 5)))

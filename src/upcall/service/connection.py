"""The transport over HTTP on the master's Unix socket: requests with a token, streams as server-sent events.

The host dials out; the master never connects to it. A stream on which nothing is heard for several heartbeats is dead,
whatever TCP believes.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from upcall.protocol import service as wire
from upcall.protocol.errors import NotNow, Problem, UpcallError, from_problem
from upcall.service.link import STREAM_HEADER, MasterAway
from upcall.service.sse import EventParser
from upcall.transport import dialling

HEARTBEATS_MISSED_MAX: Final = 4
"""Silence of this many heartbeats: the stream is opened anew."""

CONNECT_TIMEOUT_S: Final = 10.0


class Connection:
    """A :class:`upcall.service.link.Transport` to a master's socket. Belongs to one event loop."""

    def __init__(self, master: Path, token: str, *, host: str = "") -> None:
        self._master = master
        self._headers = {"Authorization": f"Bearer {token}"} | ({"Upcall-Host": host} if host else {})
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def events(self, path: str) -> AsyncIterator[wire.StreamEvent]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
        silence_s = 30.0
        parser = EventParser()
        headers = {"Accept": "text/event-stream"}
        try:
            async with self._opened().get(dialling.BASE + path, timeout=timeout, headers=headers) as response:
                await _checked(response)
                while True:
                    chunk = await _read(response.content, silence_s)
                    if not chunk:
                        return
                    for event in parser.feed(chunk):
                        if isinstance(event, wire.Subscribed):
                            silence_s = max(HEARTBEATS_MISSED_MAX * event.heartbeat_s, 2.0)
                        yield event
        except TimeoutError as error:
            raise MasterAway(f"nothing heard from the master for {silence_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise MasterAway(f"the stream to the master broke: {error}") from error

    async def call(
        self, method: str, path: str, body: bytes = b"", *, stream: str = "", timeout_s: float = 30.0
    ) -> bytes:
        headers = {"Content-Type": "application/json"} if body else {}
        if stream:
            headers[STREAM_HEADER] = stream
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        try:
            request = self._opened().request(method, dialling.BASE + path, data=body, headers=headers, timeout=timeout)
            async with request as response:
                await _checked(response)
                return await response.read()
        except TimeoutError as error:
            raise NotNow(f"the master did not answer {method} {path} within {timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise MasterAway(f"{method} {path}: {error}") from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            # No proxy and no cookie: the master is reached by its socket and by nothing else.
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=dialling.MasterConnector(self._master),
            )
        return self._session


async def _read(content: aiohttp.StreamReader, silence_s: float) -> bytes:
    """What comes next. The time is waited for in parts: where this event loop stood still for longer than all of them,
    one of them is over, and then what came meanwhile is read."""
    for _ in range(HEARTBEATS_MISSED_MAX):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(silence_s / HEARTBEATS_MISSED_MAX):
                return await content.readany()
    raise TimeoutError


async def _checked(response: aiohttp.ClientResponse) -> None:
    if response.status < 400:
        return
    data = await response.read()
    try:
        raise from_problem(msgspec.json.decode(data, type=Problem))
    except msgspec.DecodeError:
        text = data[:200].decode(errors="replace").strip()
        raise UpcallError(f"the master answered {response.status}: {text}", where=str(response.url.path)) from None

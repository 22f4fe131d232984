"""The operator API for this part: calls, and that something has happened. JSON as it comes: nothing is decoded that
nobody looks at."""

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import msgspec

from upcall.kubernetes.resources.calls import Answer, Done, Refused, ToMaster
from upcall.protocol.errors import NotNow, Problem
from upcall.transport.dialling import BASE, MasterConnector

CALL_S: Final = 60.0
SILENT_S: Final = 45.0
"""The master says something each 15 s."""
LINE_BYTES_MAX: Final = 1 << 20


class Operator:
    """To be used as a context, in one event loop."""

    def __init__(self, master: Path, token: str) -> None:
        self._master, self._headers = master, {"Authorization": f"Bearer {token}"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=MasterConnector(self._master), headers=self._headers, read_bufsize=LINE_BYTES_MAX
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def answer(self, call: ToMaster) -> Answer:
        try:
            return Done(await self._call(call.method, call.path, call.body))
        except _Refusal as refusal:
            return Refused(refusal.code, refusal.message)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Refused("", f"the master does not answer: {error or type(error).__name__}")

    async def get(self, path: str) -> Any:
        """Raises :class:`NotNow` where there is no answer that says it."""
        try:
            return await self._call("GET", path, None)
        except _Refusal as refusal:
            raise NotNow(refusal.message) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NotNow(f"the master does not answer: {error or type(error).__name__}") from None

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        assert self._session is not None, "used outside of its context"
        data = None if body is None else msgspec.json.encode(body)
        headers = {} if data is None else {"Content-Type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=CALL_S)
        async with self._session.request(method, BASE + path, data=data, headers=headers, timeout=timeout) as said:
            text = await said.read()
        if said.status >= 400:
            raise _refusal(said.status, text)
        return msgspec.json.decode(text) if text else {}

    async def happened(self, since: int) -> AsyncGenerator[None, None]:
        """Once for each event after ``since``, until the stream breaks (:class:`NotNow`)."""
        assert self._session is not None, "used outside of its context"
        timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENT_S)
        url = f"{BASE}/v1/events?since={since}&follow=true&detail=true"
        try:
            async with self._session.get(url, headers={"Accept": "text/event-stream"}, timeout=timeout) as said:
                if said.status >= 400:
                    raise NotNow(f"the master answered {said.status}")
                async for line in said.content:
                    if line.startswith(b"data:"):
                        yield
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise NotNow(f"the master does not answer: {error or type(error).__name__}") from None
        raise NotNow("the event stream ended")


class _Refusal(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def _refusal(status: int, text: bytes) -> _Refusal:
    """In the sentence that the command line prints."""
    try:
        problem = msgspec.json.decode(text, type=Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Refusal("internal", f"the master answered {status}")
    return _Refusal(problem.code, str(problem))

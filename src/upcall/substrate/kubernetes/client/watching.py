"""What is there, as it changes: a list, then the changes from its version on, for as long as somebody reads.

Nothing is looked at twice. The stream carries bookmarks, so that a quiet one is not old when it ends; it is taken up
again from the last version, whether the server ended it, the network did, or it was silent for so long that somebody
must have dropped it. Only where the server has forgotten that version everything is listed again: a whole
:class:`Listed`, by which the reader sees what vanished unseen. So an event may be told twice, and may be of the past
after a :class:`Listed` of the same; it is never lost. Failures are told (:class:`Away`), and waited out.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import msgspec

from upcall.substrate.kubernetes.client.api import Api, Listing, bare, selection
from upcall.substrate.kubernetes.client.connection import CONNECT_S
from upcall.substrate.kubernetes.client.errors import ApiError, Gone, Unreachable, from_status
from upcall.substrate.kubernetes.client.kinds import Kind, Object

STREAM_S: Final = (1200, 1800)
"""After how long the server ends a stream; each another time, so that they do not all begin at once. Each new one is a
call: whoever watches ten kinds, and ends each stream after some minutes, calls more than once a minute for nothing."""
SILENT_S: Final = 150.0
"""A server sends a bookmark each minute: after twice that nobody is there."""
PAUSE_S: Final = 1.0
PAUSE_MAX_S: Final = 30.0
LINE_BYTES_MAX: Final = 8 << 20
"""An object has at most 1.5 MiB in the store; as JSON with all names it may be several times that."""


@dataclass(frozen=True)
class Listed:
    """All that is there now; what was known before and is not in it is gone."""

    objects: tuple[Object, ...]
    version: str
    """As of which: what is newer may be missing in it."""


@dataclass(frozen=True)
class Changed:
    """It is new, or other than before."""

    object: Object


@dataclass(frozen=True)
class Removed:
    object: Object
    """As it last was."""


@dataclass(frozen=True)
class Away:
    """The server cannot be heard; it is tried again and again. Told once, until :class:`Back`."""

    reason: str


@dataclass(frozen=True)
class Back:
    """It is heard again; what follows are the changes since."""


Event = Listed | Changed | Removed | Away | Back


async def watch(
    api: Api, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "", stream_s: float | None = None
) -> AsyncGenerator[Event, None]:
    """Endless. ``stream_s``: for how long one request is good, in a test."""
    version = ""
    failed = 0
    away = False
    while True:
        began_s = time.monotonic()
        wait_s = 0.0
        try:
            if not version:
                listing: Listing = await api.list(kind, namespace, labels=labels, fields=fields)
                version = listing.version
                if away:
                    away = False
                    yield Back()
                yield Listed(listing.objects, listing.version)
            async for said in _stream(api, kind, namespace, version, selection(labels, fields), stream_s):
                failed = 0
                if away:
                    away = False
                    yield Back()
                if said is None:
                    continue
                version = said["object"]["metadata"]["resourceVersion"]
                if (event := _event(kind, said)) is not None:
                    yield event
            # A server that ends streams at once would be asked without end.
            wait_s = PAUSE_S if time.monotonic() - began_s < PAUSE_S else 0.0
        except Gone:
            version = ""
            wait_s = PAUSE_S if time.monotonic() - began_s < PAUSE_S else 0.0
        except _Silent:
            pass
        except ApiError as error:
            failed += 1
            wait_s = max(error.wait_s or 0.0, min(PAUSE_S * 2 ** (failed - 1), PAUSE_MAX_S))
            if failed > 1 and not away:
                # The first failure is what each end of a server looks like; the second says that nobody is there.
                away = True
                yield Away(error.message)
        if wait_s:
            await asyncio.sleep(wait_s * random.uniform(0.8, 1.2))


class _Silent(Exception):
    pass


async def _stream(
    api: Api, kind: Kind, namespace: str, version: str, query: dict[str, str], stream_s: float | None
) -> AsyncIterator[dict[str, Any] | None]:
    """None: the server has taken it up, and nothing was said yet."""
    lasts_s = stream_s if stream_s is not None else random.uniform(*STREAM_S)
    query = query | {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(max(int(lasts_s), 1)),
    }
    timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_read=SILENT_S)
    async with api.connection.open("GET", kind.path(namespace), query=query, timeout=timeout) as answer:
        yield None
        rest = b""
        while True:
            try:
                read = await answer.content.readany()
            except aiohttp.SocketTimeoutError:
                raise _Silent from None
            if not read:
                return
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                yield _said(line)
            if len(rest) > LINE_BYTES_MAX:
                raise Unreachable(
                    f"{api.connection.login.server} sent an object of more than {LINE_BYTES_MAX >> 20} MiB"
                )


def _said(line: bytes) -> dict[str, Any]:
    try:
        said: dict[str, Any] = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise Unreachable(f"a watch said what is no JSON: {error}") from None
    if said.get("type") == "ERROR":
        raise from_status(500, said.get("object"))
    return said


def _event(kind: Kind, said: dict[str, Any]) -> Changed | Removed | None:
    if said["type"] == "BOOKMARK":
        return None
    obj = bare(kind.of(said["object"]))
    return Removed(obj) if said["type"] == "DELETED" else Changed(obj)

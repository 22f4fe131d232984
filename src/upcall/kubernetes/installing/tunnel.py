"""How a command line reaches a control plane in a cluster: a Unix socket of its own process leads there.

So every command speaks as it does to a master on this machine. Behind the socket each connection goes to the pod that
leads at that moment, through the API server, with the control plane's own certificate looked at and none else believed;
which certificate that is, and the token, stand in a Secret. Nothing secret lies on the disk of who uses it. What cannot
be reached is answered as an API of ours would, in words.
"""

import asyncio
import contextlib
import os
import ssl
import threading
import time
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from upcall.kubernetes.control_plane import identity
from upcall.kubernetes.installing.forwarding import forward
from upcall.kubernetes.installing.installing import Installing, credentials, in_words
from upcall.kubernetes.installing.objects import API_PORT, RELAY_PORT
from upcall.protocol import relay
from upcall.protocol.errors import NotNow, UpcallError
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.errors import ApiError, Unreachable
from upcall.substrate.kubernetes.client.login import Login
from upcall.transport import unix

CERTIFIED: Final = "localhost"
"""A forwarded port is on the pod's own loopback, and the certificate is made out to that."""
LEADS_S: Final = 20.0
"""Longer than a failover."""
LOOK_S: Final = 0.5


class Tunnel:
    """Open from its making on, as long as this process lives."""

    def __init__(self, login: Login, namespace: str, run: Path) -> None:
        self._login, self._namespace = login, namespace
        self.socket = run / f"tunnel-{os.getpid()}.sock"
        self.tokens: dict[str, str] = {}
        """Of each party of ours; the page has none where an older release is."""
        self.relay = run / f"relay-{os.getpid()}.sock"
        """Behind it connections are led on to endpoints (:mod:`upcall.protocol.relay`)."""
        _forget_dead(run)
        self._listeners = {API_PORT: unix.listen(self.socket), RELAY_PORT: unix.listen(self.relay)}
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="tunnel", daemon=True).start()
        self._pod = ""
        try:
            asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        except BaseException:
            self.close()
            raise

    async def _open(self) -> None:
        self._connection = Connection(self._login)
        await self._connection.__aenter__()
        self._installing = Installing(Api(self._connection), self._namespace)
        found = await credentials(Api(self._connection), self._namespace)
        tokens = {one: found.get(identity.token_key(one)).decode() for one in ("operator", "page")}
        self.tokens = {one: token for one, token in tokens.items() if token}
        self._trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._trust.minimum_version = ssl.TLSVersion.TLSv1_3
        self._trust.load_verify_locations(cadata=found.get(identity.TRUSTED).decode())
        self._servers = [
            await asyncio.start_unix_server(partial(self._taken, port), sock=listener)
            for port, listener in self._listeners.items()
        ]

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._connection.__aexit__(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        for listener in self._listeners.values():
            listener.close()
        for path in (self.socket, self.relay):
            with contextlib.suppress(OSError):
                path.unlink()

    async def _taken(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        refuse = _refuse if port == API_PORT else _refuse_relay
        try:
            unix.check_client(writer.get_extra_info("socket"))
            await self._lead_on(port, (reader, writer))
        except ApiError as error:
            await refuse(writer, in_words(error, self._login.server))
        except UpcallError as error:
            await refuse(writer, error)
        except (OSError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def _lead_on(self, port: int, near: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        until_s = time.monotonic() + LEADS_S
        while True:
            pod = self._pod or await self._installing.leader()
            try:
                if pod:
                    self._pod = pod
                    where = (self._namespace, pod)
                    await forward(self._connection, where, port, self._trust, CERTIFIED, near)
                    return
            except ApiError as error:
                # It may have led a moment ago.
                self._pod = ""
                if time.monotonic() > until_s or not (isinstance(error, Unreachable) or error.status in (404, 500)):
                    raise
            if time.monotonic() > until_s:
                why = await self._installing.why_not()
                raise NotNow(
                    f"nobody leads the control plane in namespace {self._namespace}" + (f": {why}" if why else ""),
                    where=self._login.server,
                    expected="the same call when one of its pods does",
                )
            await asyncio.sleep(LOOK_S)


async def _refuse(writer: asyncio.StreamWriter, error: UpcallError) -> None:
    body = msgspec.json.encode(error.problem)
    head = f"HTTP/1.1 {error.status} Refused\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    with contextlib.suppress(OSError):
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        await writer.drain()


async def _refuse_relay(writer: asyncio.StreamWriter, error: UpcallError) -> None:
    with contextlib.suppress(OSError):
        writer.write(relay.line(relay.Answer(problem=error.problem)))
        await writer.drain()


def _forget_dead(run: Path) -> None:
    """Of processes that were killed."""
    for path in (*run.glob("tunnel-*.sock"), *run.glob("relay-*.sock")):
        if not Path(f"/proc/{path.stem.partition('-')[2]}").exists():
            path.unlink(missing_ok=True)

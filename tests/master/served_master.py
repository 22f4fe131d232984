"""A real master on a socket, in a thread: store, cores, doors. No agents: machines are pretended by the tests."""

import asyncio
import getpass
import http.client
import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from upcall.cluster.folder import Cluster, DataFolder, write_private
from upcall.master.app import Master, knows, make
from upcall.master.substrates import Make
from upcall.protocol import agent as agent_wire
from upcall.protocol.versions import WIRE
from upcall.transport import bounds, inherited, unix
from upcall.transport.listening import Listener
from upcall.transport.server import Server as Serving

PREFIX = f"127.{130 + os.getpid() % 90}.{os.getpid() // 90 % 250}"
OWNER = getpass.getuser()
"""As the owner of the data folder he is an admin."""
PRINCIPALS = ("operator", "host", "page", "agent-node-1", "agent-node-2")


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """The master, and a client that may send anything."""

    def __init__(self, folder: Path, make_machines: Make | None = None, page_url: str = "") -> None:
        self.folder, self._make_machines = DataFolder(folder), make_machines
        self.tokens = {name: f"token-of-{name}-{'x' * 20}" for name in PRINCIPALS}
        for name, token in self.tokens.items():
            write_private(self.folder.token_file(name), token.encode())
        with socket.socket() as probe:
            probe.bind((f"{PREFIX}.1", 0))
            self.port = probe.getsockname()[1]
        self.host = f"{PREFIX}.1"
        self.url = f"http://{self.host}:{self.port}"
        self.cluster = Cluster(cluster="upcall-test", prefix=PREFIX, url=self.url, page_url=page_url)
        self.folder.save_cluster(self.cluster)
        self.master: Master
        self._made = threading.Event()
        self._server: Serving
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._made.wait(180)
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)

    def _run(self) -> None:
        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            self.master = make(self.folder, self.cluster, self._make_machines)
            known = knows(self.master)
            listeners = [
                Listener(inherited.bound(self.host, self.port), bounds.OPEN, known),
                Listener(unix.listen(self.folder.master_socket), bounds.LOCAL, known),
            ]
            self._server = Serving(self.master.app, listeners, graceful_s=5)
            self._made.set()
            await self._server.serve()

        asyncio.run(serve())

    def stop(self) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(60)
        assert not self._thread.is_alive()

    def in_loop(self, work: Any) -> Any:
        """Runs a function on the master's own thread."""

        async def call() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(30)

    # -- a client ---------------------------------------------------------------------------------------------------

    def connect(self, timeout_s: float = 180.0) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)

    def headers(self, principal: str = "operator", **more: str) -> dict[str, str]:
        token = {"Authorization": f"Bearer {self.tokens[principal]}"} if principal else {}
        return {**token, **{name.replace("_", "-"): value for name, value in more.items()}}

    def call(
        self, method: str, path: str, body: object = None, *, principal: str = "operator", **headers: str
    ) -> Answer:
        payload = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        kind = {} if isinstance(body, bytes) or body is None else {"Content-Type": "application/json"}
        connection = self.connect()
        try:
            connection.request(method, path, payload, {**kind, **self.headers(principal, **headers)})
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def stream(self, path: str, *, principal: str = "operator", **headers: str) -> "Sse":
        connection = self.connect()
        connection.request("GET", path, headers=self.headers(principal, Accept="text/event-stream", **headers))
        response = connection.getresponse()
        assert response.status == 200, response.read()
        return Sse(connection, response)


class Sse:
    """Server-sent events, one after the other."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection, self._response = connection, response

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for line in self._response:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])

    def take(self, count: int) -> list[dict[str, Any]]:
        return list(itertools.islice(iter(self), count))

    def until(self, kind: str) -> dict[str, Any]:
        return next(event for event in self if event.get("type") == kind)

    def close(self) -> None:
        # The response holds the socket too: without its end the server sees no end.
        if self._connection.sock is not None:
            self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._response.close()
        self._connection.close()


def register(node: str) -> agent_wire.Register:
    return agent_wire.Register(
        node=node, wire=WIRE, boot="boot-1", cpus=2.0, memory_mib=1024, disk_mib=10_000, attributes={"zone": "a"}
    )

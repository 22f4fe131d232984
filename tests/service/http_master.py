"""Simulated masters behind real HTTP on a socket, in real time: the service API, server-sent events, tokens, blobs."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from aiohttp import web

from upcall.protocol import service as wire
from upcall.protocol.errors import Invalid, NotFound, Unauthorised, UpcallError
from upcall.testing import SimulatedMaster
from upcall.transport import unix

TOKEN = "a-token-of-the-host"


@dataclass
class HttpMaster:
    """Several services at one address."""

    services: dict[str, SimulatedMaster] = field(default_factory=dict)
    assignments: dict[str, wire.Assignment] = field(default_factory=dict)
    packages: dict[str, wire.Package] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    refuses_ready: bool = False
    derived: dict[str, wire.DerivedReply] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._hosts: set[asyncio.Queue[wire.Assignments | wire.Derive]] = set()
        self._lives: list[asyncio.Task[None]] = []
        self._folder = tempfile.TemporaryDirectory(prefix="upcall-fake-")
        self.socket = Path(self._folder.name) / "run" / "master.sock"

    def assign(self, service: str, package: wire.Package, played: SimulatedMaster) -> None:
        if self.services.get(service) is not played:
            self.services[service] = played
            self._live(played)
        self.assignments[service] = wire.Assignment(
            service=service,
            package=package.name,
            version=package.version,
            entry=package.entry,
            source=package.source,
        )
        self.tell_hosts()

    def unassign(self, service: str) -> None:
        del self.assignments[service]
        self.tell_hosts()

    def tell_hosts(self) -> None:
        for queue in self._hosts:
            queue.put_nowait(self._assigned())

    def derive(self, question: str, package: wire.Package, options: dict[str, object]) -> None:
        """Asks the hosts what follows from goals."""
        asked = wire.Derive(
            id=question,
            package=package.name,
            version=package.version,
            entry=package.entry,
            source=package.source,
            options=options,
        )
        for queue in self._hosts:
            queue.put_nowait(asked)

    def _assigned(self) -> wire.Assignments:
        return wire.Assignments(version=1, services=tuple(self.assignments.values()))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["HttpMaster"]:
        app = web.Application(middlewares=[self._errors], client_max_size=2**26)
        app.router.add_get("/v1/host/stream", self._host_stream)
        app.router.add_post("/v1/host/ready", self._ready)
        app.router.add_post("/v1/host/derived/{question}", self._derived)
        app.router.add_put("/v1/packages/{name}/{version}", self._package)
        app.router.add_put("/v1/blobs/{digest}", self._put_blob)
        app.router.add_get("/v1/blobs/{digest}", self._get_blob)
        app.router.add_get("/v1/service/{name}/stream", self._stream)
        app.router.add_route("*", "/v1/service/{name}/{rest:.+}", self._call)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.SockSite(runner, unix.listen(self.socket)).start()
        for played in self.services.values():
            self._live(played)
        try:
            yield self
        finally:
            for life in self._lives:
                life.cancel()
            await asyncio.gather(*self._lives, return_exceptions=True)
            await runner.cleanup()

    def _live(self, played: SimulatedMaster) -> None:
        self._lives.append(asyncio.create_task(played.live()))

    @web.middleware
    async def _errors(self, request: web.Request, handler: object) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        try:
            if request.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise Unauthorised("no such token")
            return await handler(request)  # type: ignore[operator, no-any-return]
        except UpcallError as error:
            return web.Response(status=error.status, body=msgspec.json.encode(error.problem))

    async def _host_stream(self, request: web.Request) -> web.StreamResponse:
        queue: asyncio.Queue[wire.Assignments | wire.Derive] = asyncio.Queue()
        self._hosts.add(queue)
        queue.put_nowait(self._assigned())
        response = await _opened(request)
        try:
            while True:
                await response.write(_sse(await queue.get()))
        finally:
            self._hosts.discard(queue)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        played = self._played(request)
        response = await _opened(request)
        async for event in played.events(request.path):
            await response.write(_sse(event))
        return response

    async def _call(self, request: web.Request) -> web.Response:
        stream = request.headers.get("Upcall-Stream", "")
        body = await self._played(request).call(request.method, request.path, await request.read(), stream=stream)
        return web.Response(body=body)

    async def _ready(self, _: web.Request) -> web.Response:
        if self.refuses_ready:
            raise NotFound("an older master does not know this call")
        return web.Response(body=b"{}")

    async def _derived(self, request: web.Request) -> web.Response:
        self.derived[request.match_info["question"]] = msgspec.json.decode(await request.read(), type=wire.DerivedReply)
        return web.Response(body=b"{}")

    async def _package(self, request: web.Request) -> web.Response:
        package = msgspec.json.decode(await request.read(), type=wire.Package)
        missing = [digest for digest in (*package.blobs, package.source) if digest and digest not in self.blobs]
        if missing:
            raise Invalid(f"blob {missing[0]} is missing")
        self.packages[package.name] = package
        return web.Response(body=b"{}")

    async def _put_blob(self, request: web.Request) -> web.Response:
        data = await request.read()
        if hashlib.sha256(data).hexdigest() != request.match_info["digest"]:
            raise Invalid("other bytes")
        self.blobs[request.match_info["digest"]] = data
        return web.Response(body=b"{}")

    async def _get_blob(self, request: web.Request) -> web.Response:
        return web.Response(body=self.blobs[request.match_info["digest"]])

    def _played(self, request: web.Request) -> SimulatedMaster:
        name = request.match_info["name"]
        if name not in self.services:
            raise NotFound(f"no service {name!r}")
        return self.services[name]


async def _opened(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    return response


def _sse(event: wire.StreamEvent) -> bytes:
    return b"data: " + msgspec.json.encode(event) + b"\n\n"

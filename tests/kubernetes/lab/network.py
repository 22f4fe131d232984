"""What of a cluster's network the test cluster plays: names of Services, their addresses for the API server, and the
port of a pod that it forwards.

Pods are processes of this machine at loopback addresses, which the real controllers take for no endpoints of anything.
So who stands behind a Service is worked out here as they do it: its selector, and pods that are ready. Members find it
by its name (:mod:`lab.hosts`). The API server reaches it through its own way out, an HTTP proxy that it is told to take
for all that is in the cluster. It asks a node's kubelet for a port of a pod, and hands on what that says.
"""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from aiohttp import WSMsgType, web

from lab.hosts import Hosts
from lab.running import RunningNodes, running_nodes
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.kinds import SERVICE, Object
from upcall.substrate.kubernetes.client.watching import Changed, Listed, Removed, watch

CHANNELS: Final = "v4.channel.k8s.io"
CHUNK: Final = 64 << 10
NAME_S: Final = 0.2


def way_out(folder: Path) -> tuple[str, ...]:
    """Settings of the API server; whoever plays the network listens at :func:`socket_in` that folder."""
    said = {
        "apiVersion": "apiserver.k8s.io/v1beta1",
        "kind": "EgressSelectorConfiguration",
        "egressSelections": [
            {
                "name": "cluster",
                "connection": {
                    "proxyProtocol": "HTTPConnect",
                    "transport": {"uds": {"udsName": str(socket_in(folder))}},
                },
            }
        ],
    }
    file = folder / "way-out.yaml"
    file.write_text(yaml.safe_dump(said))
    return (f"--egress-selector-config-file={file}",)


def socket_in(folder: Path) -> Path:
    return folder / "way-out"


@dataclass
class Network:
    api: Api
    hosts: Hosts
    pods: Callable[[], list[Object]]
    """All that there are."""
    services: dict[str, Object] = field(default_factory=dict)

    async def follow(self) -> None:
        """Until cancelled."""
        async with contextlib.aclosing(watch(self.api, SERVICE)) as events:
            async for event in events:
                match event:
                    case Listed(objects=objects):
                        self.services = {one["metadata"]["uid"]: one for one in objects}
                    case Changed(one):
                        self.services[one["metadata"]["uid"]] = one
                    case Removed(one):
                        self.services.pop(one["metadata"]["uid"], None)
                self.name()

    def name(self) -> None:
        """Again, whenever a pod or a service has changed."""
        for one in self.services.values():
            if one["spec"].get("clusterIP") != "None" and (pod := self._behind(one)):
                self.hosts.add(f"{one['metadata']['name']}.{one['metadata']['namespace']}.svc", pod["status"]["podIP"])

    def _behind(self, service: Object) -> Object | None:
        wanted, namespace = service["spec"].get("selector") or {}, service["metadata"]["namespace"]
        for pod in self.pods():
            labels = pod["metadata"].get("labels") or {}
            if pod["metadata"]["namespace"] == namespace and wanted and wanted.items() <= labels.items() and ready(pod):
                return pod
        return None

    def _address(self, host: str, port: int) -> tuple[str, int]:
        """Behind an address of a Service, and of anything else itself."""
        for one in self.services.values():
            if one["spec"].get("clusterIP") == host and (pod := self._behind(one)):
                target = next((each["targetPort"] for each in one["spec"]["ports"] if each["port"] == port), port)
                return str(pod["status"]["podIP"]), int(target)
        return host, port

    @contextlib.asynccontextmanager
    async def let_out(self, folder: Path) -> AsyncIterator[None]:
        server = await asyncio.start_unix_server(self._connect, socket_in(folder))
        try:
            yield
        finally:
            server.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            try:
                said = (await reader.readuntil(b"\r\n\r\n")).split()
                host, _, port = said[1].decode().rpartition(":")
                far = await asyncio.open_connection(*self._address(host, int(port)))
            except OSError as error:
                writer.write(f"HTTP/1.1 502 {error.strerror}\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
                writer.close()
                return
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.gather(_carry(reader, far[1]), _carry(far[0], writer))


@contextlib.asynccontextmanager
async def networked(api: Api, count: int, folder: Path, way: Path, tls: ssl.SSLContext) -> AsyncIterator[RunningNodes]:
    """Nodes whose pods run, with all of this. ``way``: the folder of :func:`way_out`."""
    there: list[RunningNodes] = []
    async with (
        kubelet(lambda namespace, pod: there[0].address(namespace, pod), tls) as port,
        running_nodes(api, count, folder, kubelet_port=port) as nodes,
    ):
        there.append(nodes)
        network = Network(api, nodes.hosts, lambda: list(nodes.pods.values()))

        async def name() -> None:
            while True:
                await asyncio.sleep(NAME_S)
                network.name()

        async with network.let_out(way):
            beside = [asyncio.create_task(one) for one in (network.follow(), name())]
            try:
                yield nodes
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)


@contextlib.asynccontextmanager
async def kubelet(address_of: Callable[[str, str], str], tls: ssl.SSLContext) -> AsyncIterator[int]:
    """Of all nodes; gives its port. ``address_of``: a pod, by namespace and name."""

    async def forward(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Accept", "*/*") != "*/*":
            return web.Response(status=406)  # as a real one does
        socket = web.WebSocketResponse(protocols=(CHANNELS,))
        await socket.prepare(request)
        port = int(request.query["port"])
        for channel in (0, 1):
            await socket.send_bytes(bytes((channel,)) + struct.pack("<H", port))
        try:
            address = address_of(request.match_info["namespace"], request.match_info["pod"])
            reader, writer = await asyncio.open_connection(address, port)
        except (OSError, KeyError) as error:
            await socket.send_bytes(b"\x01" + str(error).encode())
            await socket.close()
            return socket

        async def back() -> None:
            while data := await reader.read(CHUNK):
                await socket.send_bytes(b"\x00" + data)
            await socket.close()

        backwards = asyncio.create_task(back())
        async for said in socket:
            if said.type == WSMsgType.BINARY and said.data[:1] == b"\x00":
                writer.write(said.data[1:])
        backwards.cancel()
        writer.close()
        return socket

    app = web.Application()
    app.router.add_get("/portForward/{namespace}/{pod}", forward)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def ready(pod: Object) -> bool:
    conditions: list[dict[str, Any]] = (pod.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()

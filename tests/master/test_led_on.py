"""Who looks at a cluster from outside is led on by its control plane to what he may log in to, at a real master: the
page to what a package says that its tab needs, and to nothing else."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from played_node import PlayedNode
from served_master import Server

from upcall.client.relayed import Relayed
from upcall.cluster import certificate
from upcall.kubernetes.control_plane.relaying import relaying
from upcall.protocol.errors import Forbidden, NotNow, UpcallError
from upcall.transport import inherited, unix
from upcall.transport.piping import pipe

NEEDS = [{"name": "store", "endpoint": "read", "page": True}]
PORTS = ("read", "admin")
LIMIT_S = 120.0


@pytest.fixture(scope="module")
def store(server: Server) -> Iterator[dict[str, str]]:
    """Addresses of a service's endpoints, of which a tab needs one."""
    server.in_loop(lambda: PlayedNode("node-1").join(server.master.core))
    for name, needs in (("kept", []), ("reader", NEEDS)):
        package = {"name": name, "version": "1", "options_schema": {"type": "object"}, "needs": needs}
        assert server.call("PUT", f"/v1/packages/{name}/1", package, principal="host").status == 200
    for name, package_name in (("store", "kept"), ("reader", "reader")):
        assert server.call("POST", "/v1/services", {"package": package_name, "name": name}).status == 200
    stream = server.stream("/v1/service/store/stream", principal="host")
    own = {"principal": "host", "Upcall-Stream": stream.until("subscribed")["stream"]}
    ports = []
    for name in PORTS:
        with inherited.bound(server.host, 0) as free:
            ports.append({"name": name, "number": free.getsockname()[1]})
    member = {"declaration": {"command": ["sleep", "1000"], "ports": ports}, "start": True}
    ends = [
        {"name": name, "port": name, "members": ["node-0"], "user": name, "secret": f"generated:store.{name}"}
        for name in PORTS
    ]
    for what, said in (
        ("members", {"members": {"node-0": member}, "policy": {"minimum": 0}}),
        ("endpoints", {"endpoints": ends}),
    ):
        answer = server.call("PUT", f"/v1/service/store/{what}", said, **own)
        assert answer.status == 200, answer.body
    yield {one["name"]: one["addresses"][0] for one in server.call("GET", "/v1/endpoints").json()}
    stream.close()


@pytest.fixture
async def through(server: Server, store: dict[str, str], tmp_path: Path) -> AsyncIterator[Path]:
    """What leads to the control plane: a forwarded port, without the API server that forwards it."""
    certificate.ensure(server.folder, server.cluster)
    with inherited.bound(server.host, 0) as free:
        port = free.getsockname()[1]
    leading = asyncio.create_task(relaying(server.folder, server.host, port))
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_verify_locations(server.folder.certificate)
    trust.check_hostname = False

    async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far = await asyncio.open_connection(server.host, port, ssl=trust)
        await pipe((reader, writer), far)

    path = tmp_path / "run" / "relay.sock"
    async with await asyncio.start_unix_server(taken, sock=unix.listen(path)):
        yield path
    leading.cancel()
    with suppress(asyncio.CancelledError):
        await leading


async def _repeats(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_the_page_reaches_what_its_tab_needs_and_nothing_else(
    server: Server, store: dict[str, str], through: Path
) -> None:
    host, _, port = store["read"].rpartition(":")
    asking = Relayed(through, server.tokens["page"])
    said = bytes(range(256)) * 4096
    async with await asyncio.start_server(_repeats, host, int(port)), asyncio.timeout(LIMIT_S):
        (socket,) = await asking.sockets("store", "read", [store["read"]])
        assert await asking.sockets("store", "read", [store["read"]]) == [socket], "one for each address"
        reader, writer = await asyncio.open_unix_connection(str(socket))
        writer.write(said)
        assert await reader.readexactly(len(said)) == said
        writer.close()
        with pytest.raises(UpcallError, match=r"the page may not log in to store\.admin"):
            await asking.sockets("store", "admin", [store["admin"]])
        for address in (f"{host}:1", "127.0.0.1:22", ""):
            with pytest.raises(Forbidden, match=r"is no address of store\.read"):
                await asking.sockets("store", "read", [address])
        with pytest.raises(Forbidden):
            await asking.sockets("store/../../services", "read", [store["read"]])
    with pytest.raises(NotNow, match="does not answer"):
        await asking.sockets("store", "read", [store["read"]])
    asking.close()
    assert not socket.parent.exists(), "nothing is left of it"


async def test_nobody_is_led_on_without_a_token_of_the_masters(
    server: Server, store: dict[str, str], through: Path
) -> None:
    for token in ("", "guessed", server.tokens["host"]):
        with pytest.raises(UpcallError):
            await Relayed(through, token).sockets("store", "read", [store["read"]])
    reader, writer = await asyncio.open_unix_connection(str(through))
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert b"it is not said to whom" in await reader.readline()
    writer.close()

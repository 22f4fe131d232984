"""TLS with small buffers carries what TLS carries, and forgets who does not come to its end."""

import contextlib
import http.client
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from test_bounds import PATIENCE_S, Served, talks, until

from upcall.cluster import certificate
from upcall.cluster.folder import Cluster, DataFolder
from upcall.transport import bounds
from upcall.transport.tls import STEP_BYTES

LARGE = 50 * STEP_BYTES + 1


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    found = DataFolder(tmp_path)
    certificate.ensure(found, Cluster(cluster="test", prefix="127.0.0", url="https://127.0.0.1:1"))
    return found


@pytest.fixture
def served(folder: DataFolder, tmp_path: Path) -> Iterator[Served]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder.certificate, folder.certificate_key)
    one = Served(tmp_path, replace(bounds.OPEN, headers_s=PATIENCE_S), context)
    yield one
    one.stop()


@pytest.fixture
def trusting(folder: DataFolder) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder.certificate))


def test_large_bodies_arrive_one_after_the_other(served: Served, trusting: ssl.SSLContext) -> None:
    host, port = served.address
    connection = http.client.HTTPSConnection(host, port, timeout=PATIENCE_S, context=trusting)
    for size in (0, 1, STEP_BYTES, LARGE):
        connection.request("POST", "/", b"x" * size, {"Authorization": "known"})
        assert connection.getresponse().read() == str(size).encode()
    connection.close()
    until(lambda: served.open.connections == 0)


def test_a_large_answer_arrives_whole_also_where_it_is_taken_slowly(served: Served, trusting: ssl.SSLContext) -> None:
    sent = bytes(range(251)) * (LARGE // 251)

    async def large(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for begin in range(0, len(sent), 100_000):
            await send({"type": "http.response.body", "body": sent[begin : begin + 100_000], "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    served.server.config.loaded_app = large
    host, port = served.address
    connection = http.client.HTTPSConnection(host, port, timeout=PATIENCE_S, context=trusting)
    connection.request("GET", "/")
    response = connection.getresponse()
    assert b"".join(iter(lambda: response.read(1000), b"")) == sent
    connection.close()


async def test_a_websocket_passes(served: Served, trusting: ssl.SSLContext) -> None:
    served.server.config.loaded_app = talks
    address = f"https://{served.address[0]}:{served.address[1]}/"
    async with aiohttp.ClientSession() as session, session.ws_connect(address, ssl=trusting) as opened:
        for size in (1, LARGE):
            await opened.send_str("y" * size)
            assert (await opened.receive(PATIENCE_S)).data == "y" * size


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n"])
@pytest.mark.parametrize("leaves", [True, False], ids=["and leaves", "and stays"])
def test_who_makes_no_handshake_is_forgotten(served: Served, said: bytes, leaves: bool) -> None:
    client = socket.create_connection(served.address, PATIENCE_S)
    client.sendall(said)
    if leaves:
        client.close()
    else:
        until(lambda: served.open.connections == 1 or said.startswith(b"GET"))
    until(lambda: served.open.connections == 0)
    client.close()


def test_who_trusts_another_certificate_is_forgotten(served: Served) -> None:
    with socket.create_connection(served.address, PATIENCE_S) as client, contextlib.suppress(ssl.SSLError):
        ssl.create_default_context().wrap_socket(client, server_hostname=served.address[0])
    until(lambda: served.open.connections == 0)
    assert served.own_call() == 200

"""What strangers cost in memory, on a real server in a process of its own: while they are there, and afterwards."""

import contextlib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from upcall.cluster import certificate
from upcall.cluster.folder import Cluster, DataFolder

SERVER = """
import asyncio, dataclasses, gc, ssl, sys
from pathlib import Path
from upcall.master import garbage
from upcall.transport import bounds, inherited
from upcall.transport.http import BoundedHttp
from upcall.transport.limits import one_heap
from upcall.transport.listening import Listener
from upcall.transport.server import Server
from upcall.transport.tls import SmallTls

FILE = bytes(1 << 20)

async def app(scope, receive, send):
    if scope["path"] == "/file":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for begin in range(0, len(FILE), 65536):
            await send({"type": "http.response.body", "body": FILE[begin : begin + 65536], "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    while scope["path"] == "/unread":
        if (await receive())["type"] == "http.disconnect":
            return
    await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})

def pss_kib():
    return next(line.split()[1] for line in open("/proc/self/smaps_rollup") if line.startswith("Pss:"))

async def main():
    context = None
    if sys.argv[1:]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*sys.argv[1:])
    listening = inherited.bound("127.0.0.1", 0)
    patient = dataclasses.replace(bounds.OPEN, headers_s=3600.0, unknown_body_s=3600.0)
    listener = Listener(listening, patient, lambda headers: False, context)
    server = Server(app, [listener], graceful_s=1)
    server.config.lifespan = "off"
    serving = asyncio.ensure_future(server.beside())
    while not server.started:
        await asyncio.sleep(0.01)
    garbage.look_seldom()
    gc.disable()
    print(listening.getsockname()[1], flush=True)
    while asked := await asyncio.to_thread(sys.stdin.readline):
        if asked.strip() == "memory":
            print(pss_kib(), flush=True)
        else:
            left = sum(isinstance(one, (BoundedHttp, SmallTls)) for one in gc.get_objects())
            print(listener.connections + left, flush=True)

one_heap()
try:
    import uvloop
except ImportError:
    asyncio.run(main())
else:
    uvloop.run(main())
"""
"""On the loop that our servers have."""
STRANGERS = 64
"""As many as may be there at once (:data:`upcall.transport.bounds.OPEN`)."""
EACH_KIB_MAX = 400
"""What a request says and what waits behind it, and what TLS and the socket hold of both ways."""
PATIENCE_S = 180.0
PIPELINED = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000
FLOODS = {
    "a large body": b"POST /unread HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n" + bytes(400_000),
    "requests": PIPELINED * 10,
    "requests behind one that is not over": b"GET /unread HTTP/1.1\r\nHost: localhost\r\n\r\n" + PIPELINED * 10,
    "large requests behind one that is not over": b"GET /unread HTTP/1.1\r\nHost: localhost\r\n\r\n"
    + (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 60_000 + b"\r\n\r\n") * 15,
    "small headers": b"POST /unread HTTP/1.1\r\nContent-Length: 9\r\n"
    + b"".join(b"x%d:\r\n" % number for number in range(6000))
    + b"\r\n",
    "answers that nobody takes": b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n" * 4,
}


class Served:
    def __init__(self, process: "subprocess.Popen[str]", port: int, authority: Path | None) -> None:
        self._process, self._address = process, ("127.0.0.1", port)
        self._context = None if authority is None else ssl.create_default_context(cafile=str(authority))

    def connect(self) -> socket.socket:
        client = self.connect_only()
        if self._context is None:
            return client
        return self._context.wrap_socket(client, server_hostname=self._address[0])

    def connect_only(self) -> socket.socket:
        return socket.create_connection(self._address, PATIENCE_S)

    def memory_kib(self) -> int:
        return self._ask("memory")

    def left(self) -> int:
        """Connections that it counts, and protocols of connections that are still in its memory."""
        return self._ask("left")

    def _ask(self, what: str) -> int:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{what}\n")
        stdin.flush()
        return int(stdout.readline())


@pytest.fixture(scope="module", params=["plain", "tls"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    authority, words = None, [sys.executable, "-c", SERVER]
    if request.param == "tls":
        folder = DataFolder(tmp_path_factory.mktemp("data"))
        certificate.ensure(folder, Cluster(cluster="test", prefix="127.0.0", url="https://127.0.0.1:1"))
        authority = folder.certificate
        words += [str(authority), str(folder.certificate_key)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Served(process, int(process.stdout.readline()), authority)
        finally:
            process.kill()


def send_what_goes(client: socket.socket, data: bytes) -> None:
    """Until it is refused, or nobody takes more of it."""
    client.settimeout(0.2)
    with contextlib.suppress(OSError, ssl.SSLError):
        client.sendall(data)


@pytest.mark.parametrize("flood", FLOODS)
def test_as_many_strangers_as_may_be_there_cost_little_and_leave_nothing(server: Served, flood: str) -> None:
    """Python's search for garbage, for which a master seldom has time, is switched off here."""
    with server.connect() as first:
        send_what_goes(first, FLOODS["requests"])  # what is loaded with the first one is nobody's cost
    before_kib, most_kib = server.memory_kib(), 0
    strangers = []
    for _ in range(STRANGERS):
        strangers.append(server.connect())
        send_what_goes(strangers[-1], FLOODS[flood])
        most_kib = max(most_kib, server.memory_kib())
    assert most_kib - before_kib < STRANGERS * EACH_KIB_MAX
    for one in strangers:
        one.close()
    if "behind" in flood:  # Where enough waits already nobody reads, and learns that he has gone: others push him out.
        for one in [server.connect() for _ in range(STRANGERS)]:
            one.close()
    until(lambda: server.left() == 0)


@pytest.mark.parametrize(
    "said", [b"", b"\x16\x03\x01\x02\x00\x01", b"no HTTP\r\n\r\n"], ids=["nothing", "half of it", "else"]
)
def test_who_does_not_even_begin_leaves_nothing(server: Served, said: bytes) -> None:
    """More than may be there at once, so that some are pushed out, and others go by themselves."""
    strangers = []
    for _ in range(2 * STRANGERS):
        strangers.append(server.connect_only())
        send_what_goes(strangers[-1], said)
    for one in strangers:
        one.close()
    until(lambda: server.left() == 0)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)

"""Floods of another user, each for a while, and what the owner feels meanwhile: his own calls, and the memory."""

import contextlib
import resource
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.attempts import Address, Target, reach
from benchmarks.strangers import Stranger
from upcall.client.blocking import Client

SECONDS: Final = 6.0
"""Of each flood."""
CALL_EVERY_S: Final = 0.02
MEMORY_EVERY_S: Final = 0.2
THREADS: Final = 8
FILE: Final = b"/static-offline-docs/swagger-ui-bundle.js"
"""Of a public package; the largest that nobody has to log in for."""


def endless_headers(on: Target, seconds: float) -> str:
    """150 MiB of headers on one connection, on each address."""

    def one(address: Address, tls: bool) -> None:
        with reach(address, tls=tls) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
            for number in range(2400):
                client.sendall(b"X-%d: " % number + b"y" * 65_000 + b"\r\n")

    return _again(on, seconds, one)


def slow_bodies(on: Target, seconds: float) -> str:
    """Large bodies that are never finished, from many at once."""

    def one(address: Address, tls: bool) -> None:
        with reach(address, tls=tls) as client:
            client.sendall(b"POST /v1/services HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n")
            for _ in range(45):
                client.sendall(b" " * 65_000)
            time.sleep(1)

    return _again(on, seconds, one, threads=150)


def chunks(on: Target, seconds: float) -> str:
    def one(address: Address, tls: bool) -> None:
        with reach(address, tls=tls) as client:
            client.sendall(b"POST /v1/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(1000):
                client.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")

    return _again(on, seconds, one)


def idle_connections(on: Target, seconds: float) -> str:
    """As many as his descriptors allow, opened as fast as he can."""
    kept: list[socket.socket] = []

    def one(address: Address, tls: bool) -> None:
        client = socket.socket()
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect(address)
        kept.append(client)

    try:
        return _again(on, seconds, one, threads=2)
    finally:
        for client in kept:
            client.close()


def half_handshakes(on: Target, seconds: float) -> str:
    def one(address: Address, tls: bool) -> None:
        with socket.create_connection(address, 2) as client:
            client.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            client.settimeout(0.2)
            client.recv(1)

    return _again(on, seconds, one, threads=32)


def handshakes(on: Target, seconds: float) -> str:
    def one(address: Address, tls: bool) -> None:
        reach(address, tls=tls).close()

    return _again(on, seconds, one)


def pipelined(on: Target, seconds: float) -> str:
    def one(address: Address, tls: bool) -> None:
        with reach(address, tls=tls) as client:
            for _ in range(200):
                client.sendall(b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)

    return _again(on, seconds, one)


def unread_answers(on: Target, seconds: float) -> str:
    """Files that anybody may have, asked for again and again, and never taken."""

    def one(address: Address, tls: bool) -> None:
        with reach(address, tls=tls) as client:
            client.sendall((b"GET " + FILE + b" HTTP/1.1\r\nHost: localhost\r\n\r\n") * 4)
            time.sleep(1)

    return _again(on, seconds, one, threads=150)


def small_headers(on: Target, seconds: float) -> str:
    """As many as fit, of a request whose body does not come: each costs more than its bytes."""
    headers = b"".join(b"x%d:\r\n" % number for number in range(6000))

    def one(address: Address, tls: bool) -> None:
        with reach(address, tls=tls) as client:
            client.sendall(b"POST /docs/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n" + headers + b"\r\n")
            time.sleep(1)

    return _again(on, seconds, one, threads=150)


FLOODS: Final = (
    endless_headers,
    slow_bodies,
    chunks,
    idle_connections,
    half_handshakes,
    handshakes,
    pipelined,
    unread_answers,
    small_headers,
)


def _again(on: Target, seconds: float, one: Callable[[Address, bool], None], threads: int = THREADS) -> str:
    """``one`` again and again against both addresses, by several at a time. Gives nothing: a flood gets nothing."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    until = time.monotonic() + seconds

    def run(number: int) -> None:
        address, tls = ((on.api, True), (on.page, False))[number % 2]
        while time.monotonic() < until:
            try:
                one(address, tls)
            except (OSError, ssl.SSLError):
                time.sleep(0.001)

    running = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(max(0.0, until - time.monotonic()) + 1.0)
    return ""


class Felt:
    """The owner's own calls and the memory of what is flooded, while the block runs."""

    def __init__(self, client: Client, processes: list[int]) -> None:
        self._client, self._processes = client, processes
        self.calls_s: list[float] = []
        self.failed: list[str] = []
        self.memory_mib: list[float] = [self._memory()]
        self._over = threading.Event()

    def __enter__(self) -> "Felt":
        self._threads = [threading.Thread(target=one) for one in (self._call, self._weigh)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        while not self._over.wait(CALL_EVERY_S):
            began = time.monotonic()
            try:
                self._client.call("GET", "/v1/status")
            except Exception as error:
                self.failed.append(str(error))
            self.calls_s.append(time.monotonic() - began)

    def _weigh(self) -> None:
        while not self._over.wait(MEMORY_EVERY_S):
            self.memory_mib.append(self._memory())

    def _memory(self) -> float:
        return sum(_pss_mib(process) for process in self._processes)

    def growth_mib(self) -> float:
        return max(self.memory_mib) - self.memory_mib[0]


def _pss_mib(process: int) -> float:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def play(on: Target, felt: Felt, told: Callable[[str], None]) -> int:
    for flood in FLOODS:
        began = len(felt.calls_s)
        Stranger(flood, on, SECONDS).got(SECONDS + 30)
        slowest = max(felt.calls_s[began:], default=0.0)
        told(
            f"{flood.__name__.replace('_', ' ')}: own calls at most {1000 * slowest:.0f} ms, "
            f"memory at most {felt.growth_mib():.1f} MiB more"
        )
    return len(FLOODS)


def percentile_ms(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * part))], 1) if ordered else 0.0

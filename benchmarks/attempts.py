"""What another user of the machine tries. Each attempt gives what it got: an empty text when it got nothing.

They run in a process of his (:mod:`benchmarks.strangers`), against the running cluster; what is public there (the
addresses, the version) is no success.
"""

import base64
import fcntl
import os
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TIMEOUT_S: Final = 5.0
Address = tuple[str, int]


@dataclass(frozen=True)
class Target:
    data: str
    api: Address
    page: Address
    members: list[Address]


Attempt = Callable[[Target], str]

SECRET_FILES: Final = (
    "secrets/operator.token", "secrets/page.token", "secrets/host.token", "secrets/api.key", "cluster.json",
    "secrets/access.json", "master/upcall.sqlite", "keeper/spec.json", "logs/agent-node-1.log",
)  # fmt: skip
LOCKS: Final = ("up.lock", "keeper/lock", "master/upcall.sqlite.lock")
SOCKETS: Final = ("run/master.sock", "keeper/keeper.sock", "nodes/node-1/launcher.sock")
CALLS: Final = (
    ("GET", "/v1/status"), ("GET", "/v1/events"), ("GET", "/v1/secrets"), ("PUT", "/v1/secrets/x"),
    ("POST", "/v1/services"), ("POST", "/v1/shutdown"), ("POST", "/v1/login-codes"), ("GET", "/metrics"),
    ("GET", "/openapi.json"), ("GET", "/docs"), ("GET", "/redoc"), ("PUT", "/v1/packages/x/1"), ("GET", "/v1/access"),
    ("GET", "/v1/host/stream"), ("GET", "/v1/service/hello/stream"), ("GET", "/v1/agent/blobs/" + "0" * 64),
)  # fmt: skip


def not_there(data: Path) -> list[str]:
    """What is attacked below the data folder and is called otherwise today: to get nothing of it would say nothing."""
    return [name for name in (*SECRET_FILES, *LOCKS, *SOCKETS) if not (data / name).exists()]


# -- files and processes ----------------------------------------------------------------------------------------------


def lists_the_data_folder(on: Target) -> str:
    try:
        return ", ".join(path.name for path in Path(on.data).iterdir())
    except PermissionError:
        return ""


def reads_what_is_secret(on: Target) -> str:
    return ", ".join(name for name in SECRET_FILES if _readable(Path(on.data, name)))


def takes_our_locks(on: Target) -> str:
    got = []
    for name in LOCKS:
        try:
            descriptor = os.open(Path(on.data, name), os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            got.append(name)
        except OSError:
            continue
    return ", ".join(got)


def connects_to_our_sockets(on: Target) -> str:
    got = []
    for name in SOCKETS:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(Path(on.data, name)))
                got.append(name)
            except OSError:
                continue
    return ", ".join(got)


def finds_tokens_in_proc(_: Target) -> str:
    """Our command lines name files; environments are not his to read."""
    got = []
    for process in Path("/proc").glob("[0-9]*"):
        words = _read(process / "cmdline").replace(b"\0", b" ")
        if b"upcall" not in words:
            continue
        if b"code=" in words or b"Bearer" in words:
            got.append(f"a secret in the command line of {process.name}")
        if process.stat().st_uid != os.geteuid() and _read(process / "environ"):
            got.append(f"the environment of {process.name}")
        if process.stat().st_uid != os.geteuid() and _listed(process / "fd"):
            got.append(f"the open files of {process.name}")
    return ", ".join(got)


def signals_our_processes(_: Target) -> str:
    got = []
    for process in Path("/proc").glob("[0-9]*"):
        if b"upcall" in _read(process / "cmdline") and process.stat().st_uid != os.geteuid():
            try:
                os.kill(int(process.name), 0)
                got.append(process.name)
            except OSError:
                continue
    return ", ".join(got)


def reads_files_that_we_left_for_all(on: Target) -> str:
    """In the shared temporary folders."""
    return ", ".join(
        str(path)
        for folder in ("/tmp", "/dev/shm", "/var/tmp")
        for path in Path(folder).glob("upcall*")
        if path.is_dir() and path not in Path(on.data).parents and _listed(path)
    )


# -- addresses ------------------------------------------------------------------------------------------------------


def takes_our_addresses(on: Target) -> str:
    return _takes(on)


def takes_our_addresses_while_we_restart(on: Target, seconds: float) -> str:
    """Again and again, while somebody kills what listens there."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if got := _takes(on):
            return got
        time.sleep(0.002)
    return ""


def _takes(on: Target) -> str:
    for address in (on.api, on.page):
        for host in (address[0], "0.0.0.0", "127.0.0.1"):
            for option in (0, socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                with socket.socket() as listener:
                    try:
                        if option:
                            listener.setsockopt(socket.SOL_SOCKET, option, 1)
                        listener.bind((host, address[1]))
                        listener.listen()
                    except OSError:
                        continue
                    # Another address of the same port is his to take; ours would be heard by him.
                    if _hears(listener, address):
                        return f"{address[0]}:{address[1]} by {host}"
    return ""


def _hears(listener: socket.socket, address: Address) -> bool:
    try:
        with socket.create_connection(address, 0.2):
            listener.settimeout(0.05)
            listener.accept()[0].close()
            return True
    except OSError:
        return False


# -- calls ------------------------------------------------------------------------------------------------------------


def calls_without_a_token(on: Target) -> str:
    return _let_in(on, ((method, path, {}) for method, path in CALLS))


def calls_with_tokens_that_are_none(on: Target) -> str:
    said = ["Bearer", "Bearer ", "bearer x", "Basic " + base64.b64encode(b"operator:").decode(), "Bearer operator",
            f"Bearer {secrets.token_urlsafe(32)}", "Bearer \x00", "Bearer " + "x" * 60_000]  # fmt: skip
    return _let_in(on, (("GET", "/v1/status", {"Authorization": one}) for one in said))


def calls_as_a_page_of_another_site(on: Target) -> str:
    return _let_in(
        on, (("GET", "/v1/status", {"Host": host}) for host in ("evil.example", "[::1", "", "localhost.evil.example"))
    )


def guesses_login_codes(on: Target) -> str:
    for code in ("", "x", "0", secrets.token_urlsafe(24), '"', "\\ud800"):
        body = f'{{"code": "{code}"}}'.encode()
        said = _http(on.api, "POST", "/v1/login", {"Content-Type": "application/json"}, body, tls=True)
        if b'"token"' in said:
            return f"a session by the code {code!r}"
        said = _http(
            on.page, "POST", "/login", {"Content-Type": "application/x-www-form-urlencoded"}, f"code={code}".encode()
        )
        if b"set-cookie: upcall_session=" in said.lower():
            return f"a page by the code {code!r}"
    return ""


def opens_an_agents_connection(on: Target) -> str:
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode()}  # fmt: skip
    got = []
    if b" 101 " in _http(on.api, "GET", "/v1/agent", headers, tls=True)[:20]:
        got.append("an agent's connection")
    for path in ("/_nicegui_ws/socket.io/?EIO=4&transport=websocket", "/_nicegui_ws/"):
        if b" 101 " in _http(on.page, "GET", path, headers)[:20]:
            got.append(f"the page's {path}")
    return ", ".join(got)


def looks_at_the_page(on: Target) -> str:
    got = []
    for path in ("/", "/docs", "/openapi.json", "/_nicegui/client/x", "/flight"):
        for more in (
            {},
            {"Cookie": "upcall_session=x"},
            {"Cookie": "upcall_session="},
            {"Host": "[::1"},
            {"Host": "evil.example"},
        ):
            if _http(on.page, "GET", path, more)[9:12] == b"200":
                got.append(path)
    return ", ".join(got)


def smuggles_a_second_request(on: Target) -> str:
    """Two lengths, or a length and chunks: two servers in a row would disagree on where the first request ends."""
    said = (
        b"POST /v1/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    return "an answer with the state" if b'"nodes"' in _raw(on.api, said, tls=True) else ""


def _let_in(on: Target, calls: Iterator[tuple[str, str, dict[str, str]]]) -> str:
    got = []
    for method, path, headers in calls:
        answer = _http(on.api, method, path, headers, b"{}" if method in ("POST", "PUT") else b"", tls=True)
        if answer[9:10] in (b"2", b"5"):
            got.append(f"{method} {path}: {answer[9:12].decode()}")
        # In clear on the same address: nothing may answer.
        if _http(on.api, method, path, headers)[9:10] == b"2":
            got.append(f"{method} {path} in clear")
    return ", ".join(got)


ATTEMPTS: Final[tuple[Attempt, ...]] = (
    lists_the_data_folder,
    reads_what_is_secret,
    takes_our_locks,
    connects_to_our_sockets,
    finds_tokens_in_proc,
    signals_our_processes,
    reads_files_that_we_left_for_all,
    takes_our_addresses,
    calls_without_a_token,
    calls_with_tokens_that_are_none,
    calls_as_a_page_of_another_site,
    guesses_login_codes,
    opens_an_agents_connection,
    looks_at_the_page,
    smuggles_a_second_request,
)


# -- after `down` ---------------------------------------------------------------------------------------------------


def listens_where_we_did(on: Target, seconds: float) -> list[str]:
    """All that anybody says to him there."""
    heard: list[str] = []
    listeners = []
    for address in (on.api, on.page):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError:
            continue
        listener.listen()
        listener.settimeout(0.1)
        listeners.append(listener)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for listener in listeners:
            try:
                client = listener.accept()[0]
            except OSError:
                continue
            with client:
                client.settimeout(0.5)
                try:
                    heard.append(client.recv(65536).decode("latin-1"))
                    client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                    heard.append(client.recv(65536).decode("latin-1"))
                except OSError:
                    continue
    return heard


# -- wire -----------------------------------------------------------------------------------------------------------


def reach(address: Address, *, tls: bool) -> socket.socket:
    plain = socket.create_connection(address, TIMEOUT_S)
    if not tls:
        return plain
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        return context.wrap_socket(plain)
    except BaseException:
        plain.close()
        raise


def _raw(address: Address, said: bytes, *, tls: bool) -> bytes:
    """What is answered within the time; nothing where the connection is ended."""
    heard = b""
    try:
        with reach(address, tls=tls) as client:
            client.sendall(said)
            while part := client.recv(65536):
                heard += part
                if len(heard) > 1 << 20 or b" 101 " in heard[:20]:
                    break
    except OSError:
        pass
    return heard


def _http(
    address: Address, method: str, path: str, headers: dict[str, str], body: bytes = b"", *, tls: bool = False
) -> bytes:
    known = {"Host": f"{address[0]}:{address[1]}", "Connection": "close", "Content-Length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in known.items())
    return _raw(address, f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body, tls=tls)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _readable(path: Path) -> bool:
    return bool(_read(path))


def _listed(path: Path) -> list[str]:
    try:
        return [one.name for one in path.iterdir()]
    except OSError:
        return []

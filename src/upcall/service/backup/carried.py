"""Files of a member, read and written by its service's host: the other end of :mod:`upcall.service.backup.carrier`.

The host does not see a member's volumes. So a tool runs beside the member, with its rights, and the two speak by a
socket at the member's own address, as the host speaks with every member.
"""

import asyncio
import contextlib
import hmac
import json
import secrets
import socket
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from importlib.resources import files
from typing import Any, Final, NamedTuple

from upcall.protocol.errors import NotNow
from upcall.service.backup.carrier import PIECE, proof
from upcall.service.backup.writing import BackupInto
from upcall.service.member import Member

PORTS: Final = range(20_000, 28_000)
"""Below those that a kernel gives to who connects: a caller on loopback could be given the very port that it calls, and
would have called itself."""
CONNECT_S: Final = 30.0
SILENT_S: Final = 120.0
CARRIER: Final = "what carries the files"
LONGEST_S: Final = 3600.0
"""A tool ends by then; who has more to carry opens another one."""


class CutOff(NotNow):
    """What carries the files has gone in the middle: with its agent, or by itself."""


class Found(NamedTuple):
    name: str
    size: int
    changed_ns: int


class Files:
    """Blocking. One request after the other."""

    def __init__(self, line: socket.socket, where: str) -> None:
        self._line, self._where = line, where
        self._reading = line.makefile("rb")

    def list(self, pattern: str) -> list[Found]:
        """What matches a glob, by its name below the folder."""
        return [Found(*each) for each in self._asked({"list": pattern})]

    def get(self, name: str) -> Iterator[bytes]:
        """The contents, in pieces; all of them have to be taken."""
        self._send(_line({"get": name}))
        left = int.from_bytes(self._some(8), "big")
        while left:
            piece = self._some(min(left, PIECE))
            left -= len(piece)
            yield piece

    def put(self, name: str, size: int, pieces: Iterable[bytes]) -> None:
        self._send(_line({"put": name, "size": size}))
        for piece in pieces:
            self._send(piece)
        self._answer()

    def drop(self, name: str) -> None:
        """A folder with all that is in it."""
        self._asked({"drop": name})

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._reading.close()
            self._line.close()

    def _asked(self, request: dict[str, Any]) -> Any:
        self._send(_line(request))
        return self._answer()

    def _answer(self) -> Any:
        with self._cut_off():
            data = self._reading.readline()
        if not data.endswith(b"\n"):
            raise CutOff(f"{CARRIER} has ended", where=self._where)
        return json.loads(data)

    def _some(self, count: int) -> bytes:
        with self._cut_off():
            data = self._reading.read(count)
        if len(data) < count:
            raise CutOff(f"{CARRIER} has ended", where=self._where)
        return data

    def _send(self, data: bytes) -> None:
        with self._cut_off():
            self._line.sendall(data)

    @contextlib.contextmanager
    def _cut_off(self) -> Iterator[None]:
        """Whatever the line says, it is gone: it belongs to this one carrier."""
        try:
            yield
        except OSError as error:
            raise CutOff(f"{CARRIER} is not heard any more: {error}", where=self._where) from error


def copy_out(into: BackupInto, files: Files, found: Found, name: str) -> None:
    """The file as a part of this name; one that an earlier backup has as it is now is not read again."""
    about = {"size": found.size, "changed_ns": found.changed_ns}
    known = into.known.get(name)
    if known is not None and known.about == about:
        into.keep(name)
    else:
        into.add(name, files.get(found.name), about)


@contextlib.asynccontextmanager
async def files_of(member: Member, root: str) -> AsyncIterator[Files]:
    """The files below ``root`` (``{{volume.data}}``) as the member sees them."""
    key, port = secrets.token_hex(32), secrets.choice(PORTS)
    given = {"address": member.address, "port": port, "key": key, "root": "."}
    source = (files(__package__) / "carrier.py").read_text()
    command = ("{{python}}", "-c", f"import os, sys; os.chdir(sys.argv[1]); {_quoted(source)}", root)
    tool = asyncio.ensure_future(member.run(command, timeout_s=LONGEST_S, input=json.dumps(given) + "\n"))
    try:
        found = await asyncio.to_thread(_connected, tool, member.address, port, key)
    except BaseException:
        tool.cancel()
        with contextlib.suppress(BaseException):
            await tool
        raise
    try:
        yield found
    finally:
        found.close()
        with contextlib.suppress(Exception):  # It ended with the line; how, is of no interest any more.
            await asyncio.wait_for(tool, CONNECT_S)


def _connected(tool: "asyncio.Future[Any]", address: str, port: int, key: str) -> Files:
    until_s = time.monotonic() + CONNECT_S
    while True:
        try:
            line = socket.create_connection((address, port), CONNECT_S)
            break
        except OSError as error:
            if tool.done() or time.monotonic() > until_s:
                why = tool.exception() if tool.done() and not tool.cancelled() else error
                raise NotNow(f"{CARRIER} does not answer: {why}", where=address) from error
        time.sleep(0.1)
    line.settimeout(SILENT_S)
    try:
        nonce = line.recv(33, socket.MSG_WAITALL).decode().strip()
        line.sendall(proof(key, nonce, "host"))
        proved = hmac.compare_digest(line.recv(64, socket.MSG_WAITALL), proof(key, nonce, "member"))
    except OSError as error:
        line.close()
        raise CutOff(f"{CARRIER} is not heard any more: {error}", where=address) from error
    if not proved:
        line.close()
        raise NotNow(f"somebody else answers in place of {CARRIER}", where=address)
    return Files(line, address)


def _quoted(source: str) -> str:
    """As one expression: a command's words are templates, in which braces would be names."""
    return f"exec(bytes.fromhex('{source.encode().hex()}').decode())"


def _line(request: dict[str, Any]) -> bytes:
    return json.dumps(request).encode() + b"\n"

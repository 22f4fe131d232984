"""What a tab of the page asks of a package's own store, from outside of the cluster: led on through the API server."""

import asyncio
from pathlib import Path

import pytest
from evicting import LIMIT_S
from lab import hosts
from laptop import Laptop, leader
from laptop_fixtures import laptop, plane, running

from upcall.cli import elsewhere
from upcall.client.streaming import AsyncClient
from upcall.cluster.folder import DataFolder
from upcall.protocol.errors import UpcallError
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.kinds import POD

__all__ = ["laptop", "plane", "running"]
WHY_NOT = hosts.missing()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
STORE = '''"""A store of one word, which is told to nobody but its clients."""

import upcall.service as up

PROGRAM = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"the word")
    def log_message(self, *words):
        pass
address, port = sys.argv[1].rsplit(":", 1)
http.server.ThreadingHTTPServer((address, int(port)), Answer).serve_forever()
"""


class Store(up.Service):
    def pods(self):
        ends = [up.Endpoint(name, "http", user=name, secret=self.own_secret(name)) for name in ("read", "write")]
        return [up.Pod("one", count=1, endpoints=ends)]

    def task(self, member):
        return up.Declaration(
            command=("{{python}}", "-u", "program.py", "{{address}}:{{port.http}}"),
            files=(up.File(path="program.py", text=PROGRAM, verbatim=True),),
            ports=(up.Port(name="http", number=8080),),
            ready=up.Check(http="http/"),
        )
'''
SHOWN = '''"""Whose tab reads the store."""

import upcall.service as up


class Shown(up.Service):
    store = up.Need("store", endpoint="write", page="read")

    def pods(self):
        return [up.Pod("one", count=1)]

    def task(self, member):
        return up.Declaration(command=("sleep", "100000"))
'''


async def _read(socket: Path) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(socket))
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_the_page_reaches_the_store_that_a_tab_shows_and_what_nobody_else_does_is_refused(
    laptop: Laptop, api: Api, namespace: str, tmp_path: Path
) -> None:
    await laptop.up()
    for name, text in (("store", STORE), ("shown", SHOWN)):
        file = tmp_path / f"{name}.py"
        file.write_text(text)
        await laptop.upcall("install", str(file))
    await laptop.task("store.one-0", lambda one: one["state"] == "ready", "it is ready")
    there = await asyncio.to_thread(elsewhere.on("kubernetes", DataFolder(laptop.data)).reach)
    address = f"one-0.store.{namespace}.svc:8080"
    async with AsyncClient(there.master, there.tokens["page"], there.relay) as client, asyncio.timeout(LIMIT_S):
        assert client.relayed is not None
        (socket,) = await client.relayed.sockets("store", "read", [address])
        assert (await _read(socket)).endswith(b"the word")
        with pytest.raises(UpcallError, match=r"the page may not log in to store\.write"):
            await client.relayed.sockets("store", "write", [address])
        with pytest.raises(UpcallError, match=r"is no address of store\.read"):
            await client.relayed.sockets("store", "read", [f"upcall-master.{namespace}.svc:7444"])

        # Another leads from now on: who connects anew is led on by it.
        was = await leader(api, namespace)
        await api.delete(POD, was["metadata"]["name"], namespace, grace_s=0)
        await leader(api, namespace, was["metadata"]["uid"])
        said = b""
        while not said:
            said = await _read(socket)
        assert said.endswith(b"the word")
    await laptop.upcall("down")

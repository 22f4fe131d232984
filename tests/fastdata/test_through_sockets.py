"""A real store is read through a socket that leads to it, by who cannot reach the addresses that it says of itself."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cassandra.connection import UnixSocketEndPoint
from one_node import OneNode

from upcall.fastdata.keyspace import KEYSPACE
from upcall.fastdata.queries import Queries
from upcall.fastdata.schema import connect, create
from upcall.transport.piping import pipe

pytestmark = [pytest.mark.real, pytest.mark.long]

HOST = f"127.89.{os.getpid() % 250}.1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OneNode]:
    node = OneNode(HOST, tmp_path / "node")
    node.start()
    try:
        cluster = node.wait()
        create(cluster.connect())
        cluster.shutdown()
        yield node
    finally:
        node.kill()


class Leading:
    """Two sockets that lead to the same node, as those of two members would to two; in a thread of its own."""

    def __init__(self, folder: Path, far: str) -> None:
        self.paths = [folder / "0", folder / "1"]
        self.taken = 0
        self._far, self._ready = far, threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._lead()), daemon=True).start()
        assert self._ready.wait(60)

    async def _lead(self) -> None:
        for path in self.paths:
            await asyncio.start_unix_server(self._taken, path)
        self._ready.set()
        await asyncio.Event().wait()

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        await pipe((reader, writer), await asyncio.open_connection(self._far, 9042))


async def test_its_tables_are_asked_and_nobody_goes_to_an_address_of_its_own(store: OneNode, tmp_path: Path) -> None:
    leading = Leading(tmp_path, store.host)
    cluster = await asyncio.to_thread(connect, leading.paths, 0)
    try:
        session = await asyncio.to_thread(cluster.connect, KEYSPACE)
        assert await Queries(session).runs() == [], "its tables are there, and no flight is"
        asked = [host.endpoint for host in session.get_pool_state()]
        assert leading.taken > 1
        assert asked
        assert all(isinstance(one, UnixSocketEndPoint) for one in asked), asked
    finally:
        await asyncio.to_thread(cluster.shutdown)

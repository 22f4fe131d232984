"""Nodes that leave: their agent ends first, however long that takes."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from conftest import Server, register

from upcall.keeper import sockets
from upcall.master import machines
from upcall.protocol import agent as wire


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path / "data")
    yield found
    found.stop()


async def until(holds: Callable[[], bool]) -> None:
    def wait() -> None:
        end = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < end
            time.sleep(0.02)

    await asyncio.to_thread(wait)


def keeper(path: Path, asked: list[dict[str, object]]) -> None:
    """One that does what it is asked, once."""
    listener = sockets.listen(str(path))
    listener.setblocking(True)
    client, _ = listener.accept()
    with listener, client:
        asked.append(json.loads(client.recv(65536)))
        client.sendall(b'{"ok": true}\n')


async def test_a_node_is_not_gone_before_its_agent_has_ended(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "REMOVE_RETRY_S", 0.05)
    token = server.folder.token_file("agent-node-1")
    headers = {"Authorization": f"Bearer {server.tokens['agent-node-1']}"}

    def words() -> list[str]:
        events = server.call("GET", "/v1/events?detail=true").json()
        return [each["text"] for each in events if each["subject"] == "node-1"]

    def nodes() -> list[str]:
        return [each["name"] for each in server.call("GET", "/v1/nodes").json()]

    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{server.url}/v1/agent", headers=headers) as agent,
    ):
        await agent.send_str(wire.encode(register("node-1")).decode())
        assert (await agent.receive_json(timeout=30))["type"] == "registered"
        asked: list[dict[str, object]] = []
        server.folder.keeper_socket.parent.mkdir(exist_ok=True)
        removed = await asyncio.to_thread(server.call, "POST", "/v1/nodes/node-1/remove", {"reason": "because"})
        assert removed.status == 200, removed.body
        await until(lambda: any("its agent cannot be ended" in text for text in words()))
        assert token.exists(), "an agent that runs on has a token, or it would run on for nobody"
        assert nodes() == ["node-1"]
        thread = threading.Thread(target=keeper, args=(server.folder.keeper_socket, asked), daemon=True)
        thread.start()
        await until(lambda: not token.exists() and nodes() == [])
        thread.join(60)
        assert [(each["do"], each["name"]) for each in asked] == [("remove", "agent-node-1")]
        told = [text for text in words() if "its agent cannot be ended" in text]
        assert len(told) <= 2, "said once for each reason, not at each try"

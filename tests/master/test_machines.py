"""Nodes that leave: their agent ends first, however long that takes."""

import asyncio
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from served_master import Server, register

from upcall.cluster import machine
from upcall.cluster.folder import Cluster, DataFolder
from upcall.keeper import sockets
from upcall.local.keeper import Keeper
from upcall.local.nodes import Nodes
from upcall.master import leaving
from upcall.protocol import agent as wire
from upcall.protocol.errors import DoesNotFit, Invalid
from upcall.protocol.operator import AddNode


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path / "data")
    yield found
    found.stop()


async def until(holds: Callable[[], bool]) -> None:
    def wait() -> None:
        end = time.monotonic() + 180
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
    monkeypatch.setattr(leaving, "RETRY_S", 0.05)
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
        assert (await agent.receive_json(timeout=180))["type"] == "registered"
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
        operation = removed.json()["id"]
        await until(lambda: server.call("GET", f"/v1/operations/{operation}").json()["state"] == "lifted")
        assert server.call("GET", "/v1/operations").json() == [], "nothing stands of a node that is gone"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"name": "a/b"}, "not a node's name: 'a/b'"),
        ({"name": "../../evil"}, "not a node's name: '../../evil'"),
        ({"name": "-rf"}, "not a node's name: '-rf'"),
        ({"name": "node-9\n"}, "not a node's name"),
        ({"zone": "x y"}, "not a zone: 'x y'"),
        ({"zone": "../x"}, "not a zone: '../x'"),
        ({"attributes": {"a=b": "c"}}, "not an attribute's name: 'a=b'"),
        ({"attributes": {"a": "b\x00"}}, "not a value of attribute a"),
        ({"attributes": {"zone": "b"}}, "the zone is no attribute"),
    ],
)
def test_a_node_that_cannot_be_is_refused_with_nothing_written(
    server: Server, asked: dict[str, object], said: str
) -> None:
    before = files(server)
    refused = server.call("POST", "/v1/nodes", asked)
    assert refused.status == 422, refused.body
    assert said in refused.json()["message"]
    assert refused.json()["expected"]
    assert files(server) == before


def files(server: Server) -> dict[str, bytes]:
    """All that is written of nodes and tokens, and what lies beside the data folder."""
    root = server.folder.root
    found = [server.folder.cluster_file, *root.glob("secrets/**/*"), *root.parent.glob("*.token")]
    return {str(path): path.read_bytes() for path in found if path.is_file()}


def test_a_node_whose_agent_cannot_be_kept_leaves_nothing_behind(server: Server) -> None:
    before = files(server)
    refused = server.call("POST", "/v1/nodes", {"name": "node-9", "memory_mib": 256})  # there is no keeper here
    assert (refused.status, refused.json()["code"]) == (503, "not_now")
    assert files(server) == before
    texts = [each["text"] for each in server.call("GET", "/v1/events?detail=true").json()]
    assert not any("added by" in text for text in texts)


def test_a_node_that_does_not_fit_this_machine_is_refused(server: Server) -> None:
    beyond = machine.memory_mib()
    refused = server.call("POST", "/v1/nodes", {"memory_mib": beyond})
    assert (refused.status, refused.json()["code"]) == (409, "does_not_fit")
    assert f"a node of {beyond} MiB does not fit" in refused.json()["message"]
    assert refused.json()["expected"] == f"at most {beyond - machine.SPARE_MIB} MiB"


def test_parts_are_compared_with_what_the_other_nodes_have() -> None:
    machine.check_part(2048, [2048, 2048], 7168, "memory_mib")
    with pytest.raises(DoesNotFit, match=r"2 nodes have 4096 MiB.*7000 MiB, of which 1024 .*expected at most 1880 MiB"):
        machine.check_part(2048, [2048, 2048], 7000, "memory_mib")
    with pytest.raises(DoesNotFit, match="expected another node to be removed first"):
        machine.check_part(2048, [2048, 2048, 2048], 7168, "memory_mib")
    with pytest.raises(Invalid, match="expected 256 MiB or more"):
        machine.check_part(1, [], 7168, "memory_mib")


async def test_two_nodes_at_once_get_two_names(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    kept, admitted = list[object](), list[str]()

    class Kept(Keeper):
        async def add(self, process: dict[str, object]) -> None:
            kept.append(process["name"])

    class Admits:
        def admit(self, party: str) -> None:
            admitted.append(party)

    cluster = Cluster(cluster="c", prefix="127.9.9", url="http://127.9.9.1:1")
    made = Nodes(folder, cluster, Kept(tmp_path), Admits(), lambda: 100_000)  # type: ignore[arg-type]

    async def before(name: str) -> None:
        await asyncio.sleep(0.01)

    names = await asyncio.gather(*(made.add(AddNode(memory_mib=256), before) for _ in range(2)))
    assert sorted(names) == ["node-1", "node-2"]
    assert sorted(map(str, kept)) == sorted(admitted) == ["agent-node-1", "agent-node-2"]


async def test_a_removal_that_still_stands_of_a_node_that_is_gone_ends_at_the_next_start(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As an older master left it: the node forgotten, its removal in effect for ever."""
    headers = {"Authorization": f"Bearer {server.tokens['agent-node-1']}"}
    with monkeypatch.context() as older:
        older.setattr(leaving, "_close", lambda tx, node: None)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{server.url}/v1/agent", headers=headers) as agent,
        ):
            await agent.send_str(wire.encode(register("node-1")).decode())
            assert (await agent.receive_json(timeout=180))["type"] == "registered"
            server.folder.keeper_socket.parent.mkdir(exist_ok=True)
            thread = threading.Thread(target=keeper, args=(server.folder.keeper_socket, []), daemon=True)
            thread.start()
            await asyncio.to_thread(server.call, "POST", "/v1/nodes/node-1/remove", {"reason": "because"})
            await until(lambda: server.call("GET", "/v1/nodes").json() == [])
            thread.join(60)
    assert [each["state"] for each in server.call("GET", "/v1/operations").json()] == ["done"]
    copy = tmp_path / "copy"
    shutil.copytree(server.folder.root, copy, ignore=shutil.ignore_patterns("keeper", "run"))
    again = Server(copy)
    try:
        assert again.call("GET", "/v1/operations").json() == []
    finally:
        await asyncio.to_thread(again.stop)

"""A commit or a turn that failed: the records are read anew, and who is connected feels no more than a question."""

import asyncio
import json
import time

import aiohttp
import pytest
from served_master import Server, register

from upcall.protocol import agent as wire
from upcall.store.interface import CommitFailed


async def until_again(agent: aiohttp.ClientWebSocketResponse) -> list[str]:
    """What the master says up to its question, and after the answer to it."""
    said: list[str] = []
    async with asyncio.timeout(180):
        while "synced" not in said[said.index("register_again") :] if "register_again" in said else True:
            said.append((await agent.receive_json())["type"])
            if said[-1] == "register_again":
                await agent.send_str(wire.encode(register("node-1")).decode())
    return said


@pytest.mark.parametrize("failure", ["a commit", "a turn"])
async def test_a_reload_drops_nobodys_connection_and_invents_no_sleep(
    server: Server, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    headers = {"Authorization": f"Bearer {server.tokens['agent-node-1']}"}
    events = await asyncio.to_thread(lambda: server.call("GET", "/v1/events?limit=1").json())
    since = events[-1]["sequence"] if events else 0
    hosts = await asyncio.to_thread(server.stream, "/v1/host/stream", principal="host")
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{server.url}/v1/agent", headers=headers) as agent,
    ):
        await agent.send_str(wire.encode(register("node-1")).decode())
        async with asyncio.timeout(180):
            while (await agent.receive_json())["type"] != "synced":
                pass
        core = server.master.core
        commit = core.store.commit

        def fails_once(changes: object) -> int:
            monkeypatch.setattr(core.store, "commit", commit)
            raise CommitFailed("nothing was written: the disk is full")

        def breaks(_: object) -> None:
            raise ZeroDivisionError

        def break_it() -> None:
            if failure == "a turn":
                with pytest.raises(ZeroDivisionError):
                    core.turn(breaks)
            else:
                monkeypatch.setattr(core.store, "commit", fails_once)
                core.post(lambda tx: tx.event("node", "node-1", "this is never recorded"))

        await asyncio.to_thread(server.in_loop, break_it)
        assert "register_again" in await until_again(agent)
        assert not agent.closed
        assignments = await asyncio.to_thread(hosts.until, "assignments")
        assert assignments["services"] == []
        nodes = await asyncio.to_thread(lambda: server.call("GET", "/v1/nodes").json())
        assert [one["state"] for one in nodes] == ["up"]
        told = await asyncio.to_thread(lambda: server.call("GET", f"/v1/events?since={since}&detail=true").json())
        texts = [one["text"] for one in told]
        assert not [text for text in texts if "slept" in text or "disconnected" in text or "never recorded" in text]
        assert any("started" in text for text in texts)
    hosts.close()
    await asyncio.to_thread(until_agent_has_left, server, since)


def until_agent_has_left(server: Server, since: int) -> None:
    """Else the next test, on the same server, hears of it."""
    end = time.monotonic() + 180
    while not any("disconnected" in one["text"] for one in server.call("GET", f"/v1/events?since={since}").json()):
        assert time.monotonic() < end, "the agent's end was not noticed"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("method", "path", "body", "where"),
    [
        ("POST", "/v1/services", {"package": "x", "options": {"a": [1, {"b": "\ud800"}]}}, "options.a[1].b"),
        ("POST", "/v1/services", {"package": "\udfff"}, "package"),
        ("POST", "/v1/services", {"package": "x", "options": {"\ud800": 1}}, "options.\\ud800"),
        ("POST", "/v1/services/x/actions/y", {"name": "\udcff"}, "name"),
        ("POST", "/v1/nodes/x/drain", {"reason": "a\ud800b"}, "reason"),
        ("PUT", "/v1/secrets/a", {"value": "\ud800"}, "value"),
        ("PUT", "/v1/service/x/members", {"version": "\ud800"}, "version"),
        ("PUT", "/v1/packages/a/1", {"name": "\ud800"}, "name"),
    ],
)
def test_half_a_surrogate_pair_is_refused_where_it_arrives(
    server: Server, method: str, path: str, body: object, where: str
) -> None:
    answer = server.call(method, path, body, principal="operator")
    found = answer.json()
    assert (answer.status, found["code"], found["where"]) == (400, "malformed", where)
    assert server.call("GET", "/v1/status").status == 200


def test_whole_characters_beyond_the_first_65536_are_text(server: Server) -> None:
    assert server.call("PUT", "/v1/secrets/smile", {"value": "\U0001f600"}).status == 200
    assert json.dumps("\U0001f600") == '"\\ud83d\\ude00"'


@pytest.mark.parametrize("message", ['{"type": "status", "number": 1, "status": {"task": "\\ud800"}}'])
async def test_an_agent_that_says_half_a_pair_is_shown_the_door(server: Server, message: str) -> None:
    headers = {"Authorization": f"Bearer {server.tokens['agent-node-1']}"}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{server.url}/v1/agent", headers=headers) as agent,
    ):
        await agent.send_str(wire.encode(register("node-1")).decode())
        await agent.send_str(message)
        async with asyncio.timeout(180):
            while (received := await agent.receive()).type == aiohttp.WSMsgType.TEXT:
                pass
        assert received.data == 1008

"""Who may do what: tokens, roles, sites, sizes. Everything refused leaves as one problem in words."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from served_master import Server, register

from upcall.master.http import BODY_BYTES_MAX
from upcall.protocol import agent as wire
from upcall.store.interface import CommitFailed


def problem(answer: object, status: int, code: str) -> dict[str, str]:
    assert (answer.status, answer.json()["code"]) == (status, code), (answer.status, answer.body)  # type: ignore[attr-defined]
    return answer.json()  # type: ignore[attr-defined,no-any-return]


def every_call(server: Server) -> list[tuple[str, str]]:
    paths = server.call("GET", "/openapi.json").json()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def test_no_call_works_without_a_token_from_loopback_too(server: Server) -> None:
    calls = every_call(server)
    assert len(calls) > 40
    for method, path in calls:
        body: dict[str, Any] | None = {} if method in ("POST", "PUT") else None
        answer = server.call(method, path.replace("{", "").replace("}", ""), body, principal="")
        problem(answer, 401, "unauthorised")


@pytest.mark.parametrize("principal", ["host", "agent-node-1"])
def test_what_belongs_to_people_is_forbidden_to_hosts_and_agents(server: Server, principal: str) -> None:
    for method, path, body in [
        ("GET", "/v1/status", None),
        ("GET", "/v1/events", None),
        ("GET", "/v1/secrets", None),
        ("PUT", "/v1/secrets/a", {"value": "x"}),
        ("POST", "/v1/services", {"package": "x"}),
        ("POST", "/v1/shutdown", {}),
        ("POST", "/v1/login-codes", None),
        ("GET", "/metrics", None),
    ]:
        found = problem(server.call(method, path, body, principal=principal), 403, "forbidden")
        assert found["message"] == f"{principal} may not do this"


def test_what_belongs_to_hosts_is_forbidden_to_agents(server: Server) -> None:
    for method, path in [
        ("PUT", "/v1/packages/a/1"),
        ("GET", "/v1/service/a/stream"),
        ("PUT", "/v1/blobs/" + "0" * 64),
    ]:
        problem(server.call(method, path, b"{}", principal="agent-node-1"), 403, "forbidden")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Host", "evil.example"),
        ("Host", "evil.example:80"),
        ("Host", ""),
        ("Origin", "http://evil.example"),
        ("Origin", "null"),
        ("Origin", "http://127.0.0.1.evil.example:5050"),
    ],
)
def test_another_sites_page_reaches_nothing_even_with_a_token(server: Server, header: str, value: str) -> None:
    assert problem(server.call("GET", "/v1/status", **{header: value}), 403, "forbidden")["where"] == header
    assert problem(server.call("GET", "/docs", principal="", **{header: value}), 403, "forbidden")


def test_our_own_page_may_call(server: Server) -> None:
    assert server.call("GET", "/v1/status", Origin=f"http://{server.host}:5080").status == 200
    assert server.call("GET", "/v1/status", Host="localhost:5050").status == 200


# -- malformed and oversized ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/services", b"{"),
        ("POST", "/v1/services", b"\xff\xfe"),
        ("POST", "/v1/services", b"[]"),
        ("POST", "/v1/services", b'{"package": 5}'),
        ("POST", "/v1/services", b'{"package": "a", "surprise": 1}'),
        ("POST", "/v1/nodes/x/drain", b'{"window_s": -1}'),
        ("POST", "/v1/nodes/x/drain", b'{"window_s": "NaN"}'),
        ("POST", "/v1/tasks/x/explode", b"{}"),
        ("GET", "/v1/events?since=x", None),
        ("GET", "/v1/events?limit=0", None),
        ("PUT", "/v1/packages/a/1", b"{"),
        ("PUT", "/v1/packages/a/1", b'{"name": "b", "version": "1"}'),
        ("PUT", "/v1/packages/a/1", b'{"name": "a", "version": "1", "blobs": ["none"]}'),
        ("PUT", "/v1/blobs/" + "0" * 64, b"other"),
        ("PUT", "/v1/secrets/..%2Fa", b'{"value": "x"}'),
        ("POST", "/v1/nodes/x/drain", b'{"window_s": 1e999}'),
        ("GET", "/v1/events?since=%C2%B2", None),
    ],
)
def test_a_malformed_call_is_refused_in_words(server: Server, method: str, path: str, body: bytes | None) -> None:
    answer = server.call(method, path, body, **{"Content-Type": "application/json"})
    assert answer.status in (404, 422), (answer.status, answer.body)
    assert answer.json()["message"]


def test_a_body_that_is_too_large_is_refused_before_it_is_read(server: Server) -> None:
    connection = server.connect()
    connection.putrequest("POST", "/v1/services")
    for name, value in server.headers(Content_Length=str(BODY_BYTES_MAX + 1)).items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["code"]) == (413, "too_large")
    connection.close()


@pytest.mark.parametrize("path", ["/v1/services", "/v1/packages/a/1"])
def test_a_body_without_a_length_is_counted(server: Server, path: str) -> None:
    connection = server.connect()
    part = b" " * (1 << 20)
    method = "POST" if path == "/v1/services" else "PUT"
    connection.request(
        method, path, iter([part] * 6), {**server.headers(), "Content-Type": "application/json"}, encode_chunked=True
    )
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["code"]) == (413, "too_large")
    connection.close()


@pytest.mark.parametrize("number", ["\xb2", "9" * 5000, "-1", "1.5", "x"])
def test_what_looks_like_a_number_and_is_none_is_refused_in_words(server: Server, number: str) -> None:
    """Superscripts are digits to ``str.isdigit`` and none to ``int``, which does not take thousands of them either."""
    answer = server.call("GET", "/v1/events", Last_Event_ID=number)
    assert problem(answer, 422, "invalid")["where"] == "Last-Event-ID"


def test_a_mistake_of_ours_is_a_problem_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(server.master.core.state.packages, "all", fails)
    found = problem(server.call("GET", "/v1/packages"), 500, "internal")
    assert (found["message"], found["where"]) == ("a mistake of the master: ZeroDivisionError", "GET /v1/packages")


def test_a_store_that_cannot_be_written_says_not_now(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(data: bytes, sha256: str) -> str:
        raise CommitFailed("nothing was written: the disk is full")

    monkeypatch.setattr(server.master.core.store, "put_blob", fails)
    found = problem(server.call("PUT", "/v1/blobs/" + "0" * 64, b"x", principal="host"), 503, "not_now")
    assert "the disk is full" in found["message"]


@pytest.mark.parametrize("length", ["-1", "many", "\xb2", "99999999999999999999"])
def test_a_length_that_is_none_is_refused(server: Server, length: str) -> None:
    connection = server.connect()
    connection.putrequest("POST", "/v1/services")
    for name, value in server.headers(Content_Length=length).items():
        connection.putheader(name, value)
    connection.endheaders()
    assert 400 <= connection.getresponse().status < 500
    connection.close()


def test_a_path_that_is_none_and_a_wrong_method_are_problems_too(server: Server) -> None:
    problem(server.call("GET", "/v1/nothing"), 404, "not_found")
    problem(server.call("DELETE", "/v1/status"), 405, "invalid")


# -- the agents' door -----------------------------------------------------------------------------------------------


async def closed_with(server: Server, token: str, *messages: str | bytes, **headers: str) -> str:
    """The reason with which the master closes an agent's connection."""
    sent = {"Authorization": f"Bearer {token}", **headers}
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{server.url}/v1/agent", headers=sent) as socket:
        for message in messages:
            await (socket.send_bytes(message) if isinstance(message, bytes) else socket.send_str(message))
        async with asyncio.timeout(180):
            while (received := await socket.receive()).type == aiohttp.WSMsgType.TEXT:
                pass
        assert received.type == aiohttp.WSMsgType.CLOSE, received
        assert received.data == 1008
        return str(received.extra)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}])
async def test_an_agent_without_a_token_is_not_let_in(server: Server, headers: dict[str, str]) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"{server.url}/v1/agent", headers=headers)
    assert refused.value.status == 403


async def test_a_page_of_another_site_opens_no_agents_connection(server: Server) -> None:
    token = server.tokens["agent-node-1"]
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(
                f"{server.url}/v1/agent",
                headers={"Authorization": f"Bearer {token}", "Origin": "http://evil.example"},
            )


async def test_an_agent_speaks_for_its_own_node_alone(server: Server) -> None:
    said = wire.encode(register("node-2")).decode()
    assert "agent-node-1 may not speak for node-2" in await closed_with(server, server.tokens["agent-node-1"], said)
    assert "may not speak" in await closed_with(server, server.tokens["operator"], said)
    assert server.call("GET", "/v1/nodes").json() == []


async def test_an_agent_that_talks_nonsense_is_shown_the_door(server: Server) -> None:
    token = server.tokens["agent-node-1"]
    assert "no registration" in await closed_with(server, token, "{}")
    assert "no registration" in await closed_with(server, token, "\x00garbage")
    said = wire.encode(register("node-1")).decode()
    assert "cannot be read" in await closed_with(server, token, said, '{"type": "from the future"')


async def test_an_agent_that_sends_bytes_is_told_that_it_is_text_that_is_read(server: Server) -> None:
    token = server.tokens["agent-node-1"]
    said = wire.encode(register("node-1"))
    assert "a binary message cannot be read" in await closed_with(server, token, said)
    assert "a binary message cannot be read" in await closed_with(server, token, said.decode(), b"\x00\xff")

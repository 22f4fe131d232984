"""``/v1/volumes``: what members have left on nodes is listed and given up by a person, and what is in use is not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served_master import OWNER, Server, Sse

from upcall.kernel.kernel import LIVENESS_S
from upcall.operations import inputs as given
from upcall.protocol import agent as wire

PACKAGE = {"name": "memo", "version": "1", "options_schema": {"type": "object", "properties": {}}}
MEMBER = {"declaration": {"command": ["sleep", "1000"], "volumes": [{"name": "data", "size_mib": 10}]}}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path / "data")
    register(found, "node-1")
    yield found
    found.stop()


def register(server: Server, node: str, *volumes: tuple[str, int]) -> None:
    """The node's agent says what it is and has."""
    there = tuple(wire.VolumeStatus(member_id=member, name="data", fence=number) for member, number in volumes)
    message = wire.Register(
        node=node, wire=1, boot="b", cpus=2, memory_mib=2000, disk_mib=10_000, attributes={"zone": "a"}, volumes=there
    )
    substrate: Any = server.master.core.substrate
    server.in_loop(lambda: server.master.core.post(lambda tx: tx.substrate(substrate.agent(node, message, tx.now_s))))


def installed(server: Server, *, start: bool = False) -> None:
    """``memo.m-0``, with a place and volumes there."""
    assert server.call("PUT", "/v1/packages/memo/1", PACKAGE, principal="host").status == 200
    assert server.call("POST", "/v1/services", {"package": "memo"}).status == 200
    events: Sse = server.stream("/v1/service/memo/stream", principal="host")
    named = {"Upcall-Stream": events.until("subscribed")["stream"]}
    body = {"members": {"m-0": {**MEMBER, "start": start}}, "policy": {"minimum": 0}}
    answer = server.call("PUT", "/v1/service/memo/members", body, principal="host", **named)
    assert answer.status == 200, answer.body
    events.close()


def uninstalled(server: Server) -> None:
    gone = server.call("POST", "/v1/services/memo/uninstall", {"reason": "because", "force": True})
    assert gone.status == 200, gone.body


def listed(server: Server) -> dict[str, str]:
    return {one["name"]: one["state"] for one in server.call("GET", "/v1/volumes").json()}


def drop(server: Server, name: str, reason: str = "") -> tuple[int, Any]:
    answer = server.call("POST", f"/v1/volumes/{name}/drop", {"reason": reason})
    return answer.status, answer.json()


def refusal(server: Server, name: str) -> tuple[int, str]:
    status, said = drop(server, name)
    return status, said["message"]


def said(server: Server) -> list[str]:
    events = server.call("GET", "/v1/events?limit=100").json()
    return [f"{one['subject']}: {one['text']}" for one in events if one["kind"] == "volumes"]


def test_what_nobody_knows_is_listed_and_dropped_and_who_did_it_is_on_record(server: Server) -> None:
    register(server, "node-1", ("old.m", 2), ("old.m", 3))
    assert listed(server) == {"old.m:2@node-1": "aside", "old.m:3@node-1": "aside"}
    status, found = drop(server, "old.m:3@node-1", "of last year")
    assert (status, found["state"]) == (200, "deleting")
    assert said(server)[-1] == f"old.m: volumes data of old.m on node-1 are dropped by {OWNER}: of last year"
    assert drop(server, "old.m:3@node-1")[0] == 200, "said twice, it is the same"
    register(server, "node-1", ("old.m", 2))
    assert listed(server) == {"old.m:2@node-1": "aside"}


def test_what_is_in_use_is_not_dropped(server: Server) -> None:
    installed(server)
    assert listed(server) == {"memo.m-0:1@node-1": "in use"}
    status, words = refusal(server, "memo.m-0:1@node-1")
    assert (status, words) == (409, "memo.m-0:1@node-1 is in use: it is of memo.m-0's present place")


def test_a_name_that_there_is_not_is_refused_with_the_nearest(server: Server) -> None:
    register(server, "node-1", ("old.m", 2))
    status, words = refusal(server, "old.m:2@node-7")
    assert status == 404
    assert "old.m:2@node-1" in words


def test_what_an_uninstall_keeps_is_taken_back_and_once_dropped_it_is_not(server: Server) -> None:
    installed(server)
    uninstalled(server)
    (kept,) = server.call("GET", "/v1/volumes").json()
    assert (kept["name"], kept["state"], kept["size_mib"]) == ("memo.m-0:1@node-1", "kept", 10)
    assert kept["until"] > 0
    installed(server)
    assert listed(server) == {"memo.m-0:1@node-1": "in use"}
    uninstalled(server)
    assert drop(server, "memo.m-0:1@node-1")[0] == 200
    installed(server)
    assert listed(server) == {"memo.m-0:1@node-1": "deleting", "memo.m-0:2@node-1": "in use"}
    (member,) = server.in_loop(lambda: server.master.core.state.ledger.members("memo"))
    assert (member.taken_back, member.role) == (False, "founding"), "its service is told the same"


def test_on_a_silent_node_they_go_when_it_answers_and_with_a_node_that_is_gone_they_went(server: Server) -> None:
    register(server, "node-2", ("old.m", 2), ("old.m", 3))
    substrate: Any = server.master.core.substrate
    server.in_loop(lambda: server.master.core.post(lambda tx: tx.substrate(substrate.tick(tx.now_s + LIVENESS_S + 1))))
    status, found = drop(server, "old.m:2@node-2")
    assert (status, found["state"], found["node_state"] != "up") == (200, "deleting", True)
    server.in_loop(lambda: server.master.core.post(lambda tx: tx.substrate(substrate.node_removed("node-2", tx.now_s))))
    assert refusal(server, "old.m:3@node-2") == (409, "node-2 is gone, and what was there with it")


def test_a_viewer_sees_them_and_drops_none(server: Server) -> None:
    register(server, "node-1", ("old.m", 2))
    granted = server.call("POST", "/v1/access", {"name": "vera", "role": "viewer", "valid_s": 3600}).json()
    server.tokens["vera"] = granted["token"]
    assert server.call("GET", "/v1/volumes", principal="vera").status == 200
    assert server.call("POST", "/v1/volumes/old.m:2@node-1/drop", {}, principal="vera").status == 403
    assert listed(server) == {"old.m:2@node-1": "aside"}


def taken_back(server: Server, name: str, *, force: bool = False) -> tuple[int, Any]:
    body = {"reason": "it has all", "force": force}
    answer = server.call("POST", f"/v1/volumes/{name}/take-back", body)
    return answer.status, answer.json()


def test_what_was_set_aside_is_taken_back_by_an_operation_on_its_member(server: Server) -> None:
    installed(server, start=True)
    register(server, "node-2")
    assert server.call("POST", "/v1/tasks/memo.m-0/replace", {"reason": "disk", "force": True}).status == 200
    ended(server, 1)
    assert listed(server) == {"memo.m-0:1@node-1": "aside", "memo.m-0:2@node-2": "in use"}
    status, operation = taken_back(server, "memo.m-0:1@node-1", force=True)
    assert (status, operation["kind"], operation["asked_by"]) == (200, "replace", OWNER)
    ended(server, 2)
    assert listed(server) == {"memo.m-0:1@node-1": "in use", "memo.m-0:2@node-2": "aside"}
    (member,) = server.in_loop(lambda: server.master.core.state.ledger.members("memo"))
    assert (member.taken_back, member.incarnation, member.place) == (True, 3, 3)


def test_only_what_is_set_aside_at_a_node_that_answers_and_of_a_member_is_taken_back(server: Server) -> None:
    register(server, "node-1", ("old.m", 2))
    assert taken_back(server, "old.m:2@node-1")[0] == 404, "there is no such service"
    installed(server)
    status, said = taken_back(server, "memo.m-0:1@node-1")
    assert (status, said["message"]) == (409, "memo.m-0:1@node-1 is in use")
    uninstalled(server)
    status, said = taken_back(server, "memo.m-0:1@node-1")
    assert (status, said["message"]) == (
        409,
        "memo.m-0:1@node-1 is kept; an install of the same package takes them back",
    )


def ended(server: Server, incarnation: int) -> None:
    """The agent says that the task is no more."""
    gone = given.TaskObserved(
        service="memo", member="m-0", incarnation=incarnation, state="ended", node="", reason="it was told to"
    )
    server.in_loop(lambda: server.master.core.post(lambda tx: tx.ledger(gone)))

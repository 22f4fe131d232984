"""What people ask of services, at the real master: on record from question to result, and asked at most once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from served_master import OWNER, Server, Sse

PACKAGE = {"name": "log", "version": "1", "actions": [{"name": "repair"}]}


class Code:
    """The code of a service, as far as actions go."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.events: Sse = server.stream("/v1/service/log/stream", principal="host")
        self.id = self.events.until("subscribed")["stream"]

    def call(self, what: str, body: object) -> int:
        headers = {"Upcall-Stream": self.id}
        return self.server.call("POST", f"/v1/service/log/{what}", body, principal="host", **headers).status


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path / "data")
    assert found.call("PUT", "/v1/packages/log/1", PACKAGE, principal="host").status == 200
    assert found.call("POST", "/v1/services", {"package": "log", "name": "log"}).status == 200
    yield found
    found.stop()


@pytest.fixture
def code(server: Server) -> Iterator[Code]:
    found = Code(server)
    yield found
    found.events.close()


def begin(server: Server) -> dict[str, Any]:
    begun = server.call("POST", "/v1/services/log/actions/repair/begin", {"keyspace": "a"})
    assert begun.status == 200, begun.body
    return dict(begun.json())


def looked_at(server: Server, action: str, wait_s: float = 0) -> dict[str, Any]:
    return dict(server.call("GET", f"/v1/actions/{action}?wait_s={wait_s}").json())


def test_it_is_begun_at_once_tells_its_progress_and_keeps_its_result(server: Server, code: Code) -> None:
    begun = begin(server)
    assert begun["state"] == "running"
    asked = code.events.until("action")
    assert (asked["id"], asked["arguments"]) == (begun["id"], {"keyspace": "a"})
    assert code.call(f"progress/{begun['id']}", {"text": "1 of 3", "share": 0.3}) == 200
    assert (looked_at(server, begun["id"])["progress"], looked_at(server, begun["id"])["share"]) == ("1 of 3", 0.3)
    assert code.call(f"replies/{begun['id']}", {"ok": True, "result": {"repaired": 3}}) == 200
    found = looked_at(server, begun["id"], wait_s=20)
    assert (found["state"], found["result"]) == ("done", {"repaired": 3})
    assert [one["id"] for one in server.call("GET", "/v1/services/log/actions").json()] == [begun["id"]]
    assert [record.key for record in server.master.core.store.load("action")] == [begun["id"]]


def test_what_was_not_answered_is_shown_again_and_never_asked_twice(server: Server, code: Code) -> None:
    begun = begin(server)
    assert not code.events.until("action")["again"]
    newer = Code(server)
    asked = newer.events.until("action")
    assert (asked["id"], asked["again"]) == (begun["id"], True)
    newer.events.close()


def test_a_cancelled_one_is_told_to_its_code_and_ends_when_that_has_ended_it(server: Server, code: Code) -> None:
    begun = begin(server)
    assert server.call("POST", f"/v1/actions/{begun['id']}/cancel", {}).status == 200
    assert code.events.until("cancel_action")["id"] == begun["id"]
    assert looked_at(server, begun["id"])["state"] == "running"
    code.call(f"replies/{begun['id']}", {"ok": False, "cancelled": True})
    found = looked_at(server, begun["id"])
    assert (found["state"], found["error"]) == ("cancelled", f"cancelled by {OWNER}")
    assert server.call("POST", f"/v1/actions/{begun['id']}/cancel", {}).status == 409


def test_of_a_service_whose_code_is_away_nothing_is_asked_and_nothing_is_waited_for(server: Server, code: Code) -> None:
    begun = begin(server)
    code.events.close()
    while server.call("GET", "/v1/services/log").json()["state"] != "no host":
        pass
    assert server.call("POST", "/v1/services/log/actions/repair/begin", {}).status == 503
    cancelled = server.call("POST", f"/v1/actions/{begun['id']}/cancel", {}).json()
    assert cancelled["state"] == "cancelled"
    assert "may go on" in cancelled["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/actions/act-0", 404),
        ("GET", "/v1/actions/act-0?wait_s=1e9", 422),
        ("POST", "/v1/actions/act-0/cancel", 404),
        ("GET", "/v1/services/lgo/actions", 404),
        ("POST", "/v1/services/log/actions/repiar/begin", 422),
    ],
)
def test_mistakes_are_one_clear_error(server: Server, method: str, path: str, status: int) -> None:
    refused = server.call(method, path, {} if method == "POST" else None)
    assert refused.status == status
    assert refused.json()["message"]


GOES_ON = {"name": "log", "version": "2", "actions": [{"name": "copy", "goes_on": True}, {"name": "repair"}]}


@pytest.fixture
def copying(tmp_path: Path) -> Iterator[tuple[Server, Code]]:
    """A service one of whose actions goes on after a death of its host."""
    server = Server(tmp_path / "data")
    assert server.call("PUT", "/v1/packages/log/2", GOES_ON, principal="host").status == 200
    assert server.call("POST", "/v1/services", {"package": "log", "name": "log"}).status == 200
    code = Code(server)
    yield server, code
    code.events.close()
    server.stop()


def ask(server: Server, action: str, **arguments: Any) -> str:
    begun = server.call("POST", f"/v1/services/log/actions/{action}/begin", arguments)
    assert begun.status == 200, begun.body
    return str(begun.json()["id"])


def test_one_that_goes_on_is_asked_again_with_its_arguments_and_no_other_one_is(copying: tuple[Server, Code]) -> None:
    server, _ = copying
    ask(server, "copy", to="/there")
    ask(server, "repair", keyspace="a")
    newer = Code(server)
    shown = {each["name"]: each for each in (newer.events.until("action"), newer.events.until("action"))}
    assert (shown["copy"]["again"], shown["copy"]["arguments"]) == (True, {"to": "/there"})
    assert shown["repair"].get("arguments", {}) == {}
    newer.events.close()


def test_a_secret_that_is_named_in_an_action_is_told_to_its_code_while_it_is_under_way(
    copying: tuple[Server, Code],
) -> None:
    server, code = copying
    for name in ("store", "log.own", "other.own"):
        assert server.call("PUT", f"/v1/secrets/{name}", {"value": f"value of {name}"}).status == 200

    def granted(action: str) -> Any:
        headers = {"Upcall-Stream": code.id}
        said = server.call("POST", f"/v1/service/log/granted/{action}", {}, principal="host", **headers)
        return said.json()["value"] if said.status == 200 else said.status

    copy = ask(server, "copy", to="s3://there", secret="store")
    assert granted(copy) == "value of store"
    assert granted("act-00000000") == 403
    assert granted(ask(server, "repair", secret="store")) == 403, "its arguments are not kept"
    assert granted(ask(server, "copy", to="s3://there")) == 403
    assert code.call(f"replies/{copy}", {"ok": True}) == 200
    assert granted(copy) == 403, "it is over"
    told = str(server.call("GET", "/v1/services/log/actions").json())
    assert "value of" not in told


def test_a_failure_keeps_its_parts_and_says_whether_waiting_helps(server: Server, code: Code) -> None:
    begun = dict(server.call("POST", "/v1/services/log/actions/repair/begin?patience_s=600", {}).json())
    assert begun["patience_s"] == code.events.until("action")["patience_s"] == 600
    problem = {"code": "not_now", "message": "nobody is ready", "where": "log"}
    code.call(f"replies/{begun['id']}", {"ok": False, "error": "nobody is ready; at log", "problem": problem})
    found = looked_at(server, begun["id"], wait_s=20)
    assert (found["state"], found["error"], found["waiting_helps"]) == ("failed", "nobody is ready; at log", True)
    assert found["problem"] == {"code": "not_now", "message": "nobody is ready", "where": "log", "expected": ""}


def test_a_failure_of_code_that_says_no_parts_is_for_good(server: Server, code: Code) -> None:
    begun = begin(server)
    code.call(f"replies/{begun['id']}", {"ok": False, "error": "no"})
    found = looked_at(server, begun["id"], wait_s=20)
    assert (found["error"], found["problem"], found["waiting_helps"]) == ("no", None, False)


def test_who_waits_for_the_result_is_told_in_the_same_way_whether_waiting_helps(server: Server, code: Code) -> None:
    for parts, status in (({"problem": {"code": "not_now", "message": "nobody is ready"}}, 503), ({}, 409)):
        with ThreadPoolExecutor(1) as beside:
            asked = beside.submit(server.call, "POST", "/v1/services/log/actions/repair", {})
            code.call(
                f"replies/{code.events.until('action')['id']}", {"ok": False, "error": "nobody is ready", **parts}
            )
            assert asked.result(30).status == status


@pytest.mark.parametrize(
    ("path", "kind", "status"),
    [
        ("plans/deploy/pause", "not_found", 404),
        ("actions/repair", "conflict", 409),
        ("plans/deploy/pause", "refused", 409),
    ],
)
def test_what_a_services_code_refuses_arrives_part_by_part(
    server: Server, code: Code, path: str, kind: str, status: int
) -> None:
    said = {"code": kind, "message": "no step 'x'", "where": "plan deploy", "expected": "m/m-0"}
    with ThreadPoolExecutor(1) as beside:
        asked = beside.submit(server.call, "POST", f"/v1/services/log/{path}", {})
        code.call(f"replies/{code.events.until('action')['id']}", {"ok": False, "error": "crammed", "problem": said})
        answer = asked.result(30)
    assert answer.status == status
    assert {key: answer.json()[key] for key in ("message", "where", "expected")} == {
        key: said[key] for key in ("message", "where", "expected")
    }

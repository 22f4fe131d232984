"""A member that was stopped by a stop of its own has a way back for a person: ``POST /v1/tasks/{member}/start``."""

from typing import Any

import pytest
from served_master import OWNER, Server, Sse

from upcall.operations import inputs as given
from upcall.operations.inputs import TaskState

PACKAGE = {"name": "memo", "version": "1", "options_schema": {"type": "object", "properties": {}}}
MEMBER = {"declaration": {"command": ["sleep", "1000"]}, "start": True}


@pytest.fixture(scope="module", autouse=True)
def stopped(server: Server) -> None:
    """``memo.m-0`` runs, its own service has it stopped, and it has ended (no agent had taken it yet)."""
    assert server.call("PUT", "/v1/packages/memo/1", PACKAGE, principal="host").status == 200
    assert server.call("POST", "/v1/services", {"package": "memo"}).status == 200
    events: Sse = server.stream("/v1/service/memo/stream", principal="host")
    stream = events.until("subscribed")["stream"]

    def call(method: str, what: str, body: object) -> Any:
        answer = server.call(method, f"/v1/service/memo/{what}", body, principal="host", **{"Upcall-Stream": stream})
        assert answer.status == 200, answer.body
        return answer.json()

    call("PUT", "members", {"members": {"m-0": MEMBER, "m-1": MEMBER}, "policy": {"minimum": 0}})
    for member in ("m-0", "m-1"):
        see(server, member, "ready")
    call("POST", "propose", {"key": "1", "kind": "stop", "member": "m-0", "reason": "it is not needed at night"})
    asked = next(each for each in server.call("GET", "/v1/operations").json() if each["kind"] == "stop")
    # Forced by a person, so that no answer of the service is needed here.
    forced = server.call("POST", f"/v1/operations/{asked['id']}/force", {"reason": "now"})
    assert forced.status == 200, forced.body
    events.close()


def see(server: Server, member: str, state: TaskState) -> None:
    seen = given.TaskObserved(service="memo", member=member, incarnation=1, state=state, node="node-1")
    server.in_loop(lambda: server.master.core.post(lambda tx: tx.ledger(seen)))


def start(server: Server, member: str) -> tuple[int, str]:
    answer = server.call("POST", f"/v1/tasks/{member}/start", {"reason": "morning"})
    said = answer.json()
    return answer.status, said.get("code", "") or said["state"]


def incarnation(server: Server) -> int:
    found: int = next(t["incarnation"] for t in server.call("GET", "/v1/tasks").json() if t["member"] == "memo.m-0")
    return found


def test_it_is_refused_for_what_is_not_there_or_runs(server: Server) -> None:
    assert start(server, "memo.m-9") == (404, "not_found")
    assert start(server, "memo.m-1") == (409, "conflict")


def test_a_stopped_member_is_started_again_and_the_stop_is_lifted_by_whom_and_why(server: Server) -> None:
    assert incarnation(server) == 1
    assert start(server, "memo.m-0") == (200, "lifted")
    assert incarnation(server) == 2
    stop = next(each for each in server.call("GET", "/v1/operations?all=true").json() if each["kind"] == "stop")
    assert stop["outcome"] == f"lifted by {OWNER}: morning"
    assert start(server, "memo.m-0") == (409, "conflict"), "once is enough"


def test_a_person_may_have_a_member_stopped_which_is_an_operation_like_any_other(server: Server) -> None:
    answer = server.call("POST", "/v1/tasks/memo.m-1/stop", {"reason": "it is mended", "force": True})
    assert answer.status == 200, answer.body
    assert (answer.json()["kind"], answer.json()["reason"]) == ("stop", "it is mended")
    assert answer.json()["state"] in ("executing", "done")

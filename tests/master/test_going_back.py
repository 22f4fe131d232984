"""Where a rollback goes that names no revision, also one that is asked for again. The service's code is played."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from served_master import Server, Sse

NUMBERS = itertools.count(1)
SCHEMA = {"type": "object", "properties": {"heap": {"type": "integer", "default": 512}}}


class Log:
    """A service whose code says what a test wants of it."""

    def __init__(self, server: Server, name: str) -> None:
        self.server, self.name = server, name
        self.events: Sse = server.stream(f"/v1/service/{name}/stream", principal="host")
        self.id = self.events.until("subscribed")["stream"]

    def asks(self, **asked: Any) -> Any:
        answer = self.server.call("POST", f"/v1/services/{self.name}/update", asked)
        return {"status": answer.status, **answer.json()}

    def begins(self, **asked: Any) -> str:
        """A change that the service agrees to; gives its operation."""
        found = self.asks(**asked)
        assert found["status"] == 200, found
        operation: str = found["id"]
        while True:
            shown = self.events.until("operations")
            if any(one["id"] == operation for one in shown["operations"]):
                break
        said = [{"operation": operation, "verdict": "accept"}]
        self.says("answers", {"epoch": shown["epoch"], "answers": said})
        return operation

    def done(self, **asked: Any) -> None:
        self.says(f"confirm/{self.begins(**asked)}")

    def fails(self, **asked: Any) -> None:
        self.says(f"fail/{self.begins(**asked)}", {"reason": "it does not come up"})

    def cancels(self, operation: str) -> None:
        assert self.server.call("POST", f"/v1/operations/{operation}/cancel", {"reason": "a test"}).status == 200

    def says(self, path: str, body: object = None) -> None:
        path = f"/v1/service/{self.name}/{path}"
        answer = self.server.call("POST", path, body, principal="host", **{"Upcall-Stream": self.id})
        assert answer.status == 200, answer.body

    def heap(self) -> int:
        said: int = self.server.call("GET", f"/v1/services/{self.name}").json()["options"]["heap"]
        return said

    def revisions(self) -> dict[int, Any]:
        return {one["number"]: one for one in self.server.call("GET", f"/v1/services/{self.name}/revisions").json()}

    def refused(self, **asked: Any) -> tuple[str, str]:
        before = list(self.revisions())
        found = self.asks(**asked)
        assert found["status"] == 409, found
        assert list(self.revisions()) == before, "nothing is recorded"
        return found["message"], found["expected"]


@pytest.fixture
def log(server: Server) -> Iterator[Log]:
    package = {"name": "heaps", "version": "1", "description": "A log.", "options_schema": SCHEMA}
    assert server.call("PUT", "/v1/packages/heaps/1", package, principal="host").status == 200
    name = f"heaps-{next(NUMBERS)}"
    body = {"package": "heaps", "name": name, "version": "1", "options": {"heap": 1}}
    assert server.call("POST", "/v1/services", body).status == 200
    found = Log(server, name)
    yield found
    found.events.close()


def test_a_second_rollback_does_not_come_back_to_what_the_first_one_left(log: Log) -> None:
    log.done(set={"heap": 2})
    log.done(set={"heap": 3})  # it was carried out, and a person found that it is bad
    log.done(back_to=0)
    assert log.heap() == 2
    assert log.revisions()[3]["left_in"] == 4
    message, ways = log.refused(back_to=0)
    assert (
        message == f"revision 4 of {log.name} stands, which is revision 2 again: there is nothing newer to go back from"
    )
    assert ways == f"`upcall rollback {log.name} --to N` goes to any; earlier good ones: 1"
    log.done(back_to=1)
    assert log.heap() == 1


def test_one_that_failed_is_gone_back_from_once(log: Log) -> None:
    log.done(set={"heap": 2})
    log.fails(set={"heap": 3})
    log.done(back_to=0)
    assert log.heap() == 2
    log.refused(back_to=0)
    assert log.heap() == 2


def test_a_rollback_that_is_under_way_is_not_begun_again(log: Log) -> None:
    log.done(set={"heap": 2})
    log.done(set={"heap": 3})
    waits = log.asks(back_to=0)
    asked = log.refused(back_to=0)
    log.cancels(waits["id"])
    begun = log.begins(back_to=0)
    again = log.refused(back_to=0)
    for operation, (message, ways) in ((waits["id"], asked), (begun, again)):
        assert message == f"{log.name} is going back to revision 2 already ({operation})"
        assert ways.startswith(f"`upcall why {operation}` says how far it is; ")
        assert ways.endswith("earlier good ones: 2, 1" if operation == waits["id"] else "earlier good ones: 1")
    log.says(f"confirm/{begun}")
    assert log.heap() == 2


def test_another_one_can_be_named_while_one_is_under_way(log: Log) -> None:
    log.done(set={"heap": 2})
    log.done(set={"heap": 3})
    log.begins(back_to=0)
    log.done(back_to=1)
    assert log.heap() == 1


def test_what_failed_was_cancelled_or_was_gone_back_from_is_passed_over(log: Log) -> None:
    log.done(set={"heap": 2})
    log.done(set={"heap": 3})
    log.done(back_to=0)  # 4, which left 3
    log.fails(set={"heap": 5})
    log.cancels(log.begins(set={"heap": 6}))
    log.done(set={"heap": 7})
    log.done(back_to=0)
    assert log.heap() == 2
    assert log.revisions()[8]["back_to"] == 4, "the last good one"


def test_a_rollback_that_was_cancelled_left_nothing(log: Log) -> None:
    log.done(set={"heap": 2})
    log.cancels(log.begins(back_to=0))
    assert log.revisions()[2]["left_in"] == 0
    log.done(back_to=0)
    assert log.heap() == 2


def test_a_rollback_that_failed_does_not_lead_back_to_what_it_left(log: Log) -> None:
    log.done(set={"heap": 2})
    log.done(set={"heap": 3})
    log.fails(back_to=0)
    log.done(back_to=0)
    assert log.heap() == 1


def test_a_change_that_has_not_begun_is_cancelled_and_not_gone_back_from(log: Log) -> None:
    log.done(set={"heap": 2})
    waits = log.asks(set={"heap": 3})
    message, ways = log.refused(back_to=0)
    assert message == f"the update of {log.name} to revision 3 ({waits['id']}) has not begun: revision 2 stands"
    assert f"`upcall operation cancel {waits['id']}`" in ways
    assert log.heap() == 2


def test_in_the_middle_of_a_change_it_goes_back_to_what_was_before_it(log: Log) -> None:
    log.done(set={"heap": 2})
    log.begins(set={"heap": 3})
    log.done(back_to=0)
    assert log.heap() == 2


def test_who_asked_for_it_is_said_once(log: Log) -> None:
    asked = log.asks(set={"heap": 2})
    lines = log.server.call("GET", f"/v1/operations/{asked['id']}/why").json()["lines"]
    assert [line for line in lines if "asked for by" in line] == [f"asked for by {asked['asked_by']}: revision 2"]

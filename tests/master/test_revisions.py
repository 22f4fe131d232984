"""Revisions: asked for by people, carried out by an operation, kept with what became of them. The service's code is
played by raw HTTP, as a stranger in any language would speak."""

import itertools
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from msgspec.structs import replace
from served_master import Server, Sse

from upcall.master.packages import Packages
from upcall.master.state import load
from upcall.operations import inputs as given
from upcall.protocol import service as wire

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "heap": {"type": "integer", "default": 512, "minimum": 64},
        "label": {"type": "string", "default": ""},
        "config": {"type": "object", "default": {}, "additionalProperties": {"type": "string"}},
    },
}


def package(version: str) -> dict[str, Any]:
    return {"name": "log", "version": version, "description": "A log.", "options_schema": SCHEMA}


class Log:
    """The service and its code."""

    def __init__(self, server: Server, name: str) -> None:
        self.server, self.name = server, name
        self.events: Sse = server.stream(f"/v1/service/{name}/stream", principal="host")
        self.id = self.events.until("subscribed")["stream"]

    def update(self, **asked: Any) -> Any:
        answer = self.server.call("POST", f"/v1/services/{self.name}/update", asked)
        return {"status": answer.status, **answer.json()}

    def revisions(self) -> dict[int, Any]:
        return {one["number"]: one for one in self.server.call("GET", f"/v1/services/{self.name}/revisions").json()}

    def stands(self) -> Any:
        return self.server.call("GET", f"/v1/services/{self.name}").json()

    def operations(self) -> list[Any]:
        return [one for one in self.server.call("GET", "/v1/operations").json() if one["service"] == self.name]

    def says(self, path: str, body: object = None) -> None:
        path = f"/v1/service/{self.name}/{path}"
        answer = self.server.call("POST", path, body, principal="host", **{"Upcall-Stream": self.id})
        assert answer.status == 200, answer.body

    def asked(self, operation: str) -> Any:
        """The set in which the operation is shown, and it."""
        while True:
            shown = self.events.until("operations")
            for one in shown["operations"]:
                if one["id"] == operation:
                    return shown, one

    def answer(self, operation: str, verdict: str, reason: str = "") -> Any:
        shown, one = self.asked(operation)
        said = {"operation": operation, "verdict": verdict, "reason": reason}
        self.says("answers", {"epoch": shown["epoch"], "answers": [said]})
        return one


@pytest.fixture
def log(server: Server, request: pytest.FixtureRequest) -> Iterator[Log]:
    for version in ("1", "2", "1+1f2e3d4c"):
        path = f"/v1/packages/log/{quote(version)}"
        assert server.call("PUT", path, package(version), principal="host").status == 200
    name = f"log-{next(NUMBERS)}"
    body = {"package": "log", "name": name, "version": "1", "options": {"heap": 600, "config": {"a": "1"}}}
    assert server.call("POST", "/v1/services", body).status == 200
    found = Log(server, name)
    yield found
    found.events.close()


NUMBERS = itertools.count(1)


def test_what_was_installed_is_the_first_revision(log: Log) -> None:
    assert list(log.revisions()) == [1]
    first = log.revisions()[1]
    assert (first["state"], first["outcome"], first["options"]) == (
        "stands",
        "done",
        {"heap": 600, "config": {"a": "1"}},
    )


def test_it_stands_once_its_operation_has_begun_and_the_code_is_told_then(log: Log) -> None:
    asked = log.update(set={"heap": 700, "config": {"b": "2"}}, reason="more room")
    assert (asked["status"], asked["kind"], asked["klass"]) == (200, "update", "voluntary")
    assert log.stands()["revision"] == 1
    assert log.revisions()[2]["state"] == "under way"
    shown = log.answer(asked["id"], "accept")
    assert shown["revision"]["number"] == 2
    assert shown["revision"]["changed"] == {"heap": [600, 700], "config.b": [None, "2"]}
    while (wanted := log.events.until("service"))["revision"] != 2:
        pass
    assert wanted["options"] == {"heap": 700, "config": {"a": "1", "b": "2"}}
    assert (log.stands()["revision"], log.revisions()[1]["state"]) == (2, "past")
    log.says(f"confirm/{asked['id']}")
    assert (log.revisions()[2]["state"], log.revisions()[2]["outcome"]) == ("stands", "done")
    assert log.revisions()[2]["took_s"] >= 0


def test_why_says_what_the_plan_of_a_change_waits_for(log: Log) -> None:
    asked = log.update(set={"heap": 700})
    log.answer(asked["id"], "accept")
    step = {"name": "replica-2", "state": "waiting", "reason": "needs a node with 9 GiB", "since": 0.0}
    phase = {"name": "canary", "strategy": "serial", "state": "waiting", "steps": [step]}
    plans = {"plans": [{"name": "update", "state": "waiting", "reason": "", "phases": [phase]}]}
    path = f"/v1/service/{log.name}/plans"
    assert log.server.call("PUT", path, plans, principal="host", **{"Upcall-Stream": log.id}).status == 200
    why = log.server.call("GET", f"/v1/operations/{asked['id']}/why").json()
    said = f"{log.name}: canary / replica-2: needs a node with 9 GiB"
    assert said in why["lines"]
    assert why["operation"]["waits_for"] == said
    assert log.stands()["state"] in ("updating", "no host")


def test_what_failed_before_is_not_told_as_the_progress_of_going_back_from_it(log: Log) -> None:
    failed = log.update(set={"heap": 700})
    log.answer(failed["id"], "accept")
    step = {"name": "replica-2", "state": "failed", "reason": "ended with code 3", "since": 0.0}
    phase = {"name": "canary", "strategy": "serial", "state": "failed", "steps": [step]}

    def shows(revision: int) -> None:
        """The code shows the plan that it has, whatever has begun meanwhile."""
        plan = {"name": "update", "state": "failed", "reason": "no memory", "revision": revision, "phases": [phase]}
        path, stream = f"/v1/service/{log.name}/plans", {"Upcall-Stream": log.id}
        assert log.server.call("PUT", path, {"plans": [plan]}, principal="host", **stream).status == 200

    def waits_for(operation: Any) -> str:
        return str(log.server.call("GET", f"/v1/operations/{operation['id']}/why").json()["operation"]["waits_for"])

    shows(revision=2)
    assert waits_for(failed) == f"{log.name}: canary / replica-2: ended with code 3"
    log.says(f"fail/{failed['id']}", {"reason": "replica-2 ended with code 3"})
    back = log.update(back_to=1)
    log.answer(back["id"], "accept")
    shows(revision=2)
    assert waits_for(back) == f"{log.name}: its plan is being made"
    shows(revision=3)
    assert waits_for(back) == f"{log.name}: canary / replica-2: ended with code 3"


def test_what_is_declined_never_stood(log: Log) -> None:
    asked = log.update(set={"heap": 700})
    log.answer(asked["id"], "decline", "no room for it")
    found = log.revisions()[2]
    assert (found["state"], found["outcome"]) == ("declined", "declined")
    assert "no room for it" in found["why"]
    assert log.stands()["revision"] == 1
    # Its number is not given twice.
    assert log.update(set={"heap": 800})["status"] == 200
    assert sorted(log.revisions()) == [1, 2, 3]


def test_one_that_fails_stands_and_can_be_gone_back_from(log: Log) -> None:
    asked = log.update(set={"heap": 700})
    log.answer(asked["id"], "accept")
    log.says(f"fail/{asked['id']}", {"reason": "replica-2 ended: OutOfMemoryError"})
    found = log.revisions()[2]
    assert (found["state"], found["outcome"]) == ("stands", "failed")
    assert "OutOfMemoryError" in found["why"]
    back = log.update(back_to=0)
    assert back["status"] == 200
    log.answer(back["id"], "accept")
    assert log.stands()["options"] == {"heap": 600, "config": {"a": "1"}}
    assert log.revisions()[3]["back_to"] == 1


def failed(log: Log, **asked: Any) -> None:
    change = log.update(**asked)
    log.answer(change["id"], "accept")
    log.says(f"fail/{change['id']}", {"reason": "replica-2 ended: OutOfMemoryError"})


def test_a_change_of_something_else_does_not_take_along_what_failed(log: Log) -> None:
    failed(log, set={"heap": 7000, "config": {"b": "2"}})
    for asked in ({"set": {"label": "x"}}, {"version": "2"}, {"set": {"config": {"a": "5"}}}):
        refused = log.update(**asked)
        assert refused["status"] == 409, asked
        assert "would take along what it was to bring: heap=7000, config.b=2" in refused["message"]
        assert f"`upcall rollback {log.name}`" in refused["expected"]
        preview = log.server.call("POST", f"/v1/services/{log.name}/update/preview", asked)
        assert preview.json()["message"] == refused["message"], "a preview says the same"
    assert sorted(log.revisions()) == [1, 2]


@pytest.mark.parametrize(
    "asked",
    [
        {"set": {"heap": 700, "label": "x"}, "unset": ["config.b"]},
        {"set": {"label": "x", "heap": 7000, "config": {"b": "2"}}},
        {"unset": ["heap", "config"], "set": {"label": "x"}},
        {"options": {"heap": 7000, "config": {"a": "1", "b": "2"}, "label": "x"}},
        {"version": "1+1f2e3d4c"},
        {"back_to": 0},
    ],
    ids=["another value", "the same value", "no value", "all options", "edited files", "back"],
)
def test_who_says_what_becomes_of_what_failed_is_not_refused(log: Log, asked: dict[str, Any]) -> None:
    failed(log, set={"heap": 7000, "config": {"b": "2"}})
    assert log.update(**asked)["status"] == 200


def test_a_version_that_failed_goes_along_with_nothing_else(log: Log) -> None:
    failed(log, version="2")
    assert "bring: version 2" in log.update(set={"label": "x"})["message"]
    assert log.update(set={"label": "x"}, version="2")["status"] == 200


def test_what_failed_after_something_that_failed_is_all_looked_at(log: Log) -> None:
    failed(log, set={"heap": 7000})
    failed(log, set={"heap": 6000, "label": "x"})
    assert "bring: heap=6000" in log.update(set={"label": "y"})["message"]
    good = log.update(set={"heap": 700, "label": "y"})
    log.answer(good["id"], "accept")
    log.says(f"confirm/{good['id']}")
    assert log.update(set={"config": {"a": "2"}})["status"] == 200, "nothing that failed stands any more"


def test_going_back_takes_the_place_of_what_is_under_way(log: Log) -> None:
    first = log.update(set={"heap": 700})
    log.answer(first["id"], "accept")
    back = log.update(back_to=1)
    assert back["status"] == 200
    assert log.revisions()[2]["outcome"] == "cancelled"
    log.answer(back["id"], "accept")
    assert log.stands()["options"]["heap"] == 600


def test_another_version_is_an_upgrade_and_another_build_of_one_is_not(log: Log) -> None:
    asked = log.update(version="1+1f2e3d4c")
    assert asked["kind"] == "update"
    log.server.call("POST", f"/v1/operations/{asked['id']}/cancel", {})
    assert log.update(version="2")["kind"] == "upgrade"


def test_unset_gives_the_default_again(log: Log) -> None:
    asked = log.update(unset=["heap", "config.a"])
    shown = log.answer(asked["id"], "accept")
    assert shown["revision"]["changed"] == {"heap": [600, 512], "config.a": ["1", None]}
    assert log.stands()["options"] == {}


def test_the_second_of_two_people_is_told_whose_revision_stands(log: Log) -> None:
    first = log.update(set={"heap": 700}, made_from=1)
    refused = log.update(set={"heap": 800}, made_from=1)
    assert refused["status"] == 409
    assert first["id"] in refused["message"]
    log.answer(first["id"], "accept")
    log.says(f"confirm/{first['id']}")
    late = log.update(set={"label": "x"}, made_from=1)
    assert late["status"] == 409
    assert late["message"].startswith(f"revision 2 of {log.name} stands, asked for by ")
    assert log.update(set={"label": "x"}, made_from=2)["status"] == 200


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        ({"set": {"heap": 600}}, 409, "which stands, says that already"),
        ({"set": {"heaap": 600}}, 422, "did you mean 'heap'?"),
        ({"set": {"heap": 1}}, 422, "1 is less than the minimum of 64"),
        ({"unset": ["labell"]}, 404, "option 'labell' is not set"),
        ({"unset": ["config.z"]}, 404, "option 'config.z' is not set"),
        ({"version": "3"}, 404, "package log has no version '3'"),
        ({"back_to": 7}, 404, "has no revision 7"),
        ({"back_to": 0}, 409, "has no earlier revision to go back to"),
        ({"bindings": {"store": "log"}}, 422, "package log has no need 'store'"),
        ({"sett": {}}, 422, ""),
    ],
)
def test_what_cannot_be_is_one_clear_error_and_nothing_is_recorded(
    log: Log, asked: dict[str, Any], status: int, says: str
) -> None:
    refused = log.update(**asked)
    assert refused["status"] == status, refused
    assert says in refused["message"]
    assert list(log.revisions()) == [1]
    assert log.operations() == []


def test_an_operation_whose_revision_was_never_recorded_is_taken_back(log: Log) -> None:
    core = log.server.master.core
    lone = given.Propose(kind="update", asked_by="ann", service=log.name, revision=7)
    log.server.in_loop(lambda: core.post(lambda tx: tx.ledger(lone)))
    while log.operations():
        pass
    assert log.update(set={"heap": 700})["status"] == 200


def test_the_history_is_there_after_a_restart_and_goes_with_the_service(log: Log) -> None:
    asked = log.update(set={"heap": 700})
    log.answer(asked["id"], "accept")
    core = log.server.master.core
    stands = log.server.in_loop(lambda: core.state.services[log.name])
    again = load(core.store, start=core.state.start).services[log.name]
    assert again.revisions == stands.revisions
    assert again.record == stands.record
    log.server.call("POST", f"/v1/services/{log.name}/uninstall", {"force": True, "reason": "enough"})
    assert [record.key for record in core.store.load("revision") if record.key.startswith(f"{log.name}@")] == []


def test_a_package_that_is_looked_at_is_there_for_nobody_else() -> None:
    stands = wire.Package(name="log", version="1", options_schema=SCHEMA)
    packages = Packages([stands])
    version = packages.version
    with packages.beside(replace(stands, version="1+1f2e3d4c")):
        assert packages.find("log", "1+1f2e3d4c").version == "1+1f2e3d4c"
    assert packages.all() == [stands]
    assert packages.version == version


def test_an_update_to_a_package_that_is_not_registered_is_refused(log: Log) -> None:
    refused = log.update(version="9", unregistered={"name": "log", "version": "9"})
    assert (refused["status"], refused["message"]) == (422, "a package that is not registered")


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"options": {"haep": 512}}, "haep"),
        ({"options": {"heap": 1}}, "heap"),
        ({"version": "9"}, "9"),
        ({"bindings": {"store": "x"}}, "store"),
    ],
)
def test_an_install_is_refused_beforehand_in_the_same_words(log: Log, asked: dict[str, Any], word: str) -> None:
    body = {"package": "log", "name": f"{log.name}-two", **asked}
    beforehand = log.server.call("POST", "/v1/services/preview", body)
    refused = log.server.call("POST", "/v1/services", body)
    assert beforehand.status == refused.status >= 400
    assert beforehand.json() == refused.json()
    assert word in beforehand.json()["message"] + beforehand.json()["where"]
    good = {"package": "log", "name": f"{log.name}-two", "options": {"heap": 512}}
    assert log.server.call("POST", "/v1/services/preview", good).status == 200
    assert log.server.call("GET", f"/v1/services/{log.name}-two").status == 404

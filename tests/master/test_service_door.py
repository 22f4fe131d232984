"""The service API in the hands of a stranger: raw HTTP, no SDK. Garbage, foreign members, floods, two at once."""

import json
from collections.abc import Iterator

import pytest
from served_master import OWNER, Server, Sse

PACKAGE = {
    "name": "log",
    "version": "1",
    "description": "A log.",
    "options_schema": {"type": "object", "properties": {}},
}
MEMBER = {"declaration": {"command": ["sleep", "1000"]}, "start": True}
POLICY = {"minimum": 0}


@pytest.fixture(scope="module", autouse=True)
def log_service(server: Server) -> None:
    assert server.call("PUT", "/v1/packages/log/1", PACKAGE, principal="host").status == 200
    for name in ("log", "other"):
        assert server.call("POST", "/v1/services", {"package": "log", "name": name}).status == 200


class Stranger:
    """A service's code in any language: a stream to read, calls that carry its name."""

    def __init__(self, server: Server, service: str = "log") -> None:
        self.server, self.service = server, service
        self.events: Sse = server.stream(f"/v1/service/{service}/stream", principal="host")
        self.id = self.events.until("subscribed")["stream"]

    def call(self, method: str, what: str, body: object = None) -> tuple[int, dict[str, object]]:
        answer = self.server.call(
            method, f"/v1/service/{self.service}/{what}", body, principal="host", **{"Upcall-Stream": self.id}
        )
        return answer.status, answer.json() if answer.body else {}


@pytest.fixture
def stranger(server: Server) -> Iterator[Stranger]:
    found = Stranger(server)
    yield found
    found.events.close()


def test_a_subscription_begins_with_the_whole_sets(stranger: Stranger) -> None:
    kinds = [event["type"] for event in stranger.events.take(3)]
    assert sorted(kinds) == ["members", "operations", "service"]


def test_a_declared_set_is_the_whole_set(stranger: Stranger) -> None:
    status, _ = stranger.call("PUT", "members", {"members": {"m-0": MEMBER}, "policy": POLICY})
    assert status == 200
    members = stranger.events.until("members")["members"]
    assert [member["name"] for member in members] in ([], ["m-0"])
    tasks = stranger.server.call("GET", "/v1/tasks?service=log").json()
    assert [task["member"] for task in tasks] == ["log.m-0"]


@pytest.mark.parametrize(
    ("method", "what", "body"),
    [
        ("PUT", "members", b"{"),
        ("PUT", "members", b"null"),
        ("PUT", "members", b'{"members": {"m": 5}}'),
        ("PUT", "members", {"members": {"Not A Name": MEMBER}}),
        ("PUT", "members", {"members": {"m-1": {"declaration": {"command": []}}}}),
        ("PUT", "members", {"members": {"m-1": {"declaration": {"command": ["a"], "resources": {"memory_mib": -5}}}}}),
        (
            "PUT",
            "members",
            {"members": {"m-1": {"declaration": {"command": ["a"], "ports": [{"name": "p", "number": 99999}]}}}},
        ),
        ("PUT", "members", {"members": {}, "policy": {"minimum": -1}}),
        ("PUT", "members", {"members": {}, "policy": {"at_most": 0}}),
        ("PUT", "members", {"members": {}, "policy": {"answer_s": -1}}),
        ("PUT", "members", {"members": {}, "policy": {"answer_s": 0}}),
        ("PUT", "members", b'{"members": {}, "policy": {"answer_s": 1e999}}'),
        ("PUT", "members", {"members": {}, "policy": {"replace_after_s": 1e12}}),
        ("POST", "propose", {"key": "k" * 201, "kind": "restart", "member": "m-0", "reason": "x"}),
        ("POST", "propose", {"key": "1", "kind": "explode", "reason": "x"}),
        ("POST", "propose", {"key": "1", "kind": "restart", "member": "nobody", "reason": "x"}),
        ("POST", "propose", {"key": "1", "kind": "lost", "member": "m-0", "reason": "x"}),
        ("POST", "answers", {"epoch": "yesterday", "answers": []}),
        ("POST", "answers", {"epoch": "1.\xb2", "answers": []}),
        ("POST", "answers", {"epoch": "1." + "9" * 5000, "answers": []}),
        ("POST", "answers", {"epoch": "1", "answers": []}),
        ("POST", "answers", {"epoch": "1.1", "answers": [{"operation": "op-1", "verdict": "perhaps"}]}),
        ("POST", "withdraw", {"operations": ["op-999"]}),
        ("POST", "confirm/op-999", None),
        ("POST", "working/op-999", {"text": "12 of 340 MiB"}),
        ("POST", "working/op-1", {"text": "12 of 340 MiB", "share": 7}),
        ("POST", "fits", {"members": {"Not A Name": MEMBER}}),
        ("POST", "rescale", {"option": "count", "size": 3, "reason": "more", "made_from": 1}),
        ("POST", "rescale", {"option": "count", "size": 3, "reason": "", "made_from": 1}),
        ("POST", "run", {"member": "m-0", "command": ["true"], "timeout_s": -1}),
        ("POST", "run", {"member": "nobody", "command": ["true"], "timeout_s": 5}),
        ("PUT", "state/a", {"value": 1, "version": 77}),
        ("PUT", "state/a", b'{"version": 0, "value": ' + b"[" * 100_000),
        ("PUT", "state/a", {"value": "x" * 300_000, "version": 0}),
        ("GET", "state/nothing", None),
    ],
)
def test_garbage_is_refused_in_words_and_changes_nothing(
    stranger: Stranger, method: str, what: str, body: object
) -> None:
    before = stranger.server.call("GET", "/v1/tasks").body
    status, said = stranger.call(method, what, body)
    assert 400 <= status < 500, (status, said)
    assert said["message"]
    assert stranger.server.call("GET", "/v1/tasks").body == before


@pytest.mark.parametrize(
    ("members", "policy"),
    [
        ({"good": MEMBER, "g" * 64: MEMBER}, POLICY),
        ({"good": MEMBER, "line\n": MEMBER}, POLICY),
        ({"good": MEMBER, "bad": {"declaration": {"command": ["x"], "ready": {}}}}, POLICY),
        ({"good": MEMBER, "bad": {"declaration": {"command": ["x"], "health": {"tcp": "client"}}}}, POLICY),
        ({"good": MEMBER, "bad": MEMBER | {"replacement": {"command": ["x"], "health": {"log": "("}}}}, POLICY),
        ({"good": MEMBER}, {"minimum": 1001}),
        ({"good": MEMBER}, {"at_most": 1001}),
    ],
)
def test_of_a_declaration_that_is_refused_nothing_is_recorded(
    stranger: Stranger, members: object, policy: object
) -> None:
    def recorded() -> object:
        store = stranger.server.master.core.store
        return [(each.kind, each.key, each.value) for kind in store.kinds() for each in store.load(kind)]

    before = recorded()
    status, said = stranger.call("PUT", "members", {"members": members, "policy": policy})
    assert status == 422, said
    # Whatever such a turn left behind is durable by now: a later one is.
    stranger.call("PUT", "state/after", {"value": 1, "version": 0})
    stranger.call("DELETE", "state/after")
    assert recorded() == before
    service = stranger.server.in_loop(lambda: stranger.server.master.core.state.services["log"])
    assert "good" not in service.members


def test_more_members_than_any_service_has_are_refused(stranger: Stranger) -> None:
    status, said = stranger.call("PUT", "members", {"members": {f"m-{n}": MEMBER for n in range(1001)}})
    assert (status, said["code"]) == (413, "too_large")


def test_a_service_may_not_name_anothers_members(server: Server) -> None:
    mine, theirs = Stranger(server, "log"), Stranger(server, "other")
    try:
        assert mine.call("PUT", "members", {"members": {"m-0": MEMBER}, "policy": POLICY})[0] == 200
        for body in ({"key": "k", "kind": "restart", "member": "m-0", "reason": "x"},
                     {"key": "k", "kind": "restart", "member": "log.m-0", "reason": "x"}):  # fmt: skip
            status, said = theirs.call("POST", "propose", body)
            assert status in (404, 422), said
        answer = server.call("GET", "/v1/service/log/state/a", principal="host", **{"Upcall-Stream": theirs.id})
        assert (answer.status, answer.json()["code"]) == (409, "stale")
    finally:
        mine.events.close()
        theirs.events.close()


@pytest.mark.parametrize("kind", ["shutdown", "maintenance"])
def test_a_service_may_not_propose_what_touches_others(stranger: Stranger, kind: str) -> None:
    status, said = stranger.call("POST", "propose", {"key": f"all-{kind}", "kind": kind, "reason": "because"})
    assert (status, said["code"]) == (403, "forbidden")
    operations = stranger.server.call("GET", "/v1/operations?all=true").json()
    assert not [each for each in operations if each["kind"] == kind]


def test_a_person_pauses_an_operation_and_lets_it_go_on(server: Server) -> None:
    code = Stranger(server, "other")
    try:
        assert code.call("PUT", "members", {"members": {"m-7": MEMBER}, "policy": POLICY})[0] == 200
        status, said = code.call("POST", "propose", {"key": "pause", "kind": "replace", "member": "m-7", "reason": "x"})
        assert status == 200, said
        path = f"/v1/operations/{said['operation']}"
        assert server.call("POST", f"{path}/pause", {"reason": "rush hour"}).status == 200
        why = server.call("GET", f"{path}/why").json()
        assert "waits for a person" in why["lines"][0]
        assert f"paused by {OWNER}: rush hour" in why["lines"][0]
        assert server.call("POST", f"{path}/resume", {"reason": ""}).status == 200
        assert "paused" not in server.call("GET", f"{path}/why").json()["lines"][0]
        assert server.call("POST", f"{path}/cancel", {"reason": "enough"}).json()["state"] == "withdrawn"
        assert server.call("POST", f"{path}/pause", {"reason": "late"}).status == 409
    finally:
        code.events.close()


def test_the_second_subscription_fences_the_first(stranger: Stranger) -> None:
    assert stranger.call("PUT", "state/k", {"value": 1, "version": 0})[0] in (200, 409)
    second = Stranger(stranger.server)
    try:
        status, said = stranger.call("PUT", "state/k", {"value": 2, "version": 1})
        assert (status, said["code"], said["where"]) == (409, "stale", "Upcall-Stream")
        assert second.call("GET", "state/k")[0] == 200
        # The first one's stream ends: after what was sent before, nothing comes any more.
        assert all(event["type"] != "heartbeat" for event in stranger.events)
    finally:
        second.events.close()


def test_a_flood_of_calls_is_answered_and_costs_a_bounded_amount(stranger: Stranger) -> None:
    connection = stranger.server.connect()
    headers = {**stranger.server.headers("host"), "Upcall-Stream": stranger.id, "Content-Type": "application/json"}
    for number in range(300):
        member = {"declaration": {"command": ["sleep", str(number)]}}
        body = json.dumps({"members": {"m-0": {**MEMBER, **member}}, "policy": POLICY}).encode()
        connection.request("PUT", "/v1/service/log/members", body, headers)
        response = connection.getresponse()
        assert response.status == 200, response.read()
        response.read()
    connection.close()
    # Nobody read the stream meanwhile: the newest whole set is what comes, not three hundred of them.
    service = stranger.server.in_loop(lambda: stranger.server.master.core.state.services["log"])
    assert len(service.members["m-0"]) <= 2
    assert stranger.server.call("GET", "/v1/status").status == 200


def test_answers_about_an_older_world_are_refused_with_the_present_set(stranger: Stranger) -> None:
    status, said = stranger.call(
        "POST", "answers", {"epoch": "0.1", "answers": [{"operation": "op-1", "verdict": "accept"}]}
    )
    assert (status, said["code"]) == (409, "stale")
    assert stranger.events.until("operations")["epoch"]


def test_a_kept_value_is_compared_and_swapped(stranger: Stranger) -> None:
    assert stranger.call("PUT", "state/swap", {"value": {"a": 1}, "version": 0})[1]["version"] == 1
    status, said = stranger.call("PUT", "state/swap", {"value": 2, "version": 0})
    assert (status, said["where"]) == (409, "version")
    assert stranger.call("GET", "state/swap")[1] == {"value": {"a": 1}, "version": 1}
    assert stranger.call("DELETE", "state/swap?version=1")[0] == 200
    assert stranger.call("GET", "state/swap")[0] == 404


# -- hosts ----------------------------------------------------------------------------------------------------------


def assigned(stream: Sse) -> list[str]:
    return [each["service"] for each in stream.until("assignments")["services"]]


def test_another_life_of_a_name_is_another_assignment(server: Server) -> None:
    stream = server.stream("/v1/host/stream?host=lives", principal="host")
    try:
        lives = {each["service"]: each["installed_at"] for each in stream.until("assignments")["services"]}
        told = server.in_loop(lambda: server.master.core.state.services["log"].record.created_at)
        assert lives["log"] == told > 0
    finally:
        stream.close()


def test_one_host_runs_everything_and_the_others_stand_by(server: Server) -> None:
    first = server.stream("/v1/host/stream?host=one", principal="host")
    assert assigned(first) == ["log", "other"]
    second = server.stream("/v1/host/stream?host=two", principal="host")
    assert assigned(second) == []
    assert assigned(first) == ["log", "other"]
    first.close()
    assert assigned(second) == ["log", "other"]
    back = server.stream("/v1/host/stream?host=one", principal="host")
    assert assigned(back) == [], "it was the oldest once, and stands by now: two would fence each other off"
    back.close()
    second.close()

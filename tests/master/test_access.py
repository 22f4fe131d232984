"""People and their programs at the door: a name, a role, an end; each call wants a role."""

import json
import time

import pytest
from served_master import OWNER, Answer, Server

VIEWER, OPERATOR, ADMIN = "viewer", "operator", "admin"
SEES = [
    "/v1/status", "/v1/packages", "/v1/services", "/v1/nodes", "/v1/tasks", "/v1/operations", "/v1/events",
    "/v1/endpoints", "/metrics", "/openapi.json",
]  # fmt: skip
ACTS = [
    ("POST", "/v1/services", {"package": "none"}),
    ("POST", "/v1/services/preview", {"package": "none"}),
    ("POST", "/v1/services/none/uninstall", {}),
    ("POST", "/v1/services/none/plans/deploy/pause", {}),
    ("POST", "/v1/services/none/actions/x", {}),
    ("POST", "/v1/nodes/none/drain", {}),
    ("POST", "/v1/nodes/none/undrain", {}),
    ("POST", "/v1/tasks/none/restart", {}),
    ("POST", "/v1/operations/op-0/cancel", {}),
    ("GET", "/v1/secrets", None),
    ("GET", "/v1/endpoints/none/x/credentials", None),
]
DECIDES = [
    ("POST", "/v1/nodes", {"memory_mib": 1}),
    ("POST", "/v1/nodes/none/remove", {}),
    ("PUT", "/v1/secrets/x", {"value": "y"}),
    ("POST", "/v1/secrets/x/grant", {"service": "y"}),
    ("PUT", "/v1/packages/none/1", {"name": "other", "version": "1"}),
    ("DELETE", "/v1/packages/none", None),
    ("GET", "/v1/access", None),
    ("DELETE", "/v1/access/nobody", None),
    ("PUT", "/v1/service/none/members", {}),
    ("GET", "/v1/service/none/stream", None),
]


@pytest.fixture(scope="module")
def granted(server: Server) -> dict[str, str]:
    """Role -> the name of somebody who has it."""
    for role in (VIEWER, OPERATOR, ADMIN):
        answer = grant(server, f"an-{role}", role)
        server.tokens[f"an-{role}"] = answer.json()["token"]
    return {role: f"an-{role}" for role in (VIEWER, OPERATOR, ADMIN)}


def grant(server: Server, name: str, role: str, valid_s: float = 3600, principal: str = "operator") -> Answer:
    body = {"name": name, "role": role, "valid_s": valid_s}
    return server.call("POST", "/v1/access", body, principal=principal)


@pytest.mark.parametrize("role", [VIEWER, OPERATOR, ADMIN])
def test_each_call_wants_its_role(server: Server, granted: dict[str, str], role: str) -> None:
    who = granted[role]
    for path in SEES:
        assert server.call("GET", path, principal=who).status == 200, path
    for calls, allowed in ((ACTS, role != VIEWER), (DECIDES, role == ADMIN)):
        for method, path, body in calls:
            status = server.call(method, path, body, principal=who).status
            assert (status != 403) == allowed, (method, path, status)
            assert status < 500


def test_who_may_grant_and_what_stands_in_the_record(server: Server, granted: dict[str, str]) -> None:
    assert grant(server, "x", ADMIN, principal=granted[OPERATOR]).status == 403
    assert grant(server, "second", VIEWER, principal=granted[ADMIN]).status == 200
    listed = {one["name"]: one for one in server.call("GET", "/v1/access").json()}
    assert listed["second"]["granted_by"] == "an-admin"
    assert "token" not in json.dumps(listed)
    texts = [one["text"] for one in server.call("GET", "/v1/events").json() if one["kind"] == "access"]
    assert any("role admin" in text and f"by {OWNER}" in text for text in texts)


@pytest.mark.parametrize("name", ["host", "page", "agent-node-1", "upcall", OWNER])
def test_nobody_is_granted_the_name_of_somebody_else(server: Server, name: str) -> None:
    assert grant(server, name, VIEWER).status == 422


@pytest.mark.parametrize("body", [{"name": "A B"}, {"role": "root"}, {"valid_s": 1}, {"valid_s": 1e12}, {"name": ""}])
def test_what_is_no_grant_is_refused(server: Server, body: dict[str, object]) -> None:
    whole = {"name": "x", "role": VIEWER, "valid_s": 3600, **body}
    assert server.call("POST", "/v1/access", whole).status == 422


def test_the_name_stands_in_what_was_asked(server: Server, granted: dict[str, str]) -> None:
    assert server.call("PUT", "/v1/secrets/of-an-admin", {"value": "x"}, principal=granted[ADMIN]).status == 200
    events = server.call("GET", "/v1/events").json()
    assert any(one["kind"] == "secret" and "by an-admin" in one["text"] for one in events)


def test_revoked_ends_at_once_with_sessions_and_open_streams(server: Server) -> None:
    server.tokens["leaver"] = grant(server, "leaver", VIEWER).json()["token"]
    code = server.call("POST", "/v1/login-codes", principal="leaver").json()["code"]
    server.tokens["leaver's page"] = server.call("POST", "/v1/login", {"code": code}).json()["token"]
    assert server.call("GET", "/v1/status", principal="leaver's page").status == 200
    stream = server.stream("/v1/events?follow=true&limit=1", principal="leaver")
    began = time.monotonic()
    assert server.call("DELETE", "/v1/access/leaver").status == 200
    for _ in stream:
        assert time.monotonic() - began < 60
    stream.close()
    for who in ("leaver", "leaver's page"):
        assert server.call("GET", "/v1/status", principal=who).status == 401
    assert server.call("DELETE", "/v1/access/leaver").status == 404

"""What the page may do by its own token: see, and log in to what a package says that its tab shows. What a person does
on the page is done as that person."""

from typing import Any

import pytest
from served_master import Server
from test_access import ACTS, DECIDES, SEES, grant

from upcall.web.actions import ACTIONS, Asked

NEEDS: list[dict[str, Any]] = [
    {"name": "store", "endpoint": "read", "page": True},
    {"name": "queue", "endpoint": "client"},
]
VALUES = {"reason": "a test"}


def registered(server: Server, name: str, needs: list[dict[str, Any]]) -> None:
    package = {"name": name, "version": "1", "options_schema": {"type": "object"}, "needs": needs}
    assert server.call("PUT", f"/v1/packages/{name}/1", package, principal="host").status == 200


@pytest.fixture(scope="module", autouse=True)
def services(server: Server) -> None:
    """``reader`` is bound to ``store`` for its tab, and to ``queue`` for its tasks alone; ``other`` to nothing."""
    registered(server, "kept", [])
    registered(server, "reader", NEEDS)
    for name in ("store", "queue", "other"):
        assert server.call("POST", "/v1/services", {"package": "kept", "name": name}).status == 200
        stream = server.stream(f"/v1/service/{name}/stream", principal="host")
        ends: list[dict[str, Any]] = [
            {"name": end, "port": end, "members": [], "user": end, "secret": f"generated:{name}.{end}"}
            for end in ("read", "client", "admin")
        ]
        own = {"Upcall-Stream": stream.until("subscribed")["stream"]}
        answer = server.call("PUT", f"/v1/service/{name}/endpoints", {"endpoints": ends}, principal="host", **own)
        assert answer.status == 200, answer.body
        stream.close()


def told(server: Server, endpoint: str, principal: str = "page") -> int:
    service, _, end = endpoint.partition(".")
    return server.call("GET", f"/v1/endpoints/{service}/{end}/credentials", principal=principal).status


def test_it_is_told_the_password_of_what_a_tab_shows_and_no_other_while_that_service_is_bound(server: Server) -> None:
    every = [f"{service}.{end}" for service in ("store", "queue", "other") for end in ("read", "client", "admin")]
    assert {one for one in every if told(server, one) == 200} == set(), "nobody needs any"
    installed = {"package": "reader", "name": "reader"}
    assert server.call("POST", "/v1/services", installed).status == 200
    assert {one for one in every if told(server, one) == 200} == {"store.read"}
    refused = server.call("GET", "/v1/endpoints/store/admin/credentials", principal="page")
    assert refused.status == 403
    assert "the page may not log in to store.admin" in refused.json()["message"]
    registered(server, "reader", [{**NEEDS[0], "page": False}, NEEDS[1]])
    assert {one for one in every if told(server, one) == 200} == set(), "its tasks alone need it"
    registered(server, "reader", NEEDS)


def test_nobody_else_is_told_more_for_it(server: Server) -> None:
    for role, status in (("viewer", 403), ("operator", 200), ("admin", 200)):
        server.tokens[f"a-{role}"] = grant(server, f"a-{role}", role).json()["token"]
        assert told(server, "store.read", f"a-{role}") == status
        code = server.call("POST", "/v1/login-codes", principal=f"a-{role}").json()["code"]
        session = server.call("POST", "/v1/login", {"code": code}, principal="page").json()["token"]
        server.tokens[f"a-{role}'s browser"] = session
        assert told(server, "store.read", f"a-{role}'s browser") == status


def test_it_sees_and_does_nothing(server: Server) -> None:
    for path in SEES:
        assert server.call("GET", path, principal="page").status == 200, path
    for method, path, body in (*ACTS, *DECIDES):
        assert server.call(method, path, body, principal="page").status == 403, path


@pytest.mark.parametrize("verb", sorted(ACTIONS))
def test_each_button_does_what_the_role_of_who_presses_it_may(server: Server, verb: str) -> None:
    """Nothing of that name is there, so who may is told that instead."""
    path, body = Asked(verb, "nothing", "nothing").call(VALUES)
    for role, status in (("viewer", 403), ("operator", 404), ("admin", 404)):
        answer = server.call("POST", path, body.model_dump(), principal=f"a-{role}'s browser")
        assert answer.status == status, (role, answer.body)
    assert server.call("POST", path, body.model_dump(), principal="page").status == 403


def test_a_code_that_the_page_itself_asks_for_opens_nothing(server: Server) -> None:
    code = server.call("POST", "/v1/login-codes", principal="page").json()["code"]
    server.tokens["own"] = server.call("POST", "/v1/login", {"code": code}, principal="page").json()["token"]
    assert server.call("GET", "/v1/status", principal="own").status == 401

"""A service that a document somewhere else keeps: what it says is taken up once, and nobody else changes it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served_master import Server

from upcall.master.state import load

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"heap": {"type": "integer", "default": 512, "minimum": 64}, "label": {"type": "string"}},
}
KEEPER = {
    "what": "log/shop in namespace data",
    "how": "kubectl edit log shop",
    "end": "kubectl delete log shop",
    "uid": "u1",
    "generation": 1,
}
SAYS = "shop is what log/shop in namespace data says, and is {} there alone"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path / "data")
    for version in ("1", "2"):
        said = {"name": "log", "version": version, "options_schema": SCHEMA}
        assert found.call("PUT", f"/v1/packages/log/{version}", said).status == 200
    yield found
    found.stop()


def post(server: Server, path: str, body: Any) -> tuple[int, Any]:
    answer = server.call("POST", path, body)
    return answer.status, answer.json()


def keep(server: Server, generation: int, **more: Any) -> tuple[int, Any]:
    body = {"keeper": KEEPER | {"generation": generation}, "package": "log", **more}
    return post(server, "/v1/services/shop/keep", body)


def install(server: Server, **more: Any) -> None:
    status, said = post(server, "/v1/services", {"package": "log", "name": "shop", "version": "1", **more})
    assert status == 200, said


def revisions(server: Server) -> list[int]:
    return [one["number"] for one in server.call("GET", "/v1/services/shop/revisions").json()]


def test_nobody_else_changes_it_or_takes_it_away(server: Server) -> None:
    install(server, keeper=KEEPER, options={"heap": 600})
    for path, body, done in (
        ("update", {"set": {"heap": 700}}, "changed"),
        ("update", {"back_to": 1}, "changed"),
        ("update/preview", {"set": {"heap": 700}}, "changed"),
        ("uninstall", {"reason": "no more"}, "taken away"),
    ):
        status, said = post(server, f"/v1/services/shop/{path}", body)
        assert (status, said["message"]) == (409, SAYS.format(done))
        assert said["expected"] == f"`kubectl {'edit' if done == 'changed' else 'delete'} log shop`"
    assert revisions(server) == [1]
    status, said = post(server, "/v1/services/shop/uninstall", {"keeper": KEEPER["what"]})
    assert (status, said["kind"]) == (200, "uninstall")


def test_what_it_says_is_a_revision_once_however_often_it_is_said(server: Server) -> None:
    install(server, keeper=KEEPER, options={"heap": 600})
    for _ in range(3):
        status, said = keep(server, 2, options={"heap": 700}, version="1")
        assert status == 200
        assert (said["keeper"]["generation"], said["keeper"]["revision"], said["revision"]) == (2, 2, 1)
        assert said["keeper"]["operation"]
    assert revisions(server) == [2, 1]


def test_the_newest_counts_and_what_stands_said_again_ends_what_is_under_way(server: Server) -> None:
    install(server, keeper=KEEPER, options={"heap": 600})
    _, second = keep(server, 2, options={"heap": 700})
    _, third = keep(server, 3, options={"heap": 800})
    assert third["keeper"]["revision"] == 3
    assert server.call("GET", f"/v1/operations/{second['keeper']['operation']}").json()["state"] == "withdrawn"
    _, again = keep(server, 4, options={"heap": 600})
    assert (again["keeper"]["generation"], again["keeper"]["revision"]) == (4, 1)
    assert server.call("GET", f"/v1/operations/{third['keeper']['operation']}").json()["state"] == "withdrawn"


def test_what_is_refused_changes_nothing(server: Server) -> None:
    install(server, keeper=KEEPER, options={"heap": 600})
    status, said = keep(server, 2, options={"heep": 700})
    assert (status, said["where"]) == (422, "options.heep")
    status, said = post(
        server, "/v1/services/shop/keep", {"keeper": KEEPER, "package": "other", "options": {"heap": 600}}
    )
    assert (status, said["message"]) == (409, "shop is of package log, and not of other")
    assert server.call("GET", "/v1/services/shop").json()["keeper"]["generation"] == 1


def test_one_that_nobody_keeps_is_kept_on_a_word_alone_and_let_go_again(server: Server) -> None:
    install(server, options={"heap": 600})
    status, said = keep(server, 1, options={"heap": 600})
    assert status == 409
    assert "log/shop in namespace data did not make it" in said["message"]
    status, said = keep(server, 1, options={"heap": 600}, adopt=True)
    assert (status, said["keeper"]["revision"]) == (200, 1)
    assert revisions(server) == [1], "it says what stands"
    status, said = post(server, "/v1/services/shop/unkeep", {"what": "log/else in namespace data"})
    assert said["keeper"]["what"] == KEEPER["what"]
    status, said = post(server, "/v1/services/shop/unkeep", {"what": KEEPER["what"]})
    assert (status, said["keeper"]) == (200, None)
    status, said = post(server, "/v1/services/shop/update", {"set": {"heap": 700}})
    assert status == 200


def test_it_outlives_the_master(server: Server) -> None:
    install(server, keeper=KEEPER, options={"heap": 600})
    keep(server, 2, options={"heap": 700})
    core = server.master.core
    again = server.in_loop(lambda: load(core.store, start=core.state.start)).services["shop"].record.keeper
    assert again == core.state.services["shop"].record.keeper
    assert (again.generation, again.revision) == (2, 2)

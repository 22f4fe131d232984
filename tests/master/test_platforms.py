"""What platform files made is on record with its service, outlives the master, and goes with the service."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from served_master import Server

PACKAGE = {
    "name": "log",
    "version": "1",
    "actions": [{"name": name} for name in ("topics", "make", "drop")],
    "contents": [{"kind": "topics", "show": "topics", "key": "name", "make": "make", "drop": "drop"}],
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path / "data")
    assert found.call("PUT", "/v1/packages/log/1", PACKAGE).status == 200
    wanted = {"package": "log", "name": "log", "platform": "shop"}
    assert found.call("POST", "/v1/services", wanted).status == 200
    yield found
    found.stop()


def test_it_is_added_and_taken_away_as_often_as_it_is_said(server: Server) -> None:
    for said in ({"made": ["b", "a"]}, {"made": ["a"]}, {"dropped": ["b", "never"]}):
        answer = server.call("POST", "/v1/services/log/made", {"platform": "shop", "kind": "topics", **said})
        assert answer.status == 200
    view = server.call("GET", "/v1/services/log").json()
    assert (view["platform"], view["made"]) == ("shop", {"shop": {"topics": ["a"]}})


def test_a_kind_that_its_package_does_not_hold_is_refused(server: Server) -> None:
    refused = server.call("POST", "/v1/services/log/made", {"platform": "shop", "kind": "jobs", "made": ["a"]})
    assert refused.status == 422
    assert refused.json()["message"] == "log holds no 'jobs'"
    assert refused.json()["expected"] == "topics"


def test_the_catalog_says_what_a_package_holds(server: Server) -> None:
    (package,) = server.call("GET", "/v1/packages").json()
    assert package["contents"] == PACKAGE["contents"]

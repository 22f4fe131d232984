"""A package of one's own can be taken out of the catalog again; nothing else can."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from served_master import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path / "data")
    source = b"class Hello: ..."
    digest = hashlib.sha256(source).hexdigest()
    found.call("PUT", f"/v1/blobs/{digest}", source)
    for name, version, own in (("hello", "1", True), ("hello", "2", True), ("log", "1", False)):
        body = {"name": name, "version": version, **({"source": digest} if own else {})}
        assert found.call("PUT", f"/v1/packages/{name}/{version}", body).status == 200
    yield found
    found.stop()


def known(server: Server) -> list[tuple[str, str, bool]]:
    return [(one["name"], one["version"], one["own"]) for one in server.call("GET", "/v1/packages").json()]


ALL = [("hello", "1", True), ("hello", "2", True), ("log", "1", False)]


def test_it_is_removed_whole_or_in_one_version_and_for_good(server: Server) -> None:
    assert known(server) == ALL
    assert server.call("DELETE", "/v1/packages/hello?version=1").status == 200
    assert known(server) == ALL[1:]
    assert server.call("DELETE", "/v1/packages/hello").status == 200
    assert known(server) == ALL[2:]
    assert [record.key for record in server.master.core.store.load("package")] == ["log@1"]


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("helo", 404, "no package 'helo', did you mean 'hello'?"),
        ("hello?version=3", 404, "package hello has no version '3'"),
        ("log", 409, "package log is part of this installation"),
    ],
)
def test_what_cannot_be_removed_is_one_clear_error(server: Server, path: str, status: int, says: str) -> None:
    refused = server.call("DELETE", f"/v1/packages/{path}")
    assert (refused.status, refused.json()["message"]) == (status, says)
    assert known(server) == ALL


def test_one_that_a_service_is_made_from_stays_and_the_service_is_named(server: Server) -> None:
    assert server.call("POST", "/v1/services", {"package": "hello", "name": "greeter", "version": "1"}).status == 200
    refused = server.call("DELETE", "/v1/packages/hello").json()
    assert refused["message"] == "package hello 1 is used by greeter"
    assert refused["expected"] == "`upcall uninstall greeter` first"
    assert known(server) == ALL
    assert server.call("DELETE", "/v1/packages/hello?version=2").status == 200


def test_the_code_of_a_service_that_stands_is_not_exchanged_under_its_version(server: Server) -> None:
    assert server.call("POST", "/v1/services", {"package": "hello", "name": "greeter", "version": "1"}).status == 200
    edited = b"class Hello: pass"
    digest = hashlib.sha256(edited).hexdigest()
    server.call("PUT", f"/v1/blobs/{digest}", edited)
    before = server.master.core.state.packages.find("hello", "1")
    refused = server.call("PUT", "/v1/packages/hello/1", {"name": "hello", "version": "1", "source": digest})
    assert refused.status == 409
    assert refused.json()["message"] == "greeter runs package hello 1, and these are other files"
    assert "another `version`" in refused.json()["expected"]
    assert server.master.core.state.packages.find("hello", "1") == before
    # The same files again are no exchange, and another version is another package.
    assert (
        server.call("PUT", "/v1/packages/hello/1", {"name": "hello", "version": "1", "source": before.source}).status
        == 200
    )
    assert server.call("PUT", "/v1/packages/hello/3", {"name": "hello", "version": "3", "source": digest}).status == 200


def test_only_an_operator_may(server: Server) -> None:
    assert server.call("DELETE", "/v1/packages/hello", principal="host").status == 403
    assert known(server) == ALL

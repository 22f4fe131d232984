"""What nobody refers to any more goes, and nothing else: blobs, versions, memory, addresses of the past."""

import asyncio
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from served_master import Server, Sse

from upcall.master import housekeeping, package_api
from upcall.master import records as r
from upcall.master.housekeeping import VERSIONS_KEPT
from upcall.master.transaction import Transaction


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path / "data")
    yield found
    found.stop()


def sweep(server: Server) -> None:
    asyncio.run_coroutine_threadsafe(server.master.housekeeping.sweep(), server.loop).result(180)


def upload(server: Server, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    assert server.call("PUT", f"/v1/blobs/{digest}", data, principal="host").status == 200
    return digest


def stored(server: Server) -> set[str]:
    return set(server.master.core.store.blobs())


def package(server: Server, version: str = "1", **more: object) -> int:
    body = {"name": "log", "version": version, **more}
    return server.call("PUT", f"/v1/packages/log/{version}", body, principal="host").status


class Code:
    """A service's code, as far as its calls go."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.events: Sse = server.stream("/v1/service/log/stream", principal="host")
        self.stream = self.events.until("subscribed")["stream"]

    def call(self, method: str, what: str, body: object = None) -> int:
        named = {"Upcall-Stream": self.stream}
        return self.server.call(method, f"/v1/service/log/{what}", body, principal="host", **named).status


def test_blobs_that_nobody_names_go_and_the_others_stay(server: Server) -> None:
    source, lock, file, lost = (upload(server, word) for word in (b"source", b"lock", b"file", b"lost"))
    other = upload(server, b"of a replacement")
    assert package(server, source=source) == 200
    assert server.call("POST", "/v1/services", {"package": "log"}).status == 200
    first = {"command": ["a"], "artifacts": [{"name": "a", "kind": "files", "lock": lock}]}
    second = {"command": ["a"], "files": [{"path": "a", "blob": file}]}
    third = {"command": ["a"], "files": [{"path": "a", "blob": other}]}
    members = {"m-1": {"declaration": first}, "m-2": {"declaration": second, "replacement": third}}
    code = Code(server)
    assert code.call("PUT", "members", {"members": members}) == 200
    sweep(server)
    assert stored(server) >= {lost}, "what is named by nobody yet may be about to be"
    sweep(server)
    assert stored(server) == {source, lock, file, other}
    changed = upload(server, b"changed source")
    assert package(server, source=changed) == 409, "a service is made from this version's files"
    sweep(server)
    sweep(server)
    assert stored(server) == {source, lock, file, other}
    code.events.close()


def test_a_blob_that_is_uploaded_again_waits_anew_for_its_manifest(server: Server) -> None:
    digest = upload(server, b"source")
    sweep(server)
    upload(server, b"source")
    sweep(server)
    assert package(server, source=digest) == 200
    sweep(server)
    assert stored(server) == {digest}


def test_blobs_together_have_a_bound(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "BLOBS_MIB_MAX", 1)
    first = b"x" * (600 << 10)
    upload(server, first)
    second = b"y" * (600 << 10)
    refused = server.call("PUT", f"/v1/blobs/{hashlib.sha256(second).hexdigest()}", second, principal="host")
    assert (refused.status, refused.json()["code"]) == (413, "too_large")
    upload(server, first)  # What is there already takes nothing.
    assert len(stored(server)) == 1


def test_old_versions_that_no_service_runs_are_forgotten(server: Server) -> None:
    for number in range(VERSIONS_KEPT + 3):
        assert package(server, f"1.{number}") == 200
    assert server.call("POST", "/v1/services", {"package": "log", "version": "1.1"}).status == 200
    sweep(server)
    kept = [each["version"] for each in server.call("GET", "/v1/packages").json()]
    assert kept == ["1.1", *(f"1.{number}" for number in range(3, VERSIONS_KEPT + 3))]
    assert {record.key for record in server.master.core.store.load(r.PACKAGE)} == {f"log@{each}" for each in kept}


def test_a_known_package_may_change_when_no_other_one_has_room(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert package(server, "1") == 200
    monkeypatch.setattr(package_api, "PACKAGES_MAX", 1)
    assert package(server, "1", description="changed") == 200
    assert package(server, "2") == 413


def test_memory_stays_as_long_as_volumes_may_be_taken_back(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    core = server.master.core

    def remembered() -> list[str]:
        return [record.key for record in core.store.load(r.STATE)]

    def life(*, keeps: bool) -> None:
        assert server.call("POST", "/v1/services", {"package": "log"}).status == 200
        code = Code(server)
        assert code.call("GET", "state/formed") == (200 if keeps else 404)
        if not keeps:
            assert code.call("PUT", "state/formed", {"value": True, "version": 0}) == 200
        assert code.call("PUT", "members", {"members": {"m-1": {"declaration": {"command": ["a"]}}}}) == 200
        gone = server.call("POST", "/v1/services/log/uninstall", {"reason": "because", "force": True})
        assert gone.status == 200, gone.body
        server.in_loop(lambda: None)
        assert server.call("GET", "/v1/services").json() == []
        code.events.close()

    assert package(server) == 200
    life(keeps=False)
    sweep(server)
    assert remembered() == ["log/formed"]
    life(keeps=True)
    core.wall = lambda: time.time() + 2 * 86400
    life(keeps=False)  # Installed after the grace, before any sweep: nothing of the past is left.
    assert remembered() == ["log/formed"]
    core.wall = lambda: time.time() + 4 * 86400
    sweep(server)
    assert remembered() == []


def test_addresses_of_members_that_are_gone_for_good_are_forgotten(server: Server) -> None:
    core = server.master.core

    def left_behind(tx: Transaction) -> None:
        core.state.replaced["log.m-1"] = "127.0.0.1"
        tx.put(r.REPLACED, "log.m-1", b"127.0.0.1")

    server.in_loop(lambda: core.post(left_behind))
    sweep(server)
    assert core.state.replaced == {}
    assert core.store.load(r.REPLACED) == []

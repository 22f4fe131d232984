"""Nothing is told that a crash may undo: what is in memory and not yet on the disk is in no answer."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, sleep

import pytest
from served_master import Answer, Server

from upcall.store.interface import Change, CommitFailed

PACKAGE = {"name": "log", "version": "1"}
READS = (
    "/v1/status", "/v1/packages", "/v1/services", "/v1/services/ghost", "/v1/services/ghost/plans", "/v1/endpoints",
    "/v1/nodes", "/v1/tasks", "/v1/operations?all=true", "/v1/operations/op-1", "/v1/operations/op-1/why",
    "/v1/secrets", "/metrics",
)  # fmt: skip


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path / "data")
    yield found
    found.stop()


def until(holds: Callable[[], bool]) -> None:
    end = monotonic() + 180
    while not holds():
        assert monotonic() < end
        sleep(0.01)


def test_what_is_not_durable_is_in_no_answer(server: Server) -> None:
    assert server.call("PUT", "/v1/packages/log/1", PACKAGE, principal="host").status == 200
    assert server.call("POST", "/v1/services", {"package": "log"}).status == 200
    stream = server.stream("/v1/service/log/stream", principal="host")
    named = {"Upcall-Stream": stream.until("subscribed")["stream"]}
    core, store = server.master.core, server.master.core.store
    commit, gate = store.commit, threading.Event()

    def held(changes: Sequence[Change]) -> int:
        gate.wait(600)
        raise CommitFailed("the disk is full")

    def waiting() -> int:
        return len(core._committer._waiting)

    def quiet() -> int:
        """No timer puts a turn of its own between those that are counted."""
        if core._timer:
            core._timer.cancel()
        return waiting()

    server.in_loop(lambda: setattr(store, "commit", held))
    with ThreadPoolExecutor(len(READS) + 3) as pool:
        writes = [
            pool.submit(server.call, "POST", "/v1/services", {"package": "log", "name": "ghost"}),
            pool.submit(server.call, "POST", "/v1/services/log/uninstall", {"reason": "because"}),
        ]
        until(lambda: server.in_loop(lambda: "ghost" in core.state.services and bool(core.state.ledger.operations())))
        before = server.in_loop(quiet)

        def read(path: str) -> Answer:
            if path in READS:
                return server.call("GET", path)
            return server.call("GET", path, principal="host", **named)

        paths = (*READS, "/v1/service/log/state/nothing")
        reads = {path: pool.submit(read, path) for path in paths}
        until(lambda: server.in_loop(waiting) >= before + len(paths) or bool(_any(reads)))  # type: ignore[arg-type]
        assert not _any(reads), "what answers before the write is over has told too much"  # type: ignore[arg-type]
        gate.set()
        assert {path: found.result(180).status for path, found in reads.items()} == dict.fromkeys(paths, 503)
        assert [write.result(180).status for write in writes] == [503, 503]
    server.in_loop(lambda: setattr(store, "commit", commit))
    until(lambda: server.call("POST", "/v1/startup", {}).status == 200)
    assert [each["name"] for each in server.call("GET", "/v1/services").json()] == ["log"]
    stream.close()


def _any(reads: dict[str, object]) -> list[str]:
    return [path for path, found in reads.items() if found.done()]  # type: ignore[attr-defined]

"""Two masters on one data folder never both write, also where its lock does not keep them apart."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from served_master import PREFIX
from test_turns import becomes, install, register

from upcall.cluster import certificate
from upcall.cluster.folder import Cluster, DataFolder
from upcall.master import driver
from upcall.master.app import Master, make
from upcall.operations import inputs as given
from upcall.protocol.errors import NotNow
from upcall.store.sqlite import SqliteStore
from upcall.substrate import interface as sub

RESTART = given.Propose(kind="restart", service="s", members=("m",), asked_by="ann", force=True, reason="a test")


@asynccontextmanager
async def master(folder: Path) -> AsyncIterator[Master]:
    """One of two: without its socket."""
    made = make(DataFolder(folder), Cluster(cluster="two", prefix="127.1.1", url="http://127.1.1.1:5050"))
    async with made.app.router.lifespan_context(made.app):
        yield made


def unlock(folder: Path) -> None:
    """As where somebody deleted the lock's file, or the file system only seems to lock."""
    database = DataFolder(folder).database
    database.with_name(database.name + ".lock").unlink()


async def test_an_older_master_writes_nothing_does_nothing_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqliteStore, "starts", lambda store: None)
    monkeypatch.setattr(driver, "LOOK_S", 3600.0)  # It finds out as it writes, however late that is.
    async with master(tmp_path) as older:
        register(older.core, "node-1")
        install(older.core, "s")
        becomes(older.core, "node-1", "ready")
        await older.core.durable()
        unlock(tmp_path)
        async with master(tmp_path) as newer:
            register(newer.core, "node-1", m="ready")
            await newer.core.durable()
            before = written(newer.core.store)
            sent, told_to_end = list[sub.Send](), list[str]()
            older.core.listener.send = sent.append  # type: ignore[method-assign, assignment]
            older.core.on_superseded = lambda: told_to_end.append("end")
            with pytest.raises(NotNow, match="was opened by start 2, and start 1 writes to it no more"):
                await older.core.turn(lambda tx: tx.ledger(RESTART))
            with pytest.raises(NotNow, match="another master has taken over"):
                await older.core.durable()
            with pytest.raises(NotNow, match="another master has taken over"):
                await older.core.turn(lambda tx: None)
            assert (sent, told_to_end) == ([], ["end"])
            assert written(newer.core.store) == before
            # What the older one acknowledged is there, and the newer one goes on with it.
            (member,) = newer.core.state.ledger.members("s")
            assert (member.incarnation, member.status) == (1, "ready")
            await newer.core.turn(lambda tx: tx.ledger(RESTART))
            assert newer.core.superseded == ""


@pytest.mark.parametrize("told", [True, False])
async def test_an_older_master_that_writes_nothing_ends_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    """Told by the store: it would look by itself long after this test; where nobody tells, it looks."""
    if told:
        monkeypatch.setattr(driver, "LOOK_SELDOM_S", 3600.0)
    else:
        monkeypatch.setattr(driver, "LOOK_S", 0.01)
        monkeypatch.setattr(SqliteStore, "starts", lambda store: None)
    looked = list[int]()
    monkeypatch.setattr(SqliteStore, "newest_start", counted(SqliteStore.newest_start, looked))
    ended = asyncio.Event()
    async with master(tmp_path) as older:
        older.core.on_superseded = ended.set
        register(older.core, "node-1")
        for number in range(20):
            await older.core.turn(lambda tx, number=number: tx.event("test", "test", f"{number}"))  # type: ignore[misc]
        assert len(looked) <= 1 or not told, "what it writes itself does not wake it"
        unlock(tmp_path)
        newer = SqliteStore(DataFolder(tmp_path).database)
        async with asyncio.timeout(180):
            await ended.wait()
        assert "start 2" in older.core.superseded
        newer.close()


def counted(look: Callable[[SqliteStore], int], looked: list[int]) -> Callable[[SqliteStore], int]:
    def counting(store: SqliteStore) -> int:
        found = look(store)
        looked.append(found)
        return found

    return counting


def test_its_process_ends_with_one_sentence(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with socket.socket() as probe:
        probe.bind((f"{PREFIX}.1", 0))
        port = probe.getsockname()[1]
    cluster = Cluster(cluster="two", prefix=PREFIX, url=f"https://{PREFIX}.1:{port}")
    folder.save_cluster(cluster)
    certificate.ensure(folder, cluster)
    process = subprocess.Popen(
        [sys.executable, "-m", "upcall.master", "--data", str(folder.root)], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    while not folder.master_socket.exists():
        assert process.poll() is None
        time.sleep(0.01)
    unlock(folder.root)
    newer = SqliteStore(folder.database)
    _, said = process.communicate(timeout=60)
    newer.close()
    assert process.returncode == 1
    last = said.splitlines()[-1]
    assert last.startswith("upcall.master: another master has taken over: ")
    assert "start 2" in last  # found at a write, or when it looked
    assert "Traceback" not in said


def written(store: object) -> list[tuple[str, str, int]]:
    assert isinstance(store, SqliteStore)
    return [(each.kind, each.key, each.version) for kind in store.kinds() for each in store.load(kind)]

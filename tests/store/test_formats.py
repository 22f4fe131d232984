"""A data folder of each released format is read by this release: records, what the cluster is, what agents know.

``scripts/keep_format.py`` wrote them, each when it was the present one.
"""

import shutil
import sqlite3
from pathlib import Path

import pytest

from upcall import __version__
from upcall.agent.checkpoint import Checkpoint
from upcall.cluster.folder import DataFolder
from upcall.master.state import load
from upcall.store.sqlite import SqliteStore

FORMATS = Path(__file__).parent / "formats"
KEPT = sorted(folder.name for folder in FORMATS.iterdir())


def test_the_format_of_the_first_release_is_kept() -> None:
    assert "0.1.0" in KEPT


@pytest.mark.parametrize("release", KEPT)
def test_what_the_master_of_this_release_wrote_is_read_whole(release: str, tmp_path: Path) -> None:
    path = tmp_path / "upcall.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript((FORMATS / release / "records.sql").read_text())
    connection.close()
    store = SqliteStore(path)
    state = load(store, store.start)
    hello = state.services["hello"].record
    assert (hello.options, hello.revision) == ({"count": 2, "greeting": "servus"}, 2)
    members = {member.name: member for member in state.ledger.members()}
    assert {name: member.incarnation for name, member in members.items()} == {"web-0": 2, "web-1": 2}
    kinds = {operation.kind: operation.state for operation in state.ledger.operations()}
    assert (kinds["update"], kinds["maintenance"], kinds["shutdown"]) == ("done", "done", "done")
    store.close()


@pytest.mark.parametrize("release", KEPT)
def test_what_the_cluster_of_this_release_is_is_read(release: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    shutil.copy(FORMATS / release / "cluster.json", data)
    cluster = DataFolder(data).load_cluster()
    assert cluster.upcall == release
    assert [node.name for node in cluster.nodes] == ["node-1", "node-2"]


@pytest.mark.parametrize("release", KEPT)
def test_what_an_agent_of_this_release_must_not_forget_is_read(release: str, tmp_path: Path) -> None:
    shutil.copy(FORMATS / release / "checkpoint.json", tmp_path)
    known = Checkpoint(tmp_path / "checkpoint.json").state
    assert {record.launch.task: record.state for record in known.tasks.values()} == {"hello.web-0.2": "ready"}


def test_this_release_would_be_kept_when_its_format_differs_from_the_last() -> None:
    assert __version__ in KEPT, "python scripts/keep_format.py"

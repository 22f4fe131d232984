"""Where the records are is chosen in the data folder, and what is wrong with the choice is said."""

from pathlib import Path

import msgspec
import pytest

from upcall.cli import cluster as birth
from upcall.cluster.folder import DataFolder
from upcall.kubernetes.settings import FILE
from upcall.master import stores
from upcall.protocol.errors import Invalid
from upcall.store.sqlite import SqliteStore


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / "data")
    birth.prepare(made, birth.choose(1, 512, 1.0))
    return made


def test_they_are_in_the_data_folder_where_nothing_else_is_said(folder: DataFolder) -> None:
    store = stores.opened(folder, folder.load_cluster())
    assert isinstance(store, SqliteStore)
    store.close()


def test_a_name_that_nobody_knows_is_refused_with_those_that_are_known(folder: DataFolder) -> None:
    cluster = msgspec.structs.replace(folder.load_cluster(), records="a-table")
    with pytest.raises(Invalid, match="records in 'a-table' are not known") as refused:
        stores.opened(folder, cluster)
    assert "kubernetes or sqlite" in str(refused.value)


def test_records_in_kubernetes_want_to_know_in_which(folder: DataFolder) -> None:
    cluster = msgspec.structs.replace(folder.load_cluster(), records="kubernetes")
    with pytest.raises(Invalid, match=FILE):
        stores.opened(folder, cluster)
    (folder.root / FILE).write_text('{"namespace": "data", "image": "i", "kubeconfig": "/nowhere"}')
    with pytest.raises(Invalid, match="no current context"):
        stores.opened(folder, cluster)

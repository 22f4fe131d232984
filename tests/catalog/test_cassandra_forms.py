"""In which form files of Cassandra are, and that no ring passes over some of them in silence."""

from pathlib import Path

import pytest

from upcall.catalog.cassandra.forms import NEWEST, in_newer_form
from upcall.catalog.cassandra.service import Cassandra
from upcall.protocol.errors import Conflict
from upcall.service.backup.archive import Archive
from upcall.service.backup.place import folder
from upcall.service.backup.reading import StoredBackup
from upcall.service.backup.writing import BackupInto
from upcall.service.context import Context

OLD = "data/node-0/shop/orders/nb-7-big-Data.db"
NEW = "data/node-0/shop/orders/oa-8-big-Data.db"
TRIES = "data/node-0/shop/orders/da-8-bti-Data.db"


@pytest.mark.parametrize(
    ("files", "newer"),
    [
        ((), False),
        (("nb-1-big-Data.db", "nb-1-big-Index.db"), False),
        (("me-12-big-Data.db",), False),
        (("nb-3g4j_0x1y_2zzz-big-Data.db",), False),
        ((OLD, NEW), True),
        ((TRIES,), True),
        (("oa-8-big-TOC.txt",), False),
    ],
)
def test_the_form_of_files_stands_in_their_names(files: tuple[str, ...], newer: bool) -> None:
    assert in_newer_form(files) == newer


def stored(to: Path, *names: str) -> StoredBackup:
    archive = Archive.begun(folder(str(to), make=True), "cassandra", "cassandra")
    into = BackupInto(archive, "cassandra-1")
    for name in names:
        into.add(name, b"rows")
    manifest = into.manifest(
        service="cassandra", package="cassandra", version="5.0.9", options={}, began_at=1.0, ended_at=2.0
    )
    return StoredBackup(archive, manifest)


def ring(version: str, mode: str = "CASSANDRA_4") -> Cassandra:
    found = Cassandra(Context(name="other", version=version, options={}))
    found._mode = mode  # type: ignore[assignment]
    found.version = version  # type: ignore[misc]
    return found


def test_what_no_node_would_read_is_refused_with_the_way_out(tmp_path: Path) -> None:
    backup = stored(tmp_path, OLD, NEW)
    with pytest.raises(Conflict, match=r"do not read its files.*upcall finalize other"):
        ring("5.0.9").refuse_what_no_node_reads(backup, empty=False)
    ring("5.0.9").refuse_what_no_node_reads(backup, empty=True)
    with pytest.raises(Conflict, match=r"final at a newer version than 4\.1\.10"):
        ring("4.1.10").refuse_what_no_node_reads(backup, empty=True)
    ring("5.0.9", NEWEST).refuse_what_no_node_reads(backup, empty=False)


def test_what_nodes_of_before_wrote_is_read_by_all(tmp_path: Path) -> None:
    ring("5.0.9").refuse_what_no_node_reads(stored(tmp_path, OLD), empty=False)

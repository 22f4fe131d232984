"""An archive in an object store: a real S3 server on loopback."""

from collections.abc import Iterator

import pytest

from s3_server import KEY, SECRET, s3_server
from upcall.protocol.errors import Forbidden, NotFound, NotNow
from upcall.service.backup.archive import Archive
from upcall.service.backup.manifest import Corrupt
from upcall.service.backup.place import Place, opened
from upcall.service.backup.reading import StoredBackup
from upcall.service.backup.removing import Remover, Which
from upcall.service.backup.writing import BackupInto

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as address:
        yield address


def place(endpoint: str, login: str = f"{KEY}:{SECRET}", bucket: str = "kept") -> Place:
    return opened(f"s3://{bucket}/backups/store", login=login, endpoint=endpoint)


def test_a_backup_in_an_object_store_is_whole_incremental_and_verified(endpoint: str) -> None:
    archive = Archive.begun(place(endpoint), "store", "store")
    big = bytes(range(256)) * (40 << 10)
    written = []
    for number in (1, 2):
        into = BackupInto(archive, f"store-{number}", life=1.0, base=next(iter(archive.manifests()[-1:]), None))
        into.add("big", [big[:100], big[100:]])
        into.add("small", f"text {number}")
        assert archive.manifests() == archive.manifests()
        assert f"store-{number}" not in archive.ids()
        archive.keep(into.manifest(service="store", package="store", version="1", began_at=1.0, ended_at=float(number)))
        written.append(into.new_bytes)
        archive = Archive.found(place(endpoint))
    assert written[1] == len("text 2")
    stored = StoredBackup(archive, archive.manifest("store-1"))
    assert stored.verify() == len(big) + 6
    assert (stored.read("big"), stored.read("small")) == (big, b"text 1")
    assert archive.drafts() == []


def test_notes_of_an_interrupted_backup_go_once_it_is_whole(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upcall.service.backup.writing.NOTE_S", 0.0)
    archive = Archive.begun(place(endpoint), "store", "store")
    BackupInto(archive, "store-3", life=1.0).add("a", b"first")
    assert archive.drafts() == ["store-3"]
    into = BackupInto(archive, "store-3", life=1.0)
    assert into.keep("a") is not None
    archive.keep(into.manifest(service="store", package="store", version="1", began_at=1.0, ended_at=3.0))
    assert archive.drafts() == []


def test_what_no_backup_needs_any_more_goes_from_an_object_store_too(endpoint: str) -> None:
    archive = Archive.found(place(endpoint))
    assert Remover(archive, 1.0).remove(Which(("store-1",))).freed_bytes == len("text 1")
    left = StoredBackup(archive, archive.manifest("store-2"))
    assert left.read("small") == b"text 2"
    left.verify()
    needed = {chunk.sha256 for each in archive.manifests() for part in each.parts for chunk in part.chunks}
    assert {*archive.chunks()} == needed
    assert "store-1" not in archive.ids()
    assert archive.removing() is None


def test_a_chunk_that_is_gone_is_found(endpoint: str) -> None:
    archive = Archive.begun(place(endpoint), "store", "store")
    part = BackupInto(archive, "store-4").add("a", b"to be lost")
    place(endpoint).drop(f"chunks/{part.chunks[0].sha256[:2]}/{part.chunks[0].sha256}")
    with pytest.raises(Corrupt, match="is gone"):
        Archive.found(place(endpoint)).get(part.chunks[0])


def test_a_wrong_login_and_a_bucket_that_is_not_there_are_one_clear_error_without_the_login(endpoint: str) -> None:
    for login, bucket in ((f"{KEY}:wrong-one", "kept"), (f"{KEY}:{SECRET}", "nowhere")):
        with pytest.raises((Forbidden, NotFound, NotNow)) as refused:
            Archive.begun(place(endpoint, login, bucket), "store", "store")
        assert "wrong-one" not in str(refused.value)
        assert SECRET not in str(refused.value)
        print(refused.value)

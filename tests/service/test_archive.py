"""Archives of backups: whole or not there, whatever is killed, full, damaged or somebody else's."""

import errno
import hashlib
import random
import zlib
from pathlib import Path
from typing import Any

import pytest

from upcall.protocol.errors import Conflict, Invalid, NotFound
from upcall.service.backup.archive import CHUNK_BYTES, Archive
from upcall.service.backup.manifest import Corrupt, Manifest
from upcall.service.backup.place import Folder, Full, Place, folder, normal
from upcall.service.backup.reading import StoredBackup
from upcall.service.backup.writing import BackupInto, CalledOff


class Killed(BaseException):
    """The process ends here."""


class Mortal(Folder):
    """A folder whose writer dies at a write: before anything, or with half of it in a file beside."""

    def __init__(self, where: Path) -> None:
        found = folder(str(where), make=True)
        super().__init__(found._files, found._root, found.where)
        self.writes, self.dies_at, self.half = 0, -1, False

    def write(self, name: str, data: bytes) -> None:
        self.writes += 1
        if self.writes == self.dies_at:
            if self.half:
                beside = Path(self._path(name)).parent
                beside.mkdir(parents=True, exist_ok=True)
                (beside / ".half").write_bytes(data[: len(data) // 2])
            raise Killed
        super().write(name, data)


def made(place: Place, data: dict[str, bytes], *, name: str = "store-1", **more: Any) -> Manifest:
    archive = Archive.begun(place, "store", "store")
    into = BackupInto(archive, name, life=1.0, base=next(iter(archive.manifests()[-1:]), None), **more)
    for part, contents in data.items():
        into.add(part, contents)
    into.promise("all of it")
    found = into.manifest(service="store", package="store", version="1", began_at=1.0, ended_at=float(name[6:]))
    archive.keep(found)
    return found


def held(place: Place, name: str) -> dict[str, bytes]:
    archive = Archive.found(place)
    stored = StoredBackup(archive, archive.manifest(name))
    stored.verify()
    return {part.name: stored.read(part) for part in stored.parts()}


FILES = {"a": b"first", "b": b"second" * 1000, "c": b""}


def test_what_was_put_in_comes_out(tmp_path: Path) -> None:
    place = folder(str(tmp_path / "new"), make=True)
    manifest = made(place, FILES)
    assert held(place, "store-1") == FILES
    assert manifest.size == manifest.new_bytes == sum(map(len, FILES.values()))
    folders = [tmp_path / "new", *(path for path in (tmp_path / "new").rglob("*") if path.is_dir())]
    assert {"chunks", "backups"} <= {path.name for path in folders}
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in folders} == {path.name: "0o700" for path in folders}


def test_what_is_there_is_not_written_again(tmp_path: Path) -> None:
    place = folder(str(tmp_path / "new"), make=True)
    made(place, FILES)
    second = made(place, {**FILES, "d": b"third"}, name="store-2")
    assert second.new_bytes == len(b"third")
    assert held(place, "store-1") == FILES


def test_what_is_large_is_cut_into_chunks_of_one_size(tmp_path: Path) -> None:
    place = folder(str(tmp_path / "new"), make=True)
    archive = Archive.begun(place, "store", "store")
    pieces = [bytes([number]) * (3 << 20) for number in range(7)]
    part = BackupInto(archive, "store-1").add("big", iter(pieces))
    assert [chunk.size for chunk in part.chunks] == [CHUNK_BYTES, CHUNK_BYTES, (21 << 20) - 2 * CHUNK_BYTES]
    assert b"".join(map(archive.get, part.chunks)) == b"".join(pieces)


def test_what_shrinks_lies_there_compressed_and_what_does_not_as_it_is(tmp_path: Path) -> None:
    place, noise = folder(str(tmp_path / "new"), make=True), random.Random(1).randbytes(100_000)
    made(place, {"text": b"all the same " * 10_000, "noise": noise})
    assert held(place, "store-1") == {"text": b"all the same " * 10_000, "noise": noise}
    sizes = sorted(path.stat().st_size for path in (tmp_path / "new" / "chunks").glob("*/*"))
    assert sizes[0] < 2_000
    assert sizes[1] == 100_000


def test_what_shrinks_beyond_what_was_written_is_damaged_and_is_never_held_whole(tmp_path: Path) -> None:
    place = folder(str(tmp_path / "new"), make=True)
    archive = Archive.begun(place, "store", "store")
    chunk, _ = archive.put(b"small")
    place.write(f"chunks/{chunk.sha256[:2]}/{chunk.sha256}", zlib.compress(bytes(64 << 20)))
    with pytest.raises(Corrupt, match="is damaged"):
        archive.get(chunk)


@pytest.mark.parametrize("half", [False, True])
def test_death_at_any_write_leaves_what_was_whole_and_the_next_one_goes_on(tmp_path: Path, half: bool) -> None:
    before = Mortal(tmp_path / "counted")
    made(before, FILES)
    writes = before.writes
    for point in range(1, writes + 1):
        place = Mortal(tmp_path / f"dies-{half}-{point}")
        place.half, place.dies_at = half, point
        with pytest.raises(Killed):
            made(place, FILES)
        assert Archive(place, Archive.begun(place, "store", "store").owner).ids() == []
        again = made(place, FILES)
        assert held(place, "store-1") == FILES
        assert again.id == "store-1"


def test_notes_of_a_backup_that_was_interrupted_say_what_need_not_be_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upcall.service.backup.writing.NOTE_S", 0.0)
    archive = Archive.begun(folder(str(tmp_path / "new"), make=True), "store", "store")
    BackupInto(archive, "store-1", life=1.0).add("a", b"first")
    assert archive.drafts() == ["store-1"]
    next_one = BackupInto(archive, "store-1", life=1.0)
    assert next_one.keep("a") is not None
    assert next_one.keep("b") is None
    assert BackupInto(archive, "store-1", life=2.0).keep("a") is None, "another life of the name"
    archive.keep(next_one.manifest(service="store", package="store", version="1", began_at=1.0, ended_at=2.0))
    assert archive.drafts() == []
    assert [part.name for part in archive.manifest("store-1").parts] == ["a"]


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_chunk_is_found_and_its_part_is_named(tmp_path: Path, damage: str) -> None:
    place = folder(str(tmp_path / "new"), make=True)
    made(place, FILES)
    digest = hashlib.sha256(FILES["b"]).hexdigest()
    chunk = tmp_path / "new" / "chunks" / digest[:2] / digest
    if damage == "gone":
        chunk.unlink()
    else:
        data = chunk.read_bytes()
        chunk.write_bytes(data[: len(data) // 2] if damage == "cut" else data[:-1] + b"!")
    with pytest.raises(Corrupt, match="b of store-1 cannot be restored"):
        held(place, "store-1")
    made(place, FILES, name="store-2", full=True)
    assert held(place, "store-1") == FILES, "written anew, it is well for both"


def test_a_damaged_manifest_is_no_backup(tmp_path: Path) -> None:
    place = folder(str(tmp_path / "new"), make=True)
    made(place, FILES)
    manifest = tmp_path / "new" / "backups" / "store-1"
    manifest.write_bytes(manifest.read_bytes()[:-20])
    with pytest.raises(Corrupt, match="damaged"):
        held(place, "store-1")
    assert Archive.found(place).manifests() == []


def test_a_full_folder_is_said_and_nothing_is_left_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = folder(str(tmp_path / "new"), make=True)
    made(place, FILES)

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(Full, match=r"is full; .*asked again, the backup goes on"):
            made(place, {"d": b"no room"}, name="store-2")
    assert not list((tmp_path / "new").rglob(".*"))
    assert Archive.found(place).ids() == ["store-1"]


def test_a_folder_that_went_away_is_not_begun_anew(tmp_path: Path) -> None:
    place = folder(str(tmp_path / "new"), make=True)
    archive = Archive.begun(place, "store", "store")
    (tmp_path / "new").rename(tmp_path / "elsewhere")
    with pytest.raises(NotFound, match="is gone"):
        archive.put(b"data")


def test_a_folder_of_another_service_or_of_something_else_is_refused(tmp_path: Path) -> None:
    place = folder(str(tmp_path / "new"), make=True)
    made(place, FILES)
    with pytest.raises(Conflict, match=r"holds backups of store \(store\)"):
        Archive.begun(place, "queue", "queue")
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    (other / "letter.txt").write_text("mine")
    with pytest.raises(Conflict, match="holds something else"):
        Archive.begun(folder(str(other), make=True), "store", "store")
    with pytest.raises(NotFound, match="no backups in"):
        Archive.found(folder(str(other), make=False))


def test_a_folder_that_others_may_look_into_is_refused(tmp_path: Path) -> None:
    open_one = tmp_path / "open"
    open_one.mkdir(mode=0o755)
    open_one.chmod(0o755)
    (tmp_path / "file").touch()
    with pytest.raises(Invalid, match="file/kept cannot be made: Not a directory"):
        folder(str(tmp_path / "file" / "kept"), make=True)
    with pytest.raises(Invalid, match="chmod 700"):
        folder(str(open_one), make=True)
    with pytest.raises(NotFound, match="no folder"):
        folder(str(tmp_path / "nowhere"), make=False)
    folder(str(open_one / "kept"), make=True)  # Who may look into the folder above sees its name, and no more.
    open_one.chmod(0o777)
    with pytest.raises(Invalid, match=f"chmod go-w {open_one}"):
        folder(str(open_one / "kept"), make=True)
    open_one.chmod(0o1777)
    folder(str(open_one / "kept"), make=True)


def test_each_folder_that_is_made_is_ours_alone(tmp_path: Path) -> None:
    folder(str(tmp_path / "all" / "kafka"), make=True)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("all", "all/kafka")] == [0o700, 0o700]


@pytest.mark.parametrize("where", ["backups", "../x", "https://host/x", "s3://", "s3://KEY:SECRET@bucket/x", ""])
def test_a_place_is_an_absolute_folder_or_a_bucket_without_a_login(where: str) -> None:
    with pytest.raises(Invalid):
        normal(where)


def test_one_word_for_one_place() -> None:
    assert normal("file:///var/backups/") == normal("/var//backups") == "/var/backups"
    assert normal("s3://bucket/a/") == "s3://bucket/a"


def test_two_backups_at_the_same_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    place = folder(str(tmp_path / "new"), make=True)
    archive, other = Archive.begun(place, "store", "store"), Archive.begun(place, "store", "store")
    one, two = BackupInto(archive, "store-1"), BackupInto(other, "store-2")
    for into in (one, two, one, two):
        into.add("a", b"first")
    one.add("b", b"one")
    two.add("b", b"two")
    for into, kept in ((one, archive), (two, other)):
        kept.keep(into.manifest(service="store", package="store", version="1", began_at=1.0, ended_at=2.0))
    assert held(place, "store-1") == {"a": b"first", "b": b"one"}
    assert held(place, "store-2") == {"a": b"first", "b": b"two"}


def test_a_backup_that_was_called_off_ends_its_threads(tmp_path: Path) -> None:
    into = BackupInto(Archive.begun(folder(str(tmp_path / "new"), make=True), "store", "store"), "store-1")
    into.call_off()
    with pytest.raises(CalledOff):
        into.add("a", b"first")

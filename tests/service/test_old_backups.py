"""Old backups are removed: what is kept misses nothing, whatever is killed, and whoever else is there."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from upcall.protocol.errors import Conflict, Invalid, NotFound
from upcall.service.backup.archive import Archive, Removing
from upcall.service.backup.manifest import Manifest
from upcall.service.backup.place import Folder, Place, folder
from upcall.service.backup.reading import StoredBackup
from upcall.service.backup.removing import Remover, Which
from upcall.service.backup.writing import BackupInto

LIFE = 1.0
DAYS = {
    f"store-{day}": {"always": b"the same", f"day {day}": f"what is new at day {day}".encode()} for day in (1, 2, 3)
}


class Killed(BaseException):
    """The process ends here."""


class Mortal(Folder):
    """A folder whose user dies at a call that changes something, and does nothing more; each thing that is removed is a
    call."""

    def __init__(self, where: Path, dies_at: int = -1) -> None:
        found = folder(str(where), make=True)
        super().__init__(found._files, found._root, found.where)
        self.calls, self.dies_at = 0, dies_at

    def _call(self) -> None:
        self.calls += 1
        if 0 < self.dies_at <= self.calls:
            raise Killed

    def write(self, name: str, data: bytes) -> None:
        self._call()
        super().write(name, data)

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            self._call()
            super().remove([name])

    def drop(self, folder: str) -> None:
        self._call()
        super().drop(folder)


def made(place: Place, name: str, parts: dict[str, bytes], life: float = LIFE) -> Manifest:
    archive = Archive.begun(place, "store", "store")
    into = BackupInto(archive, name, life=life, base=next(iter(archive.manifests()[-1:]), None))
    for part, contents in parts.items():
        into.add(part, contents)
    at = float(name.rpartition("-")[2])
    found = into.manifest(service="store", package="store", version="1", began_at=at, ended_at=at)
    archive.keep(found)
    return found


def three(where: Path) -> Folder:
    place = folder(str(where), make=True)
    for name, parts in DAYS.items():
        made(place, name, parts)
    return place


def held(place: Place, name: str) -> dict[str, bytes]:
    archive = Archive.found(place)
    stored = StoredBackup(archive, archive.manifest(name))
    stored.verify()
    return {part.name: stored.read(part) for part in stored.parts()}


def gone(place: Place, *names: str, keep: int = 0, older_than_s: float = 0.0) -> tuple[str, ...]:
    return Remover(Archive.found(place), LIFE).remove(Which(names, keep, older_than_s)).backups


def named(place: Place) -> set[str]:
    return {chunk.sha256 for one in Archive.found(place).manifests() for part in one.parts for chunk in part.chunks}


def test_what_goes_takes_with_it_what_no_other_backup_names(tmp_path: Path) -> None:
    place = three(tmp_path)
    archive = Archive.found(place)
    would = Remover(archive, LIFE).would(Which(("store-1",)))
    assert (would.backups, would.kept, would.freed_bytes) == (("store-1",), 2, len(b"what is new at day 1"))
    assert len([*archive.chunks()]) == 4, "a look changes nothing"
    assert gone(place, "store-1") == ("store-1",)
    assert archive.ids() == ["store-2", "store-3"]
    assert {*archive.chunks()} == named(place)
    assert all(held(place, name) == DAYS[name] for name in ("store-2", "store-3"))
    assert archive.removing() is None


@pytest.mark.parametrize(
    ("which", "goes"),
    [
        ({"keep": 1}, ("store-1", "store-2")),
        ({"keep": 3}, ()),
        ({"older_than_s": 1.0}, ("store-1", "store-2")),
        ({"older_than_s": 1e12}, ()),
        ({"keep": 2, "older_than_s": 1.0}, ("store-1",)),
    ],
)
def test_so_many_stay_and_always_the_newest(tmp_path: Path, which: dict[str, float], goes: tuple[str, ...]) -> None:
    place = three(tmp_path)
    assert gone(place, **which) == goes  # type: ignore[arg-type]
    assert set(Archive.found(place).ids()) == DAYS.keys() - {*goes}


@pytest.mark.parametrize("which", [Which(), Which(("store-1",), 2), Which(("store-1",), 0, 3.0)])
def test_it_has_to_be_said_which_and_in_one_way(tmp_path: Path, which: Which) -> None:
    with pytest.raises(Invalid, match="not said which"):
        Remover(Archive.found(three(tmp_path)), LIFE).remove(which)


def test_one_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    place = three(tmp_path)
    with pytest.raises(NotFound, match=r"no backup 'store-9' .*store-3"):
        gone(place, "store-1", "store-9")
    assert len(Archive.found(place).ids()) == 3


def test_a_kill_at_any_call_leaves_what_is_kept_whole_and_the_next_removal_ends_it(tmp_path: Path) -> None:
    counted = Mortal(three(tmp_path / "counted")._root)  # type: ignore[arg-type]
    gone(counted, keep=1)
    assert counted.calls >= 6, "a marker, two manifests, two chunks, the marker again"
    for point in range(1, counted.calls + 1):
        where = tmp_path / f"dies-{point}"
        three(where)
        with pytest.raises(Killed):
            gone(Mortal(where, point), keep=1)
        place = folder(str(where), make=False)
        assert all(held(place, name) == DAYS[name] for name in Archive.found(place).ids())
        assert "store-3" in Archive.found(place).ids()
        assert {*gone(place, keep=1)} == {"store-1", "store-2"}, "also those that were gone by then"
        assert Archive.found(place).ids() == ["store-3"]
        assert {*Archive.found(place).chunks()} == named(place)
        made(place, "store-4", DAYS["store-1"])
        assert held(place, "store-4") == DAYS["store-1"]


def test_nothing_is_written_while_something_is_removed(tmp_path: Path) -> None:
    place = three(tmp_path)
    archive = Archive.found(place)
    archive.remove_from_now(Removing(backups=("store-1",), began_at=1.0))
    with pytest.raises(Conflict, match=r"old backups are being removed .*upcall backup remove"):
        BackupInto(archive, "store-4", life=LIFE)
    assert archive.drafts() == []
    gone(place, keep=2)
    made(place, "store-4", DAYS["store-1"])


def test_nothing_is_removed_while_another_installation_writes(tmp_path: Path) -> None:
    place = three(tmp_path)
    other = BackupInto(Archive.found(place), "store-4", life=2.0)
    part = other.add("day 4", b"of another cluster")
    with pytest.raises(Conflict, match="store-4 was begun by another installation of store"):
        gone(place, keep=1)
    assert len(Archive.found(place).ids()) == 3
    assert Archive.found(place).get(part.chunks[0]) == b"of another cluster"
    assert Archive.found(place).removing() is None


def test_what_an_interrupted_backup_has_noted_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upcall.service.backup.writing.NOTE_S", 0.0)
    place = three(tmp_path)
    BackupInto(Archive.found(place), "store-4", life=LIFE).add("day 4", b"noted")
    gone(place, keep=1)
    goes_on = BackupInto(Archive.found(place), "store-4", life=LIFE)
    part = goes_on.keep("day 4")
    assert part is not None
    assert Archive.found(place).get(part.chunks[0]) == b"noted"


def test_what_cannot_be_read_might_need_anything_until_it_goes_by_its_name(tmp_path: Path) -> None:
    place = three(tmp_path)
    manifest = tmp_path / "backups" / "store-2"
    manifest.write_bytes(manifest.read_bytes()[:-9])
    with pytest.raises(Conflict, match=r"store-2 cannot be read.*removed as well, by its name"):
        gone(place, "store-1")
    assert {*Archive.found(place).ids()} == DAYS.keys()
    gone(place, "store-1", "store-2")
    assert held(place, "store-3") == DAYS["store-3"]
    assert {*Archive.found(place).chunks()} == named(place)


def test_what_a_killed_write_left_goes_with_the_next_removal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = three(tmp_path)

    def killed(number: int) -> None:
        raise SystemError("there is no cleaning up after a SIGKILL")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", killed)
        patched.setattr(Path, "unlink", lambda path, missing_ok=False: None)
        with pytest.raises(Exception, match="SIGKILL"):
            place.write("chunks/ab/abcd", b"half")
    (half,) = (tmp_path / "chunks" / "ab").glob(".*")
    gone(place, keep=1)
    assert not half.exists()
    assert held(place, "store-3") == DAYS["store-3"]


def test_what_is_no_chunk_is_left_alone(tmp_path: Path) -> None:
    place = three(tmp_path)
    (tmp_path / "chunks" / "letter").write_text("mine")
    (tmp_path / "chunks" / "ab").mkdir(exist_ok=True)
    (tmp_path / "chunks" / "ab" / "letter").write_text("mine")
    gone(place, keep=1)
    assert (tmp_path / "chunks" / "ab" / "letter").read_text() == "mine"

"""Volumes, tails, retention: file work without processes."""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from upcall.agent import logs, retention, sandbox
from upcall.agent.tail import Tail
from upcall.agent.volumes import Volumes, WithoutData
from upcall.keeper.logs import RotatingLog
from upcall.keeper.records import EXIT
from upcall.protocol.declaration import File
from upcall.protocol.errors import Invalid


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    for name in ("volumes", "removed", "served"):
        (tmp_path / name).mkdir()
    return Volumes(tmp_path / "volumes", tmp_path / "removed", tmp_path / "served")


def write(volumes: Volumes, member: str, place: int, text: str) -> Path:
    path = Path(volumes.paths(member, place, ["data"])["data"]) / "file"
    path.write_text(text)
    return path


def test_a_file_that_somebody_handed_over_is_written_as_it_is(tmp_path: Path) -> None:
    text = 'print(f"json: {{name}}", "{{address}}")'
    sandbox.write_file(tmp_path, File(path="program.py", text=text, verbatim=True), {"address": "127.0.0.1"}, None)
    assert (tmp_path / "program.py").read_text() == text
    with pytest.raises(Invalid, match="unknown name"):
        sandbox.write_file(tmp_path, File(path="program.py", text=text), {"address": "127.0.0.1"}, None)


def test_a_prepared_set_is_taken_up_again(volumes: Volumes) -> None:
    volumes.create("a.b", 1, ["data"], adopt=True)
    file = write(volumes, "a.b", 1, "kept")
    volumes.mark_prepared("a.b", 1)
    volumes.create("a.b", 1, ["data", "more"], adopt=True)
    assert file.read_text() == "kept"


def test_a_half_prepared_set_is_wiped(volumes: Volumes) -> None:
    volumes.create("a.b", 1, ["data"], adopt=True)
    file = write(volumes, "a.b", 1, "half")
    volumes.create("a.b", 1, ["data"], adopt=True)
    assert not file.exists()
    assert not volumes.prepared("a.b", 1)


def test_what_may_not_be_adopted_is_set_aside_and_not_deleted(volumes: Volumes, tmp_path: Path) -> None:
    volumes.create("a.b", 1, ["data"], adopt=True)
    write(volumes, "a.b", 1, "old")
    volumes.mark_prepared("a.b", 1)
    volumes.create("a.b", 1, ["data"], adopt=False)
    assert not volumes.prepared("a.b", 1)
    aside = list((tmp_path / "volumes" / "a.b").glob("1.aside-*/data/file"))
    assert [file.read_text() for file in aside] == ["old"]
    assert [(kept.name, kept.fence) for kept in volumes.kept()] == [("data", 1)]


def served(volumes: Volumes, fence: int = 1) -> Path:
    """A member was ready with a volume that holds its data and with another one; the folder of the first."""
    volumes.create("a.b", fence, ["data", "spool"], adopt=True, holding=["data"])
    file = write(volumes, "a.b", fence, "kept")
    volumes.mark_prepared("a.b", fence)
    volumes.mark_served("a.b", fence, ["data"])
    return file.parent


def returns(volumes: Volumes, fence: int = 1, *, holding: Sequence[str] = ("data",)) -> None:
    volumes.create("a.b", fence, ["data", "spool", "new"], adopt=True, holding=holding)


def test_who_was_ready_with_a_volume_returns_to_it_and_to_no_empty_one(volumes: Volumes) -> None:
    folder = served(volumes)
    returns(volumes)
    returns(volumes, holding=["data", "new"])  # A volume that came later was never served with.
    for entry in folder.iterdir():
        entry.unlink()
    (folder / "written-since").touch()
    volumes.mark_served("a.b", 1, ["data"])  # As when it is ready once more, before it ends.
    with pytest.raises(WithoutData, match=r"without what it served with: .*/data has no \.upcall-served"):
        returns(volumes)
    assert (folder / "written-since").exists(), "nothing is wiped"
    returns(volumes, holding=[])
    returns(volumes, fence=2)  # Another place: it is empty there, and that is known.
    (folder / ".upcall-served").touch()  # It was put back.
    returns(volumes)


def test_a_mark_that_is_all_that_is_left_is_no_data(volumes: Volumes) -> None:
    folder = served(volumes)
    for entry in folder.glob("[!.]*"):  # As a shell's `*` finds it.
        entry.unlink()
    assert [entry.name for entry in folder.iterdir()] == [".upcall-served"]
    with pytest.raises(WithoutData, match=r"has nothing but \.upcall-served: it was emptied"):
        returns(volumes)


def test_who_is_ready_before_it_has_written_anything_returns_to_its_empty_volume(volumes: Volumes) -> None:
    volumes.create("a.b", 1, ["data"], adopt=True, holding=["data"])
    volumes.mark_prepared("a.b", 1)
    volumes.mark_served("a.b", 1, ["data"])
    returns(volumes)
    write(volumes, "a.b", 1, "first")
    volumes.mark_served("a.b", 1, ["data"])
    (Path(volumes.paths("a.b", 1, ["data"])["data"]) / "file").unlink()
    with pytest.raises(WithoutData):
        returns(volumes)


def test_who_was_ready_with_a_set_that_is_gone_does_not_begin_anew(volumes: Volumes, tmp_path: Path) -> None:
    shutil.rmtree(served(volumes).parent.parent)
    with pytest.raises(WithoutData):
        returns(volumes)
    assert list((tmp_path / "volumes").iterdir()) == []


def test_what_is_set_aside_or_deleted_is_returned_to_by_nobody(volumes: Volumes, tmp_path: Path) -> None:
    served(volumes)
    volumes.create("a.b", 1, ["data"], adopt=False, holding=["data"])
    returns(volumes)
    volumes.mark_prepared("a.b", 1)
    volumes.mark_served("a.b", 1, ["data"])
    volumes.delete("a.b", 1)
    assert list((tmp_path / "served").iterdir()) == []
    returns(volumes)


@pytest.mark.parametrize("link", ["folder", "mark"])
def test_a_mark_follows_no_link(volumes: Volumes, tmp_path: Path, link: str) -> None:
    volumes.create("a.b", 1, ["data"], adopt=True)
    folder, elsewhere = Path(volumes.paths("a.b", 1, ["data"])["data"]), tmp_path / "elsewhere"
    elsewhere.mkdir()
    if link == "folder":
        folder.rmdir()
        folder.symlink_to(elsewhere)
        with pytest.raises(OSError, match="data"):
            volumes.mark_served("a.b", 1, ["data"])
    else:
        (folder / ".upcall-served").symlink_to(elsewhere / "file")
        volumes.mark_served("a.b", 1, ["data"])
    assert list(elsewhere.iterdir()) == []


def test_deletion_takes_one_set_and_no_other(volumes: Volumes, tmp_path: Path) -> None:
    for place in (1, 2, 3):
        volumes.create("a.b", place, ["data"], adopt=True)
    volumes.delete("a.b", 2)
    assert [kept.fence for kept in volumes.kept()] == [1, 3]
    volumes.delete("a.b", 3)
    volumes.delete("a.b", 1)
    assert volumes.kept() == ()
    assert list((tmp_path / "volumes").iterdir()) == []
    assert list((tmp_path / "removed").iterdir()) == []


def test_a_tail_reads_each_byte_once_across_a_rotation(tmp_path: Path) -> None:
    log = RotatingLog(str(tmp_path / "stdout"), max_bytes=30, files=3)
    tail = Tail(tmp_path / "stdout")
    seen: list[bytes] = []
    for number in range(20):
        log.write(b"line %02d\n" % number)
        if number % 3 == 0:
            seen += tail.lines()
    seen += tail.lines()
    assert seen == [b"line %02d" % number for number in range(20)]


@pytest.mark.parametrize("again", [False, True])
def test_a_tail_reads_each_byte_once_when_files_are_rotated_while_it_looks_for_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """The log goes on between any look at which file it is and the opening of that. ``again``: by another reader, who
    knows the place alone."""
    log = RotatingLog(str(tmp_path / "stdout"), max_bytes=30, files=16)
    written: list[bytes] = []
    number, turns = Tail._number, iter(range(400))

    def write_some() -> None:
        for _ in range(1 + next(turns) % 5):
            if len(written) < 40:
                written.append(b"line %02d" % len(written))
                log.write(written[-1] + b"\n")

    def looked(tail: Tail, inode: int) -> int | None:
        found = number(tail, inode)
        write_some()
        return found

    write_some()
    monkeypatch.setattr(Tail, "_number", looked)
    tail, seen = Tail(tmp_path / "stdout"), b""
    for _ in range(30):
        seen += tail.read()
        assert not tail.skipped
        tail = Tail(tmp_path / "stdout", tail.position) if again else tail
    assert seen.splitlines() == written
    assert len(written) == 40


def test_the_last_lines_reach_into_rotated_files(tmp_path: Path) -> None:
    log = RotatingLog(str(tmp_path / "stdout"), max_bytes=30, files=4)
    for number in range(9):
        log.write(b"line %02d\n" % number)
    assert logs.last_lines(tmp_path / "stdout", 5) == b"".join(b"line %02d\n" % n for n in range(4, 9))
    assert logs.last_lines(tmp_path / "nothing", 5) == b""


def test_a_full_disk_drops_output_and_counts_it() -> None:
    log = RotatingLog("/dev/full")
    log.write(b"lost")
    assert log.dropped_bytes == 4


def test_the_last_sandbox_and_a_few_logs_of_each_member_are_kept(tmp_path: Path) -> None:
    for number in range(1, 11):
        (tmp_path / f"a.b.{number}" / "sandbox").mkdir(parents=True)
        (tmp_path / f"a.b.{number}" / "logs").mkdir()
    retention.tidy(tmp_path, {"a.b.10"})
    left = sorted(int(folder.name.split(".")[2]) for folder in tmp_path.iterdir())
    assert left == [6, 7, 8, 9, 10]
    assert sorted(folder.parent.name for folder in tmp_path.glob("*/sandbox")) == ["a.b.10", "a.b.9"]


def ended(tasks: Path, name: str, days_ago: float = 0.0, size: int = 0) -> Path:
    folder = tasks / name
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "stdout").write_bytes(b"x" * size)
    (folder / "sandbox").mkdir()
    (folder / EXIT).touch()
    at = time.time() - days_ago * 86_400
    os.utime(folder / EXIT, (at, at))
    return folder


def test_what_ended_tasks_left_is_kept_for_a_week(tmp_path: Path) -> None:
    old, new = ended(tmp_path, "a.b.1", days_ago=7.1), ended(tmp_path, "c.d.1", days_ago=6.9)
    runs = ended(tmp_path, "e.f.1", days_ago=7.1)
    retention.tidy(tmp_path, {"e.f.1"})
    assert (old.exists(), new.exists(), runs.exists()) == (False, True, True)


def test_what_ended_tasks_left_is_bounded_for_all_of_them_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "FOLDERS_MAX", 5)
    monkeypatch.setattr(retention, "SANDBOXES_MAX", 2)
    monkeypatch.setattr(retention, "LOGS_BYTES_MAX", 1000)
    for number in range(1, 9):
        ended(tmp_path, f"jobs.job-{number}.1", days_ago=number / 10)
    retention.tidy(tmp_path, ())
    assert sorted(folder.name for folder in tmp_path.iterdir()) == [f"jobs.job-{number}.1" for number in range(1, 6)]
    assert sorted(f.parent.name for f in tmp_path.glob("*/sandbox")) == ["jobs.job-1.1", "jobs.job-2.1"]
    ended(tmp_path, "loud.a.1", days_ago=0.01, size=600)
    ended(tmp_path, "loud.b.1", days_ago=0.15, size=600)
    retention.tidy(tmp_path, ())
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["jobs.job-1.1", "loud.a.1"]


def test_secrets_are_private_files(tmp_path: Path) -> None:
    sandbox.write_secrets(tmp_path / "secrets", {"password": "x"})
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "secrets" / "password").stat().st_mode & 0o777 == 0o600
    with pytest.raises(Invalid, match="not a name"):
        sandbox.write_secrets(tmp_path / "secrets", {"../up": "x"})


def test_a_file_has_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        sandbox.write_file(tmp_path, File(path="bin/run", text="{{a}}", mode=0o755), {"a": "b"}, None)
    finally:
        os.umask(before)
    assert (tmp_path / "bin" / "run").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "bin" / "run").read_text() == "b"

"""A layer's bytes follow from its files alone: not from the disk, the moment or the user."""

import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upcall.image import layers
from upcall.image.errors import ImageError
from upcall.image.layers import Data, Folder, Link, tree, write

NAMES = st.text("abcdef.-_", min_size=1, max_size=90).filter(lambda name: name not in (".", "..", "__pycache__"))


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def fill(folder: Path, names: list[str]) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"this is {name}\n")
    (folder / "bin" / "run").chmod((folder / "bin" / "run").stat().st_mode | 0o100)
    (folder / "link").symlink_to("bin/run")


def entries(blob: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(blob) as tar:
        return {one.name: one for one in tar}


def test_another_folder_umask_order_and_time_give_the_same_digest(tmp_path: Path, umask: None) -> None:
    names = ["bin/run", "lib/a", "lib/deep/er/b", "c"]
    fill(tmp_path / "one", names)
    os.umask(0o002)
    fill(tmp_path / "elsewhere" / "two", names[::-1])
    os.utime(tmp_path / "one" / "c", (1, 1))
    one = write(tree(tmp_path / "one", "at/it"), tmp_path / "1")
    two = write(tree(tmp_path / "elsewhere" / "two", "at/it"), tmp_path / "2")
    assert (one.digest, one.diff_id, one.size) == (two.digest, two.diff_id, two.size)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_everything_is_roots_and_of_one_time(tmp_path: Path) -> None:
    fill(tmp_path / "one", ["bin/run", "lib/a"])
    write(tree(tmp_path / "one", "at"), tmp_path / "blob")
    found = entries(tmp_path / "blob")
    assert {(one.uid, one.gid, one.uname, one.gname, one.mtime) for one in found.values()} == {
        (0, 0, "", "", layers.TIME_S)
    }
    assert {name: one.mode for name, one in found.items()} == {
        "at": 0o755, "at/bin": 0o755, "at/bin/run": 0o755, "at/lib": 0o755, "at/lib/a": 0o644, "at/link": 0o777,
    }  # fmt: skip
    assert found["at/link"].linkname == "bin/run"


def test_what_python_makes_of_its_sources_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "one" / "__pycache__").mkdir(parents=True)
    (tmp_path / "one" / "__pycache__" / "a.pyc").write_bytes(b"other bytes each time")
    (tmp_path / "one" / "a.py").write_text("")
    assert list(tree(tmp_path / "one", "")) == ["a.py"]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImageError, match="pipe is neither file nor folder"):
        tree(tmp_path, "at")


def test_a_folder_may_have_a_mode_of_its_own(tmp_path: Path) -> None:
    write({"tmp": Folder(0o1777), "tmp/a": Data(b"")}, tmp_path / "blob")
    assert entries(tmp_path / "blob")["tmp"].mode == 0o1777


def test_the_digests_are_of_what_is_sent_and_of_what_is_in_it(tmp_path: Path) -> None:
    layer = write({"a": Data(b"x" * 1000), "b": Link("a")}, tmp_path / "blob")
    sent = (tmp_path / "blob").read_bytes()
    assert layer.digest == f"sha256:{hashlib.sha256(sent).hexdigest()}"
    assert layer.size == len(sent)
    assert layer.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(sent)).hexdigest()}"
    assert sent[4:8] == b"\0\0\0\0", "no time in the header"
    assert sent[3] == 0, "no name in the header"


def test_the_bytes_are_those_of_every_other_machine(tmp_path: Path) -> None:
    """A change of these is a change of every image: raise `building.FORMAT` with it."""
    layer = write({"a/b": Data(b"the same\n", executable=True), "c": Link("a/b"), "d" * 120: Data(b"")}, tmp_path / "b")
    assert layer.diff_id == "sha256:7e07c9337afb89a29ed4784fc4c0290f973cc2cb98e43256042753e86e9f9a31"
    if layers.usual():
        assert layer.digest == "sha256:fbb580b1a00136c688420a77ac51b292b8937ac08d7b80cfdaa40cf5342f98b7"


def test_a_full_disk_is_said() -> None:
    with pytest.raises(ImageError, match="the disk is full while a layer is written") as caught:
        write({"a": Data(b"a" * 100_000)}, Path("/dev/full"))
    assert "UPCALL_CACHE on another one" in caught.value.problem.expected


def test_another_compressor_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zlib, "compress", lambda data, level: data[::-1])
    assert not layers.usual()


@given(st.dictionaries(NAMES, st.binary(max_size=100), max_size=20))
def test_the_order_in_which_entries_are_known_does_not_matter(files: dict[str, bytes]) -> None:
    def archived(names: list[str]) -> bytes:
        made = io.BytesIO()
        layers.archive({f"at/{name}": Data(files[name]) for name in names}, made)
        return made.getvalue()

    assert archived(sorted(files)) == archived(sorted(files, reverse=True))

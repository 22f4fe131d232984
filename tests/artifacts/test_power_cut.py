"""What has a name in the cache is on the disk: a power cut is played by keeping only what was synced."""

import hashlib
import os
from pathlib import Path

import pytest

from upcall.artifacts import cache as module
from upcall.artifacts.cache import Cache
from upcall.artifacts.lock import LockedFile

DATA = b"the bytes of a jar"


def locked(data: bytes) -> LockedFile:
    return LockedFile(name="a.jar", sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, file = Cache(tmp_path / "cache"), locked(DATA)
    target = cache.file_path(file.sha256)
    synced: dict[int, bytes] = {}
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        sync(descriptor)
        assert not target.exists()
        synced[os.fstat(descriptor).st_ino] = os.pread(descriptor, 1 << 20, 0)

    monkeypatch.setattr(os, "fsync", fsync)
    cache.part(file).write_bytes(DATA)
    cache.put(cache.part(file), file, "kafka")
    assert synced == {target.stat().st_ino: DATA}


def test_a_tree_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path / "cache")
    on_disk: dict[str, bytes] = {}

    def sync(folder: Path) -> None:
        assert cache.tree("key") is None
        on_disk.update({str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()})

    monkeypatch.setattr(module, "sync_file_system", sync)
    with cache.making("key") as folder:
        (folder / "lib").mkdir()
        for number in range(3):
            (folder / "lib" / f"{number}.py").write_text(f"x = {number}\n")
    tree = cache.tree("key")
    assert tree is not None
    assert on_disk == {f"lib/{number}.py": f"x = {number}\n".encode() for number in range(3)}


def test_what_cannot_be_written_to_the_disk_gets_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sync(folder: Path) -> None:
        raise OSError(5, "Input/output error", str(folder))

    cache = Cache(tmp_path / "cache")
    monkeypatch.setattr(module, "sync_file_system", sync)
    with pytest.raises(OSError, match="Input/output error"), cache.making("key") as folder:
        (folder / "a").write_text("a")
    assert cache.tree("key") is None
    assert list((cache.root / "partial").iterdir()) == []


def test_the_sync_of_a_file_system_is_the_real_one(tmp_path: Path) -> None:
    module.sync_file_system(tmp_path)
    with pytest.raises(FileNotFoundError):
        module.sync_file_system(tmp_path / "nowhere")

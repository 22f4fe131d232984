"""Tokens and secrets: whole, private, and still there after a power cut."""

import os
import stat
from pathlib import Path

import pytest

from upcall.cluster.folder import write_private


def test_a_private_file_and_then_its_name_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokens" / "host"
    synced: list[tuple[int, bool]] = []
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        sync(descriptor)
        synced.append((os.fstat(descriptor).st_ino, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_private(path, b"secret")
    assert path.read_bytes() == b"secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # The bytes before the file has its name, and then the folder with the name.
    assert synced == [(path.stat().st_ino, False), (path.parent.stat().st_ino, True)]

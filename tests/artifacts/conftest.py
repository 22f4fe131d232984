"""Artifacts without a network: small locks, and tools that are played."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from file_server import FileServer, serving

from upcall.artifacts.cache import Cache
from upcall.artifacts.lock import FORMAT, Lock, LockedFile, digest_of, render_lock
from upcall.protocol.declaration import Artifact


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "a cache")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """Files on loopback, reached without a proxy; what is tried again is tried at once."""
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("upcall.artifacts.transfer.PAUSE_S", 0.001)
    with serving() as served:
        yield served


@pytest.fixture
def local() -> Callable[..., tuple[Artifact, dict[str, bytes]]]:
    """An artifact of local files, and the blobs that a package registers for it."""

    def make(contents: dict[str, bytes], name: str = "things") -> tuple[Artifact, dict[str, bytes]]:
        files = tuple(
            LockedFile(name=path, sha256=digest_of(data), size=len(data)) for path, data in sorted(contents.items())
        )
        lock = render_lock(Lock(format=FORMAT, kind="files", name=name, version="1", files=files))
        blobs = {digest_of(data): data for data in [lock, *contents.values()]}
        return Artifact(name=name, kind="files", lock=digest_of(lock)), blobs

    return make


@pytest.fixture
def registered() -> Callable[[Lock], tuple[Artifact, dict[str, bytes]]]:
    """The artifact of any lock."""

    def make(lock: Lock) -> tuple[Artifact, dict[str, bytes]]:
        data = render_lock(lock)
        return Artifact(name=lock.name, kind=lock.kind, lock=digest_of(data)), {digest_of(data): data}

    return make

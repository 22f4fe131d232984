"""Jars: asked for by coordinate, judged by hash, gone on with where it stopped. The resolver is played."""

from collections.abc import Callable
from pathlib import Path

import pytest

from upcall.artifacts import maven
from upcall.artifacts.cache import Cache
from upcall.artifacts.errors import Mismatch, NotCached
from upcall.artifacts.fetch import fetch
from upcall.artifacts.lock import FORMAT, Lock, LockedFile, digest_of
from upcall.protocol.declaration import Artifact

Registered = Callable[[Lock], tuple[Artifact, dict[str, bytes]]]
JARS = {"zeta-1.jar": b"zeta", "alpha-2.jar": b"alpha", "mid-3.jar": b"mid"}


@pytest.fixture
def jars(registered: Registered) -> tuple[Artifact, dict[str, bytes]]:
    listed = tuple(
        LockedFile(name=name, sha256=digest_of(data), size=len(data), source=f"org.example:{name[:-6]}:jar:1")
        for name, data in JARS.items()
    )
    return registered(Lock(format=FORMAT, kind="maven", name="lib", version="1", files=listed))


class Registry:
    """Stands in for the resolver."""

    def __init__(self) -> None:
        self.contents = dict(JARS)
        self.asked: list[str] = []

    def __call__(self, artifact: str, file: LockedFile, scratch: Path) -> Path:
        self.asked.append(file.name)
        if file.name not in self.contents:
            raise NotCached(artifact, file.name, "the registry cannot be reached")
        path = scratch / file.name
        path.write_bytes(self.contents[file.name])
        return path


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    played = Registry()
    monkeypatch.setattr(maven, "_download", played)
    return played


def test_the_class_path_lists_jar_by_jar_sorted(
    cache: Cache, jars: tuple[Artifact, dict[str, bytes]], registry: Registry
) -> None:
    artifact, blobs = jars
    realised = fetch([artifact], cache, blobs.__getitem__)["lib"]
    entries = realised.properties["classpath"].split(":")
    assert [Path(entry).name for entry in entries] == ["alpha-2.jar", "mid-3.jar", "zeta-1.jar"]
    assert [Path(entry).read_bytes() for entry in entries] == [b"alpha", b"mid", b"zeta"]


def test_once_fetched_no_registry_is_asked(
    cache: Cache, jars: tuple[Artifact, dict[str, bytes]], registry: Registry
) -> None:
    artifact, blobs = jars
    first = fetch([artifact], cache, blobs.__getitem__)
    registry.asked.clear()
    offline = Cache(cache.root, offline=True)
    assert fetch([artifact], offline, blobs.__getitem__) == first
    assert registry.asked == []


def test_after_a_broken_fetch_only_the_missing_jars_are_asked_for(
    cache: Cache, jars: tuple[Artifact, dict[str, bytes]], registry: Registry
) -> None:
    artifact, blobs = jars
    del registry.contents["mid-3.jar"]
    with pytest.raises(NotCached):
        fetch([artifact], cache, blobs.__getitem__)
    have = {name for name, data in JARS.items() if cache.file_path(digest_of(data)).exists()}
    registry.contents["mid-3.jar"] = b"mid"
    registry.asked.clear()
    fetch([artifact], cache, blobs.__getitem__)
    assert set(registry.asked) == set(JARS) - have
    assert "mid-3.jar" in registry.asked


def test_a_jar_with_another_hash_is_refused_and_not_kept(
    cache: Cache, jars: tuple[Artifact, dict[str, bytes]], registry: Registry
) -> None:
    artifact, blobs = jars
    registry.contents["mid-3.jar"] = b"mud"
    with pytest.raises(Mismatch) as caught:
        fetch([artifact], cache, blobs.__getitem__)
    message = str(caught.value)
    assert all(word in message for word in ("lib", "mid-3.jar", digest_of(b"mid"), digest_of(b"mud")))
    assert not cache.file_path(digest_of(b"mud")).exists()
    assert cache.tree(f"maven-{artifact.lock}") is None


def test_offline_on_a_cold_cache_says_what_is_missing_and_what_helps(
    cache: Cache, jars: tuple[Artifact, dict[str, bytes]], registry: Registry
) -> None:
    artifact, blobs = jars
    with pytest.raises(NotCached, match="3 of 3 jars") as caught:
        fetch([artifact], Cache(cache.root, offline=True), blobs.__getitem__)
    assert "upcall fetch" in str(caught.value)
    assert registry.asked == []


def test_a_jar_that_was_cut_short_on_disk_is_fetched_again(
    cache: Cache, jars: tuple[Artifact, dict[str, bytes]], registry: Registry
) -> None:
    artifact, blobs = jars
    realised = fetch([artifact], cache, blobs.__getitem__)["lib"]
    (realised.path / "mid-3.jar").write_bytes(b"m")
    registry.asked.clear()
    again = fetch([artifact], cache, blobs.__getitem__)["lib"]
    assert (again.path / "mid-3.jar").read_bytes() == b"mid"
    assert registry.asked == ["mid-3.jar"]


def test_without_a_network_the_resolver_is_an_error_of_ours(
    cache: Cache, jars: tuple[Artifact, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    artifact, blobs = jars
    with pytest.raises(NotCached, match="cannot be reached"):
        fetch([artifact], cache, blobs.__getitem__)

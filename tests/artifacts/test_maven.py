"""Jars: asked for by coordinate, judged by hash, gone on with where it stopped. The repository is on loopback."""

from collections.abc import Callable
from pathlib import Path

import pytest
from file_server import FileServer

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
        LockedFile(name=name, sha256=digest_of(data), size=len(data), source=f"org.example:{name[:-6]}:jar:{name[-5]}")
        for name, data in JARS.items()
    )
    return registered(Lock(format=FORMAT, kind="maven", name="lib", version="1", files=listed))


class Registry:
    """A Maven repository on loopback."""

    def __init__(self, server: FileServer) -> None:
        self.server = server
        for name, data in JARS.items():
            self.give(name, data)

    def path(self, name: str) -> str:
        library, version = name.removesuffix(".jar").split("-")
        return f"/maven/org/example/{library}/{version}/{name}"

    def give(self, name: str, data: bytes) -> None:
        self.server.files[self.path(name)] = data

    def lose(self, name: str) -> None:
        del self.server.files[self.path(name)]

    @property
    def asked(self) -> list[str]:
        return [one.path.rsplit("/", 1)[1] for one in self.server.asked]


@pytest.fixture
def registry(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """What the resolver's own settings name instead of the public one."""
    settings = tmp_path / "jgo.conf"
    settings.write_text(f"[repositories]\ncentral = {server.url('/maven')}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
    return Registry(server)


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
    registry.server.asked.clear()
    offline = Cache(cache.root, offline=True)
    assert fetch([artifact], offline, blobs.__getitem__) == first
    assert registry.asked == []


def test_after_a_broken_fetch_only_the_missing_jars_are_asked_for(
    cache: Cache, jars: tuple[Artifact, dict[str, bytes]], registry: Registry
) -> None:
    artifact, blobs = jars
    registry.lose("mid-3.jar")
    with pytest.raises(NotCached):
        fetch([artifact], cache, blobs.__getitem__)
    have = {name for name, data in JARS.items() if _whole(cache, name, data)}
    registry.give("mid-3.jar", b"mid")
    registry.server.asked.clear()
    fetch([artifact], cache, blobs.__getitem__)
    assert set(registry.asked) == set(JARS) - have
    assert "mid-3.jar" in registry.asked


def _whole(cache: Cache, name: str, data: bytes) -> bool:
    """All its bytes are here: put away, or still in their part because the fetch was stopped in that moment."""
    file = LockedFile(name=name, sha256=digest_of(data), size=len(data))
    return cache.has(file) or cache.part_bytes(file) == file.size


def test_after_a_broken_fetch_a_jar_is_gone_on_with_inside(
    cache: Cache, jars: tuple[Artifact, dict[str, bytes]], registry: Registry
) -> None:
    artifact, blobs = jars
    cache.part(LockedFile(name="zeta-1.jar", sha256=digest_of(b"zeta"), size=4)).write_bytes(b"ze")
    fetch([artifact], cache, blobs.__getitem__)
    assert {(one.path, one.first) for one in registry.server.asked} == {
        (registry.path("zeta-1.jar"), 2), (registry.path("mid-3.jar"), None), (registry.path("alpha-2.jar"), None),
    }  # fmt: skip


def test_a_jar_that_the_repository_lacks_is_an_error_without_an_address(
    cache: Cache, jars: tuple[Artifact, dict[str, bytes]], registry: Registry
) -> None:
    artifact, blobs = jars
    registry.lose("mid-3.jar")
    with pytest.raises(NotCached, match=r"mid-3.jar.*the registry does not have it") as caught:
        fetch([artifact], cache, blobs.__getitem__)
    assert "127." not in str(caught.value)


def test_a_jar_with_another_hash_is_refused_and_not_kept(
    cache: Cache, jars: tuple[Artifact, dict[str, bytes]], registry: Registry
) -> None:
    artifact, blobs = jars
    registry.give("mid-3.jar", b"mud")
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
    registry.server.asked.clear()
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
    monkeypatch.setattr("upcall.artifacts.transfer.PAUSE_S", 0.001)
    artifact, blobs = jars
    with pytest.raises(NotCached, match="cannot be reached"):
        fetch([artifact], cache, blobs.__getitem__)

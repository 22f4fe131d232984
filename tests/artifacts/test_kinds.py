"""Kinds of artifacts are an open list: what a distribution brings works like our own."""

import sys
from pathlib import Path

import pytest

from upcall.artifacts import kinds, relock
from upcall.artifacts.cache import Cache
from upcall.artifacts.errors import ArtifactError, LockInvalid
from upcall.artifacts.fetch import fetch
from upcall.artifacts.lock import FORMAT, Lock, digest_of
from upcall.protocol.declaration import Artifact

CODE = """
import msgspec
from upcall.artifacts.kinds import Realised

class Text:
    needs_siblings = False
    def realise(self, job):
        return Realised(job.cache.root, {"text": job.data.decode()})
    def relock(self, lock):
        return msgspec.structs.replace(lock, version="2")

class Broken:
    def __init__(self):
        raise RuntimeError("it is broken")
"""


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site"
    info = folder / "texts-1.dist-info"
    info.mkdir(parents=True)
    (folder / "texts_kind.py").write_text(CODE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: texts\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[upcall.artifacts]\ntext = texts_kind:Text\nbroken = texts_kind:Broken\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(kinds, "_kinds", dict(kinds._kinds))
    monkeypatch.delitem(sys.modules, "texts_kind", raising=False)


def test_a_kind_of_an_installed_distribution_is_realised(tmp_path: Path) -> None:
    artifact = Artifact(name="a", kind="text", lock=digest_of(b"hello"))
    found = fetch([artifact], Cache(tmp_path / "cache"), lambda _: b"hello")
    assert found["a"].properties == {"text": "hello"}


def test_a_kind_that_nobody_has_or_that_does_not_load_is_said(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"unknown kind of artifact: 'nothing'.*maven.*text"):
        kinds.kind_named("nothing")
    with pytest.raises(ArtifactError, match="RuntimeError: it is broken"):
        kinds.kind_named("broken")


def test_each_kind_has_its_own_resolver() -> None:
    assert relock.relock(Lock(format=FORMAT, kind="text", name="t", version="1")).version == "2"
    for name in ("maven", "wheels", "java", "environment"):
        assert isinstance(kinds.kind_named(name), kinds.Relocking)
    with pytest.raises(LockInvalid, match="follows from no wish"):
        relock.relock(Lock(format=FORMAT, kind="files", name="f", version="1"))

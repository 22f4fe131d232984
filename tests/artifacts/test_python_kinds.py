"""Wheels and environments by the real ``uv``, from a folder of wheels instead of a registry."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from made_distributions import wheel_of

from upcall.artifacts.cache import Cache
from upcall.artifacts.errors import Mismatch, NoBuild, NotCached
from upcall.artifacts.fetch import fetch
from upcall.artifacts.lock import FORMAT, Lock, LockedFile, digest_of
from upcall.artifacts.python_tool import requirements
from upcall.protocol.declaration import Artifact

Registered = Callable[[Lock], tuple[Artifact, dict[str, bytes]]]
CONTENTS = {"thing/__init__.py": b"ANSWER = 42\n", "thing/data.bin": b"\0\1\2"}


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LockedFile:
    folder = tmp_path / "wheels"
    folder.mkdir()
    path = folder / "thing-1.0-py3-none-any.whl"
    path.write_bytes(wheel_of("thing", CONTENTS))
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    return LockedFile(
        name=path.name, sha256=digest_of(path.read_bytes()), size=path.stat().st_size, source="thing==1.0"
    )


def lock_of(kind: str, file: LockedFile, kept: tuple[LockedFile, ...] = ()) -> Lock:
    return Lock(format=FORMAT, kind=kind, name="thing", version="1.0", files=(file,), kept=kept)


def test_a_wheel_becomes_a_folder(cache: Cache, wheel: LockedFile, registered: Registered) -> None:
    artifact, blobs = registered(lock_of("wheels", wheel))
    realised = fetch([artifact], cache, blobs.__getitem__)["thing"]
    assert (realised.path / "thing" / "data.bin").read_bytes() == b"\0\1\2"


def test_one_file_out_of_a_wheel_is_all_that_stays(cache: Cache, wheel: LockedFile, registered: Registered) -> None:
    data = CONTENTS["thing/data.bin"]
    kept = LockedFile(name="thing/data.bin", sha256=digest_of(data), size=len(data))
    artifact, blobs = registered(lock_of("wheels", wheel, (kept,)))
    realised = fetch([artifact], cache, blobs.__getitem__)["thing"]
    assert Path(realised.properties["file"]).read_bytes() == data
    assert [path.name for path in realised.path.rglob("*") if path.is_file()] == ["data.bin"]


def test_a_kept_file_with_another_hash_is_refused(cache: Cache, wheel: LockedFile, registered: Registered) -> None:
    kept = LockedFile(name="thing/data.bin", sha256="a" * 64, size=3)
    artifact, blobs = registered(lock_of("wheels", wheel, (kept,)))
    with pytest.raises(Mismatch, match="thing/data"):
        fetch([artifact], cache, blobs.__getitem__)
    assert list((cache.root / "trees").iterdir()) == []


def test_a_wheel_with_another_hash_is_refused(cache: Cache, wheel: LockedFile, registered: Registered) -> None:
    wrong = LockedFile(name=wheel.name, sha256="a" * 64, size=wheel.size, source=wheel.source)
    artifact, blobs = registered(lock_of("wheels", wrong))
    with pytest.raises(Mismatch) as caught:
        fetch([artifact], cache, blobs.__getitem__)
    assert "thing" in str(caught.value)
    assert wheel.sha256 in str(caught.value)
    assert list((cache.root / "trees").iterdir()) == []


def test_without_a_registry_the_error_says_what_helps(
    cache: Cache, registered: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    for name in ("NO_PROXY", "no_proxy", "UV_FIND_LINKS", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    absent = LockedFile(name="thing-1.0-py3-none-any.whl", sha256="a" * 64, size=1, source="thing==1.0")
    artifact, blobs = registered(lock_of("wheels", absent))
    with pytest.raises(NotCached) as caught:
        fetch([artifact], cache, blobs.__getitem__)
    assert "upcall fetch" in str(caught.value)
    with pytest.raises(NotCached):
        fetch([artifact], Cache(cache.root, offline=True), blobs.__getitem__)


def test_no_file_for_this_machine_is_said_in_our_words(cache: Cache, registered: Registered) -> None:
    foreign = LockedFile(
        name="thing-1.0-py3-none-manylinux_2_17_s390x.whl", sha256="a" * 64, size=1, source="thing==1.0"
    )
    artifact, blobs = registered(lock_of("wheels", foreign))
    with pytest.raises(NoBuild, match="s390x"):
        fetch([artifact], cache, blobs.__getitem__)


def test_an_environment_runs_what_is_in_it(cache: Cache, wheel: LockedFile, registered: Registered) -> None:
    artifact, blobs = registered(lock_of("environment", wheel))
    realised = fetch([artifact], cache, blobs.__getitem__)["thing"]
    asked = [realised.properties["python"], "-c", "import thing, sys; print(thing.ANSWER, thing.__file__)"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split(maxsplit=1)
    assert said[0] == "42"
    assert said[1].startswith(str(realised.path)), "from its final place, although it was made in another"
    assert realised.properties["site"].startswith(str(realised.path))


def test_requirements_name_every_hash_once_a_distribution() -> None:
    files = [
        LockedFile(name="a-1-x.whl", sha256="b" * 64, size=1, source="a==1"),
        LockedFile(name="a-1-y.whl", sha256="a" * 64, size=1, source="a==1"),
        LockedFile(name="b-2.whl", sha256="c" * 64, size=1, source="b==2", marker="python_version < '3.12'"),
        LockedFile(name="c-3.whl", sha256="d" * 64, size=1, source="c==3", purpose="build"),
    ]
    assert requirements(files).splitlines() == [
        f"a==1 --hash=sha256:{'a' * 64} --hash=sha256:{'b' * 64}",
        f"b==2 ; python_version < '3.12' --hash=sha256:{'c' * 64}",
    ]
    assert requirements(files, purpose="build").splitlines() == [f"c==3 --hash=sha256:{'d' * 64}"]

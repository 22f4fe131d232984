"""Packages of a distribution as a folder that could stand for ``/``: with an ``apt-get`` that is played."""

import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from upcall.artifacts.cache import Cache
from upcall.artifacts.debian import ARCHITECTURES, Debian, unpack
from upcall.artifacts.errors import ArtifactError, Mismatch, NotCached
from upcall.artifacts.fetch import fetch
from upcall.artifacts.lock import FORMAT, Lock, LockedFile, digest_of, render_lock
from upcall.protocol.declaration import Artifact

Registered = Callable[[Lock], tuple[Artifact, dict[str, bytes]]]

PLAYED = """#!/bin/sh
echo "$@" >> {folder}/calls
for word; do last=$word; done
case "$*" in
*" update") ;;
*" --print-uris "*) echo "'http://archive.invalid/x' ${{last}}_1%3a2_all.deb 3 SHA256:{zeros}" ;;
*" download "*)
    name=$(echo "$last" | tr = _)_all.deb
    if test -f {folder}/archive/$name; then cp {folder}/archive/$name .
    else echo "E: Version '1' for '$last' was not found" >&2; exit 100; fi ;;
esac
"""


def package(files: dict[str, bytes | str], *, compressed: bool = True) -> bytes:
    """The smallest that is one. Text is where a link points to."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size, info.mode = len(content), 0o755 if "bin/" in name else 0o644
                tar.addfile(info, io.BytesIO(content))
    data = lzma.compress(made.getvalue()) if compressed else made.getvalue()
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz" if compressed else "data.tar": data}
    archive = b"!<arch>\n"
    for name, part in parts.items():
        archive += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(part):<10}`\n".encode()
        archive += part + b"\n" * (len(part) % 2)
    return archive


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the played archive has."""
    folder = tmp_path / "apt"
    (folder / "archive").mkdir(parents=True)
    (folder / "apt-get").write_text(PLAYED.format(folder=folder, zeros="0" * 64))
    (folder / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder / "archive"


def locked(archive: Path, name: str, data: bytes, marker: str = "") -> LockedFile:
    (archive / f"{name}_1_all.deb").write_bytes(data)
    return LockedFile(
        name=f"{name}_1_all.deb", sha256=digest_of(data), size=len(data), source=f"{name}=1", marker=marker
    )


def lock_of(*files: LockedFile) -> Lock:
    return Lock(format=FORMAT, kind="debian", name="base", version="1", files=files)


def test_packages_become_one_folder(cache: Cache, archive: Path, registered: Registered) -> None:
    one = locked(archive, "one", package({"lib/x86/libc.so.6": b"c", "usr/bin/run": b"run"}))
    two = locked(archive, "two", package({"usr/lib/x86/libz.so.1": "libz.so.1.2"}, compressed=False))
    artifact, blobs = registered(lock_of(one, two))
    tree = fetch([artifact], cache, blobs.__getitem__)["base"].path
    assert (tree / "usr/lib/x86/libc.so.6").read_bytes() == b"c", "the folder is a link to that one in every system"
    assert (tree / "usr/bin/run").stat().st_mode & 0o777 == 0o755
    assert (tree / "usr/lib/x86/libz.so.1").readlink() == Path("libz.so.1.2")
    assert not list((cache.root / "files").glob("*/*")), "the tree holds all that they held"


def test_what_is_for_another_processor_stays_away(cache: Cache, archive: Path, registered: Registered) -> None:
    files = [
        locked(archive, machine.replace("_", "-"), package({f"usr/{machine}": b""}), f"platform_machine == '{machine}'")
        for machine in ARCHITECTURES
    ]
    artifact, blobs = registered(lock_of(*files))
    for machine in ARCHITECTURES:
        asked = Artifact(name="base", kind="debian", lock=artifact.lock, options={"machine": machine})
        tree = fetch([asked], cache, blobs.__getitem__)["base"].path
        assert [path.name for path in (tree / "usr").iterdir()] == [machine]


def test_of_documentation_the_licenses_stay(tmp_path: Path) -> None:
    docs = {"usr/share/doc/one/copyright": b"", "usr/share/doc/one/changelog.gz": b"", "usr/share/man/man1/one.1": b""}
    (tmp_path / "one.deb").write_bytes(package({**docs, "usr/share/misc/kept": b""}))
    unpack(tmp_path / "one.deb", tmp_path / "out")
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == {"usr/share/doc/one/copyright", "usr/share/misc/kept"}


def test_a_file_outside_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.deb").write_bytes(package({"usr/../../outside": b""}))
    with pytest.raises(ArtifactError, match="a file outside"):
        unpack(tmp_path / "one.deb", tmp_path / "out")
    assert not (tmp_path.parent / "outside").exists()


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.deb").write_bytes(b"<html>not found</html>")
    with pytest.raises(ArtifactError, match="is no package"):
        unpack(tmp_path / "one.deb", tmp_path / "out")


def test_another_file_than_the_locked_one_is_refused(cache: Cache, archive: Path, registered: Registered) -> None:
    file = locked(archive, "one", package({"usr/a": b"a"}))
    (archive / file.name).write_bytes(package({"usr/a": b"b"}))
    artifact, blobs = registered(lock_of(file))
    with pytest.raises(Mismatch):
        fetch([artifact], cache, blobs.__getitem__)
    assert not list((cache.root / "trees").iterdir())


def test_a_version_that_the_archive_has_no_more_is_said(cache: Cache, archive: Path, registered: Registered) -> None:
    file = locked(archive, "one", package({"usr/a": b"a"}))
    (archive / file.name).unlink()
    artifact, blobs = registered(lock_of(file))
    with pytest.raises(ArtifactError, match="has not, or no longer, one=1") as caught:
        fetch([artifact], cache, blobs.__getitem__)
    assert "the lock made anew" in caught.value.problem.expected


def test_without_apt_or_network_it_is_said(
    cache: Cache, archive: Path, registered: Registered, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    artifact, blobs = registered(lock_of(locked(archive, "one", package({"usr/a": b"a"}))))
    with pytest.raises(NotCached):
        fetch([artifact], Cache(cache.root, offline=True), blobs.__getitem__)
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(ArtifactError, match="there is no apt-get here"):
        fetch([artifact], cache, blobs.__getitem__)


def test_the_lists_are_looked_up_once_and_with_nothing_of_this_machine(
    cache: Cache, archive: Path, registered: Registered
) -> None:
    for name in ("one", "two"):
        artifact, blobs = registered(lock_of(locked(archive, name, package({f"usr/{name}": b""}))))
        fetch([artifact], cache, blobs.__getitem__)
    calls = (archive.parent / "calls").read_text().splitlines()
    assert len([call for call in calls if call.endswith(" update")]) == 1
    assert all("Dir::State::status=/dev/null" in call and str(cache.root) in call for call in calls)


def test_a_lock_is_made_of_what_the_archive_has_now(
    archive: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UPCALL_CACHE", str(tmp_path / "own cache"))
    wish = Lock(format=FORMAT, kind="debian", name="base", version="1", wanted=("one", "two"))
    made = Debian().relock(wish)
    assert [(file.name, file.source, file.marker) for file in made.files] == [
        ("one_1%3a2_all.deb", "one=1:2", ""),
        ("two_1%3a2_all.deb", "two=1:2", ""),
    ], "one file for all processors is named once"
    assert render_lock(made)

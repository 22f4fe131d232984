"""A package as an image: always the same, in layers that packages share."""

import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_images import config_of, package_of, python_base, wheel_lock, with_artifact

import upcall
from upcall.artifacts.cache import Cache
from upcall.artifacts.errors import ArtifactError
from upcall.image import standing
from upcall.image.building import Image, Package, build
from upcall.image.target import Platform, this
from upcall.protocol.declaration import Artifact

FILES = {"jars/one.jar": b"one", "run": b"#!/bin/sh\n"}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return python_base(tmp_path / "base")


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def built(package: Package | list[Package], base: Path, cache: Cache, scratch: Path, *architectures: str) -> Image:
    platforms = [Platform(one) for one in architectures] or [this()]
    packages = package if isinstance(package, list) else [package]
    return build(packages, platforms, standing.standing(str(base), cache), cache, scratch)


def files(image: Image, which: int) -> dict[str, bytes]:
    found = {}
    with tarfile.open(image.images[0].layers[which].blob) as tar:
        for one in tar:
            if one.isfile() and (data := tar.extractfile(one)) is not None:
                found[one.name] = data.read()
    return found


def index(image: Image) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(files(image, -1)["upcall/artifacts.json"])
    return told


def placed_of(image: Image, artifact: Artifact) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in index(image)["artifacts"] if one["lock"] == artifact.lock)
    assert found["kind"] == artifact.kind
    return found


def test_the_same_package_is_the_same_image_elsewhere(base: Path, libraries: Path, tmp_path: Path, umask: None) -> None:
    package = with_artifact(package_of("log", FILES), "archive", b"{}")
    one = built(package, base, Cache(tmp_path / "one"), tmp_path / "scratch-1", "amd64", "arm64")
    os.umask(0o077)
    two = built(package, base, Cache(tmp_path / "two"), tmp_path / "scratch-2", "amd64", "arm64")
    assert one.digest == two.digest
    assert [one.data for one in one.documents] == [two.data for two in two.documents]


def test_nothing_of_this_machine_is_in_it(base: Path, libraries: Path, cache: Cache, tmp_path: Path) -> None:
    package = with_artifact(package_of("log", FILES), "environment", wheel_lock(tmp_path / "wheels", "environment"))
    image = built(package, base, cache, tmp_path / "scratch")
    for number in range(len(image.images[0].layers)):
        for name, data in files(image, number).items():
            if not name.startswith("upcall/ours/upcall/"):
                assert str(tmp_path).encode() not in data, name
                assert os.fsencode(Path(upcall.__file__).parents[2]) not in data, name


def test_what_is_where_stands_in_the_index(base: Path, libraries: Path, cache: Cache, tmp_path: Path) -> None:
    package = package_of("log", {"only": b"x"}, FILES)
    image = built(package, base, cache, tmp_path / "scratch")
    told = index(image)
    assert told["packages"] == ["log 1"]
    everything: dict[str, bytes] = {}
    for number in range(len(image.images[0].layers)):
        everything |= files(image, number)
    for artifact in package.artifacts:
        placed = placed_of(image, artifact)
        assert any(name.startswith(placed["path"].removeprefix("/") + "/") for name in everything)
    assert everything[placed_of(image, package.artifacts[0])["properties"]["file"].removeprefix("/")] == b"x"


def test_two_packages_share_every_layer_but_what_is_their_own(
    base: Path, libraries: Path, cache: Cache, tmp_path: Path
) -> None:
    one = built(package_of("log", FILES, {"a": b"a"}), base, cache, tmp_path / "1")
    two = built(package_of("table", FILES, {"b": b"b"}), base, cache, tmp_path / "2")
    assert len(one.layers.keys() - two.layers.keys()) == 2, "its own artifact, and its index"
    assert len(two.layers.keys() - one.layers.keys()) == 2


def test_several_packages_in_one_image_are_each_there_by_their_locks(
    base: Path, libraries: Path, cache: Cache, tmp_path: Path
) -> None:
    one, two = package_of("log", FILES, {"a": b"a"}), package_of("table", FILES, {"b": b"b"})
    image = built([one, two], base, cache, tmp_path / "scratch")
    assert index(image)["packages"] == ["log 1", "table 1"]
    for package in (one, two):
        for artifact in package.artifacts:
            assert placed_of(image, artifact)["path"].endswith(artifact.lock[:32])
    assert len(index(image)["artifacts"]) == 3, "what both have is there once"


def test_a_layer_that_follows_from_a_lock_is_made_once(
    base: Path, libraries: Path, cache: Cache, tmp_path: Path
) -> None:
    first = built(package_of("log", FILES), base, cache, tmp_path / "1")
    written = {layer.digest: layer.blob.stat().st_mtime_ns for layer in first.layers.values()}
    again = built(package_of("log", FILES), base, cache, tmp_path / "2")
    made_anew = [one for one in again.layers.values() if one.blob.stat().st_mtime_ns != written[one.digest]]
    assert [one.words for one in made_anew] == [f"upcall {upcall.__version__}", "index of log 1"]


def test_it_runs_our_part_as_nobody_in_particular(base: Path, libraries: Path, cache: Cache, tmp_path: Path) -> None:
    running = config_of(built(package_of("log", FILES), base, cache, tmp_path / "scratch", "amd64"))["config"]
    assert running["Entrypoint"] == ["/upcall/python/bin/python", "-m", "upcall.kubernetes.pod"]
    assert running["User"] == "65532:65532"
    assert {"KEPT=yes", "PATH=/usr/bin:/bin"} <= {*running["Env"]}
    assert not [one for one in running["Env"] if one.startswith("PYTHONPATH")], "tasks have Pythons of their own"
    assert running["Labels"]["org.opencontainers.image.base.digest"].startswith("sha256:")


def test_our_code_is_in_it_and_is_found_as_installed(base: Path, libraries: Path, cache: Cache, tmp_path: Path) -> None:
    ours = files(built(package_of("log", FILES), base, cache, tmp_path / "scratch"), -2)
    assert b"__version__" in ours["upcall/ours/upcall/__init__.py"]
    points = ours[f"upcall/ours/upcall-{upcall.__version__}.dist-info/entry_points.txt"]
    assert b"upcall.cli.entry:run" in points
    assert not [name for name in ours if "__pycache__" in name or name.endswith(".pyc")]


def test_its_python_finds_our_code_by_its_own_place(base: Path, libraries: Path, cache: Cache, tmp_path: Path) -> None:
    image = built(package_of("log", FILES), base, cache, tmp_path / "scratch")
    with tarfile.open(image.images[0].layers[-2].blob) as tar:
        assert tar.getmember("upcall/python/bin/python").linkname == "/usr/bin/python3.12"
    ours = files(image, -2)
    assert b"home = /usr/bin\n" in ours["upcall/python/pyvenv.cfg"]
    paths = ours["upcall/python/lib/python3.12/site-packages/upcall.pth"]
    assert paths.split() == [b"/upcall/ours", b"/upcall/libraries"]


def test_what_tasks_import_in_our_python_lies_beside_our_libraries(
    base: Path, libraries: Path, wheels: Path, cache: Cache, tmp_path: Path
) -> None:
    lock = wheel_lock(wheels, "environment", "other")
    asking = replace(package_of("log", FILES), libraries=lock)
    alike = replace(package_of("table", FILES), libraries=lock)
    image = built([asking, alike, package_of("plain")], base, cache, tmp_path / "scratch")
    assert [one.words for one in image.images[0].layers].count("other") == 1, "what both ask for is there once"
    layer = next(one for one in image.images[0].layers if one.words == "other")
    with tarfile.open(layer.blob) as tar:
        assert "upcall/libraries/other/__init__.py" in tar.getnames()
    assert "other" not in [
        one.words for one in built(package_of("log", FILES), base, cache, tmp_path / "2").images[0].layers
    ]


def test_an_environment_has_the_python_of_the_image(base: Path, libraries: Path, cache: Cache, tmp_path: Path) -> None:
    package = with_artifact(package_of("log"), "environment", wheel_lock(tmp_path / "wheels", "environment"))
    image = built(package, base, cache, tmp_path / "scratch")
    placed = placed_of(image, package.artifacts[-1])
    where = placed["path"].removeprefix("/")
    layer = next(one for one in image.images[0].layers if one.words.startswith("environment"))
    with tarfile.open(layer.blob) as tar:
        assert tar.getmember(f"{where}/bin/python").linkname == "/usr/bin/python3.12"
        assert f"{where}/lib/python3.12/site-packages/thing/__init__.py" in tar.getnames()
        settings = tar.extractfile(f"{where}/pyvenv.cfg")
        assert settings is not None
        assert b"home = /usr/bin\n" in settings.read()
    assert placed["properties"]["python"] == f"/{where}/bin/python"


def test_a_class_archive_is_an_empty_list_of_options(base: Path, libraries: Path, cache: Cache, tmp_path: Path) -> None:
    package = with_artifact(package_of("log", FILES), "archive", b"{}")
    image = built(package, base, cache, tmp_path / "scratch")
    placed = placed_of(image, package.artifacts[-1])
    options = placed["properties"]["options"]
    assert files(image, -1)[options.removeprefix("@/")] == b""
    assert placed["properties"]["flags"] == ""


def test_what_only_its_own_machine_can_make_is_refused_for_another(
    base: Path, libraries: Path, cache: Cache, tmp_path: Path
) -> None:
    package = with_artifact(package_of("log", FILES), "of-somebody-else", b"{}")
    other = next(one for one in ("amd64", "arm64") if not Platform(one).here)
    with pytest.raises(ArtifactError, match="realised on its own machine alone"):
        built(package, base, cache, tmp_path / "scratch", other)

"""What an image stands on, and how its Python is found."""

from pathlib import Path

import pytest
from made_images import PYTHON, image_of, python_base, wheel_lock

from upcall.artifacts.cache import Cache
from upcall.image import standing
from upcall.image.base import PATH, find_python
from upcall.image.errors import ImageError
from upcall.image.layers import Data, Link
from upcall.image.layout import write_folder
from upcall.image.target import Platform
from upcall.protocol.errors import Invalid

AMD64 = Platform("amd64")


@pytest.mark.parametrize(
    ("names", "path"),
    [
        (["usr/bin/python3.11"], "/usr/bin/python3.11"),
        (["usr/bin/python3.11", "usr/local/bin/python3.12"], "/usr/local/bin/python3.12"),
        (["usr/bin/python3.11", "usr/bin/python3.13", "usr/bin/python3"], "/usr/bin/python3.13"),
        (["usr/local/bin/python3.9", "usr/bin/python3.12"], "/usr/bin/python3.12"),
    ],
)
def test_the_python_is_the_first_on_the_path_that_is_new_enough(names: list[str], path: str) -> None:
    assert find_python(names, PATH).path == path


@pytest.mark.parametrize("names", [[], ["usr/bin/python3.10"], ["usr/lib/python3.12/os.py"], ["opt/bin/python3.12"]])
def test_without_one_it_is_said_what_is_wanted(names: list[str]) -> None:
    with pytest.raises(ImageError, match=r"no Python of version 3\.11 or newer"):
        find_python(names, PATH)


def test_a_layout_is_stood_on_layer_by_layer(tmp_path: Path, cache: Cache) -> None:
    python_base(tmp_path / "base", {**PYTHON, "usr/bin/python3": Link("python3.12")})
    base = standing.standing(str(tmp_path / "base"), cache)(AMD64)
    assert base.python.version == "3.12"
    assert [layer.blob.is_relative_to(tmp_path / "base") for layer in base.layers] == [True]
    assert base.labels is not None
    assert base.labels["org.opencontainers.image.base.digest"].startswith("sha256:")


def test_a_damaged_layer_is_refused(tmp_path: Path, cache: Cache) -> None:
    python_base(tmp_path / "base", architectures=("amd64",))
    blobs = (tmp_path / "base" / "blobs" / "sha256").iterdir()
    layer = next(path for path in blobs if path.read_bytes().startswith(b"\x1f\x8b"))
    layer.write_bytes(b"\x1f\x8bnot it")
    with pytest.raises(ImageError, match="is damaged"):
        standing.standing(str(tmp_path / "base"), cache)(AMD64)


def test_a_missing_part_is_said(tmp_path: Path, cache: Cache) -> None:
    python_base(tmp_path / "base", architectures=("amd64",))
    for path in (tmp_path / "base" / "blobs" / "sha256").iterdir():
        path.unlink()
    with pytest.raises(ImageError, match="lacks a part of the image"):
        standing.standing(str(tmp_path / "base"), cache)(AMD64)


def test_a_platform_that_the_base_has_not_is_said(tmp_path: Path, cache: Cache) -> None:
    python_base(tmp_path / "base", architectures=("arm64",))
    with pytest.raises(ImageError, match="linux/arm64"):
        standing.standing(str(tmp_path / "base"), cache)(AMD64)


def test_an_image_without_a_python_is_refused(tmp_path: Path, cache: Cache) -> None:
    write_folder(image_of(tmp_path / "made", {"bin/sh": Data(b"")}), "localhost/base:1", tmp_path / "base")
    with pytest.raises(ImageError, match="no Python of version"):
        standing.standing(str(tmp_path / "base"), cache)(AMD64)


@pytest.mark.parametrize("said", ["./nowhere", "/nowhere/at/all", "nowhere.json"])
def test_what_is_not_there_is_said(said: str, cache: Cache) -> None:
    with pytest.raises(Invalid) as caught:
        standing.standing(said, cache)
    assert caught.value.problem.where == "--base"


def test_a_lock_of_something_else_is_refused(tmp_path: Path, cache: Cache) -> None:
    (tmp_path / "own.json").write_bytes(wheel_lock(tmp_path / "wheels", "wheels"))
    with pytest.raises(ImageError, match="of kind 'wheels'"):
        standing.standing(str(tmp_path / "own.json"), cache)(AMD64)

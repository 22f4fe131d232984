"""An image on the disk: whole or not there, and as the format has it."""

import errno
import hashlib
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from made_images import PYTHON, image_of, unpack

from upcall.image.building import Image
from upcall.image.errors import ImageError
from upcall.image.layers import Data
from upcall.image.layout import write_archive, write_folder

NAME = "localhost/upcall/log:1"


@pytest.fixture(params=["one platform", "two"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Image:
    platforms = ("amd64",) if request.param == "one platform" else ("amd64", "arm64")
    return image_of(tmp_path / "made", PYTHON, {"b": Data(b"b" * 5000)}, architectures=platforms)


def reached(folder: Path) -> set[str]:
    """Every blob that the index leads to, each looked at: its place, digest and size."""
    found: set[str] = set()

    def follow(descriptor: dict[str, Any]) -> None:
        path = folder / "blobs" / descriptor["digest"].replace(":", "/")
        data = path.read_bytes()
        assert f"sha256:{hashlib.sha256(data).hexdigest()}" == descriptor["digest"]
        assert len(data) == descriptor["size"]
        found.add(str(path.relative_to(folder)))
        if descriptor["mediaType"].endswith(("manifest.v1+json", "index.v1+json")):
            told = json.loads(data)
            for one in (*told.get("manifests", ()), *told.get("layers", ()), *filter(None, [told.get("config")])):
                follow(one)

    for one in json.loads((folder / "index.json").read_bytes())["manifests"]:
        follow(one)
    return found


def test_a_folder_holds_what_its_index_leads_to_and_nothing_else(image: Image, tmp_path: Path) -> None:
    write_folder(image, NAME, tmp_path / "out")
    files = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert files == reached(tmp_path / "out") | {"index.json", "oci-layout"}
    top = json.loads((tmp_path / "out" / "index.json").read_bytes())["manifests"][0]
    assert top["digest"] == image.digest
    assert top["annotations"]["io.containerd.image.name"] == NAME


def test_an_archive_is_the_same_folder_and_always_the_same_bytes(image: Image, tmp_path: Path) -> None:
    write_archive(image, NAME, tmp_path / "a.tar")
    write_archive(image, NAME, tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    unpack(tmp_path / "a.tar", tmp_path / "out")
    assert reached(tmp_path / "out")


def test_older_programs_find_their_list_in_an_archive_of_one_platform(tmp_path: Path) -> None:
    image = image_of(tmp_path / "made", PYTHON)
    write_archive(image, NAME, tmp_path / "a.tar")
    with tarfile.open(tmp_path / "a.tar") as tar:
        listed = tar.extractfile("manifest.json")
        assert listed is not None
        told = json.loads(listed.read())
        assert told[0]["RepoTags"] == [NAME]
        assert {told[0]["Config"], *told[0]["Layers"]} <= set(tar.getnames())


def test_an_archive_that_is_there_is_replaced(image: Image, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_text("of yesterday")
    write_archive(image, NAME, tmp_path / "a.tar")
    assert tarfile.is_tarfile(tmp_path / "a.tar")


def test_a_folder_that_is_there_is_left_alone(image: Image, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    with pytest.raises(ImageError, match="is there already"):
        write_folder(image, NAME, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


@pytest.mark.parametrize("write", [write_folder, write_archive])
def test_a_full_disk_leaves_nothing_half_done(
    write: Any, image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    monkeypatch.setattr("upcall.image.layers.archive", full)
    with pytest.raises(ImageError, match="No space left on device") as caught:
        write(image, NAME, out / "image")
    assert "more room on this disk" in caught.value.problem.expected
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("write", [write_folder, write_archive])
def test_a_place_that_cannot_be_written_is_said(write: Any, image: Image, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match="cannot be written") as caught:
        write(image, NAME, tmp_path / "file" / "image")
    assert caught.value.problem.where == str(tmp_path / "file" / "image")

"""Images on the disk: a folder as the OCI image layout has it, or the same as one archive.

The archive has a second list beside it (``manifest.json``), so that older programs load it too. Both are written beside
their name and renamed when they are whole: what is there is complete, or it is not there.
"""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from upcall.artifacts.cache import hash_file
from upcall.image import layers
from upcall.image.base import described
from upcall.image.building import Image
from upcall.image.documents import INDEX, Described, Document
from upcall.image.errors import ImageError
from upcall.image.layers import Contents, Data, File, Layer

MARKER: Final = "oci-layout"
NAME: Final = "io.containerd.image.name"
_MARKED: Final = b'{"imageLayoutVersion":"1.0.0"}'


def write_folder(image: Image, name: str, folder: Path) -> None:
    """The image as a folder that is not there yet, or is empty."""
    with new_folder(folder) as partial:
        lay(contents_of({name: image}), partial)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """What is written into the folder that it gives becomes ``folder``, when all of it is there."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    if folder.exists():
        raise ImageError(
            f"{folder} is there already", where=str(folder), expected="a folder that is not there yet, or an empty one"
        )
    with _beside(folder) as partial:
        yield partial
        partial.chmod(0o755)
        partial.rename(folder)


def lay(contents: Contents, folder: Path) -> None:
    """Write these files."""
    for path, entry in contents.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        match entry:
            case Data(data):
                target.write_bytes(data)
            case File(source):
                shutil.copyfile(source, target)


def write_archive(image: Image, name: str, file: Path) -> None:
    """The image as an archive, which programs load."""
    contents: dict[str, Any] = dict(contents_of({name: image}))
    if len(image.images) == 1:
        contents["manifest.json"] = Data(_older(image, name))
    with _beside(file) as partial:
        with (partial / "archive").open("wb") as out:
            layers.archive(contents, out)
            out.flush()
            os.fsync(out.fileno())
        (partial / "archive").replace(file)


def contents_of(images: Mapping[str, Image]) -> Contents:
    """The files of a layout of these images, by their names; what several have is there once."""
    found: dict[str, Any] = {MARKER: Data(_MARKED), "index.json": Data(_index(images))}
    for image in images.values():
        found |= {_path(one.digest): Data(one.data) for one in image.documents}
        found |= {_path(digest): File(layer.blob, executable=False) for digest, layer in image.layers.items()}
    return found


def _path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _index(images: Mapping[str, Image]) -> bytes:
    """What is in the layout. A name stands twice: as the format has it (a tag), and as the runtimes read it."""
    manifests = []
    for name, image in images.items():
        annotations = {NAME: name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
        more: dict[str, Any] = {"annotations": annotations}
        if len(image.images) == 1:
            more["platform"] = {"architecture": image.images[0].architecture, "os": "linux"}
        manifests.append(image.top.descriptor(**more))
    listed = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
    return json.dumps(listed, sort_keys=True, separators=(",", ":")).encode()


def _older(image: Image, name: str) -> bytes:
    one = image.images[0]
    listed = {
        "Config": _path(one.config.digest),
        "RepoTags": [name],
        "Layers": [_path(layer.digest) for layer in one.layers],
    }
    return json.dumps([listed], sort_keys=True, separators=(",", ":")).encode()


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A folder on the disk of ``target``, gone again afterwards whatever happens."""
    try:
        if target.parent.exists() and not target.parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.partial-"))
        try:
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise ImageError(
            f"{target} cannot be written: {error.strerror}",
            where=str(target),
            expected="more room on this disk, or another one" if full else "a place that this user may write to",
        ) from None


class Layout:
    """An image layout that is there: to stand on, or to be sent on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def index(self) -> Mapping[str, Any]:
        try:
            return described((self.folder / "index.json").read_bytes(), str(self.folder / "index.json"))
        except OSError as error:
            raise ImageError(
                f"{self.folder} is no image layout: {error.strerror}", where=str(self.folder), expected="oci-layout"
            ) from None

    def images(self) -> dict[str, Image]:
        """Those that have a name, whole: each part of them is looked at."""
        found = {}
        for one in self.index().get("manifests") or ():
            if name := (one.get("annotations") or {}).get(NAME):
                found[str(name)] = self._image(one)
        return found

    def _image(self, descriptor: Mapping[str, Any]) -> Image:
        where = f"{self.folder} {descriptor.get('digest')}"
        try:
            top = Document(descriptor["mediaType"], self.document(descriptor["digest"]))
            told = described(top.data, where)
            below = [top] if "layers" in told else [
                Document(one["mediaType"], self.document(one["digest"])) for one in told["manifests"]
            ]  # fmt: skip
            return Image(tuple(self._of_one(manifest, where) for manifest in below))
        except (KeyError, TypeError, ValueError) as error:
            raise ImageError(f"an image cannot be read: {error!r}", where=where, expected="an OCI image") from None

    def _of_one(self, manifest: Document, where: str) -> Described:
        told = described(manifest.data, where)
        config = Document(told["config"]["mediaType"], self.document(told["config"]["digest"]))
        about = described(config.data, where)
        made = tuple(
            Layer(one["digest"], one["size"], diff, self.blob(one["digest"]), media_type=one["mediaType"])
            for one, diff in zip(told["layers"], about["rootfs"]["diff_ids"], strict=True)
        )
        return Described(about["architecture"], config, manifest, made)

    def document(self, digest: str) -> bytes:
        data = self._path(digest).read_bytes()
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise ImageError("a document of the layout is damaged", where=f"{self.folder} {digest}")
        return data

    def blob(self, digest: str) -> Path:
        path = self._path(digest)
        if f"sha256:{hash_file(path)}" != digest:
            raise ImageError("a layer of the layout is damaged", where=f"{self.folder} {digest}")
        return path

    def _path(self, digest: str) -> Path:
        algorithm, _, value = digest.partition(":")
        path = self.folder / "blobs" / algorithm / value
        if algorithm != "sha256" or not value.isalnum() or not path.is_file():
            raise ImageError("the layout lacks a part of the image", where=f"{self.folder} {digest}")
        return path

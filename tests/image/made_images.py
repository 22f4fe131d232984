"""The smallest images that are some, and what is needed to build one without a network."""

import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from made_distributions import wheel_of

from upcall.artifacts.lock import FORMAT, Lock, LockedFile, digest_of, render_lock
from upcall.image import layers, layout
from upcall.image.building import Image, Package
from upcall.image.documents import Below, described
from upcall.image.layers import Contents, Data
from upcall.protocol.declaration import Artifact

PYTHON: Contents = {"usr/bin/python3.12": Data(b"not really", executable=True)}


def image_of(folder: Path, *contents: Contents, architectures: Sequence[str] = ("amd64",)) -> Image:
    """An image of one layer for each of these contents, without anything that a package has."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for architecture in architectures:
        written = [
            layers.write(one, folder / f"{architecture}-{number}", f"layer {number}")
            for number, one in enumerate(contents)
        ]
        running = {"Env": ["PATH=/usr/bin:/bin", "KEPT=yes"]}
        made.append(described(architecture, written, running, {"made": "for a test"}, Below()))
    return Image(tuple(made))


def python_base(folder: Path, contents: Contents = PYTHON, architectures: Sequence[str] = ("amd64", "arm64")) -> Path:
    """A layout to stand on, of an image that looks as if it had a Python."""
    image = image_of(folder.with_name(f"{folder.name}-layers"), contents, architectures=architectures)
    layout.write_folder(image, "localhost/base:1", folder)
    return folder


def package_of(name: str, *contents: dict[str, bytes], version: str = "1") -> Package:
    """A package with an artifact of local files for each of these."""
    blobs: dict[str, bytes] = {}
    artifacts = []
    for number, files in enumerate(contents):
        listed = tuple(
            LockedFile(name=path, sha256=digest_of(data), size=len(data)) for path, data in sorted(files.items())
        )
        lock = render_lock(Lock(format=FORMAT, kind="files", name=f"part-{number}", version="1", files=listed))
        blobs |= {digest_of(data): data for data in (lock, *files.values())}
        artifacts.append(Artifact(name=f"part-{number}", kind="files", lock=digest_of(lock)))
    return Package(name, version, artifacts, blobs)


def with_artifact(package: Package, kind: str, data: bytes) -> Package:
    """The package with one artifact more, of a lock that is these bytes."""
    artifact = Artifact(name=kind, kind=kind, lock=digest_of(data))
    blobs = {**package.blobs, artifact.lock: data}
    return Package(package.name, package.version, [*package.artifacts, artifact], blobs)


def wheel_lock(wheels: Path, kind: str, name: str = "thing", contents: dict[str, bytes] | None = None) -> bytes:
    """A lock of one wheel, which lies in a folder of wheels."""
    wheels.mkdir(exist_ok=True)
    file = wheels / f"{name}-1.0-py3-none-any.whl"
    file.write_bytes(wheel_of(name, contents or {f"{name}/__init__.py": b"ANSWER = 42\n"}))
    data = file.read_bytes()
    locked = LockedFile(name=file.name, sha256=digest_of(data), size=len(data), source=f"{name}==1.0")
    return render_lock(Lock(format=FORMAT, kind=kind, name=name, version="1.0", files=(locked,)))


def config_of(image: Image) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(image.images[0].config.data)
    return found


def unpack(archive: Path, folder: Path) -> None:
    """What we made ourselves, as it is. Python before 3.11.4 knows no filters, and later ones want one."""
    with tarfile.open(archive) as tar:
        tar.extraction_filter = lambda member, _: member
        tar.extractall(folder)

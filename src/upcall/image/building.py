"""Packages as an image: what it stands on, their artifacts, our libraries, our code, and the index, each a layer.

The order is from what changes least to what changes most, and what several packages have in common lies below what
one has alone:

    base          another image's layers, or packages of a distribution
    runtimes      a Java: shared by all packages that have the same lock
    libraries     what our code imports: the same in all images of a release; what tasks of a package import beside it
    artifacts     the system itself, a layer for each lock
    ours          our code
    index         what is where, and what is too small for a layer of its own

A layer that follows from a lock is made once and kept in the cache.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

import upcall
from upcall.artifacts import sealed
from upcall.artifacts.cache import Cache
from upcall.artifacts.progress import Meter, ProgressCallback
from upcall.image import layers, ours, placing
from upcall.image.base import CERTIFICATES, Base
from upcall.image.documents import Described, Document, described, top
from upcall.image.layers import Contents, Data, Entry, File, Folder, Layer, Link
from upcall.image.realising import RUNTIMES, Part, Wish, parts
from upcall.image.target import Platform
from upcall.protocol.declaration import Artifact

FORMAT: Final = 2
"""Of layers in the cache: another number when the same contents shall give other bytes."""
LABEL: Final = "dev.upcall"


@dataclass(frozen=True)
class Package:
    """What an image is made of."""

    name: str
    version: str
    artifacts: Sequence[Artifact]
    blobs: Mapping[str, bytes]
    libraries: bytes = b""
    """The lock of what its tasks import that run in our Python, beside what we do."""


@dataclass(frozen=True)
class Image:
    """An image of a package, for one platform or several."""

    images: tuple[Described, ...]

    @property
    def top(self) -> Document:
        return top(self.images)

    @property
    def digest(self) -> str:
        return self.top.digest

    @property
    def layers(self) -> dict[str, Layer]:
        """Of all platforms, each once."""
        return {layer.digest: layer for one in self.images for layer in one.layers}

    @property
    def manifests(self) -> list[Document]:
        """Those that are named before the one that names them."""
        below = [one.manifest for one in self.images]
        return below if self.top in below else [*below, self.top]

    @property
    def documents(self) -> list[Document]:
        """All texts of it."""
        return [*(one.config for one in self.images), *self.manifests]


def build(
    packages: Sequence[Package],
    platforms: Sequence[Platform],
    standing: Callable[[Platform], Base],
    cache: Cache,
    scratch: Path,
    report: ProgressCallback | None = None,
) -> Image:
    """The image. Layers that are not worth keeping are written into ``scratch``, where they have to stay until the
    image has been written."""
    made = []
    for platform in platforms:
        folder = scratch / platform.architecture
        folder.mkdir(parents=True)
        made.append(_one(packages, platform, standing(platform), _Press(cache, folder, report)))
    return Image(tuple(made))


def _one(packages: Sequence[Package], platform: Platform, base: Base, press: "_Press") -> Described:
    realised = list(
        {part.placed.path: part for one in packages for part in parts(_wish(one, platform, base, press))}.values()
    )
    runtimes = [part for part in realised if part.placed.kind in RUNTIMES]
    systems = [part for part in realised if part.tree and part.placed.kind not in RUNTIMES]
    small: dict[str, Entry] = {name: one for part in realised if not part.tree for name, one in part.contents.items()}
    named = tuple(f"{one.name} {one.version}" for one in packages)
    index = sealed.Index(format=sealed.FORMAT, packages=named, artifacts=tuple(part.placed for part in realised))
    written = list(base.layers)
    if base.contents is not None:
        written.append(press.kept("base", base.contents, base.key))
    wish = _wish(packages[0], platform, base, press)
    more = sorted({one.libraries for one in packages if one.libraries})
    libraries = [ours.libraries(wish), *(ours.more_libraries(wish, lock) for lock in more)]
    written += [press.part(part) for part in (*runtimes, *libraries, *systems)]
    written.append(press.written(f"upcall {upcall.__version__}", {**ours.code(), **ours.python(base.python)}))
    written.append(press.written(f"index of {', '.join(named)}", {**small, placing.INDEX: Data(sealed.render(index))}))
    labels = {
        "org.opencontainers.image.title": ", ".join(one.name for one in packages),
        "org.opencontainers.image.version": ", ".join(one.version for one in packages),
        f"{LABEL}.packages": ", ".join(named),
        f"{LABEL}.version": upcall.__version__,
        **(base.labels or {}),
    }
    return described(platform.architecture, _each_once(written), _running(base), labels, base.below)


def _wish(package: Package, platform: Platform, base: Base, press: "_Press") -> Wish:
    python = base.python
    blobs = package.blobs.__getitem__
    return Wish(package.artifacts, blobs, press.cache, platform, python.version, python.path, press.report)


def _running(base: Base) -> dict[str, Any]:
    """How a container of it starts: as nobody in particular, with nothing to write to but what the pod gives."""
    environment = dict(one.partition("=")[::2] for one in base.below.environment)
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    environment.setdefault("PATH", "/usr/local/bin:/usr/bin:/bin")
    environment.setdefault("LANG", "C.UTF-8")
    if base.contents is not None:
        environment["SSL_CERT_FILE"] = f"/{CERTIFICATES}"
    return {
        "User": f"{placing.USER}:{placing.USER}",
        "Env": sorted(f"{name}={value}" for name, value in environment.items()),
        "Entrypoint": [f"/{placing.PROGRAM}", "-m", placing.ENTRY],
        "WorkingDir": "/",
    }


def _each_once(written: Sequence[Layer]) -> list[Layer]:
    return list({layer.digest: layer for layer in written}.values())


class _Press:
    """Writes layers, those that will be asked for again into the cache."""

    def __init__(self, cache: Cache, scratch: Path, report: ProgressCallback | None) -> None:
        self.cache, self.report = cache, report
        self._scratch = scratch

    def part(self, part: Part) -> Layer:
        return self.kept(part.words, part.contents, part.tree)

    def written(self, words: str, contents: Contents) -> Layer:
        return layers.write(contents, self._scratch / f"{len(list(self._scratch.iterdir()))}", words)

    def kept(self, words: str, contents: Contents, tree: str) -> Layer:
        """The layer of contents whose files are those of ``tree``."""
        key = f"layer-{_named(contents, tree)}"
        meter = Meter(words, self.report)
        with self.cache.locked(key, meter):
            if (folder := self.cache.tree(key)) is None:
                meter.begin("writing its layer", 0)
                with self.cache.making(key) as making:
                    layer = layers.write(contents, making / "blob")
                    (making / "layer.json").write_text(
                        json.dumps({"digest": layer.digest, "size": layer.size, "diff_id": layer.diff_id})
                    )
                folder = self.cache.root / "trees" / key
        meter.finish()
        known = msgspec.json.decode((folder / "layer.json").read_bytes(), type=_Known)
        return replace(Layer(known.digest, known.size, known.diff_id, folder / "blob"), words=words)


class _Known(msgspec.Struct):
    digest: str
    size: int
    diff_id: str


def _named(contents: Contents, tree: str) -> str:
    """A name for what these contents are: what is not said here follows from the tree's own name."""
    named = hashlib.sha256(f"{FORMAT}:{layers.usual()}:{tree}".encode())
    for name, entry in sorted(contents.items()):
        match entry:
            case File(_, executable):
                said = f"file {executable}"
            case Data(data, executable):
                said = f"data {executable} {hashlib.sha256(data).hexdigest()}"
            case Link(to):
                said = f"link {to}"
            case Folder(mode):
                said = f"folder {mode}"
        named.update(f"\0{name}\0{said}".encode())
    return named.hexdigest()

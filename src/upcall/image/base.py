"""What an image stands on: something that has a C library (glibc) and a Python.

Two ways. **Packages of a distribution**, by a lock that lies here (:mod:`upcall.artifacts.debian`): nothing else is
needed than that distribution's archive, and the lowest layer is made like all the others. Or **another image**, of a
registry or a folder, whose layers are taken as they are, so nodes and registries that have them need not be sent
them. That image is named by its digest: a tag is somebody's word that may change, and the same lock would be another
image.

Which Python is in an image nobody says; it is looked for in the layers, where programs are found.
"""

import json
import re
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from upcall.artifacts.cache import Cache
from upcall.artifacts.fetch import fetch
from upcall.artifacts.lock import digest_of, parse_lock
from upcall.artifacts.progress import ProgressCallback
from upcall.image.documents import Below
from upcall.image.errors import ImageError
from upcall.image.layers import Contents, Data, Folder, Layer, Link, tree
from upcall.image.placing import POD_USER, USER
from upcall.image.target import Platform
from upcall.protocol.declaration import Artifact

OWN: Final = Path(__file__).parent / "lock" / "base.json"
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OLDEST: Final = (3, 11)
CERTIFICATES: Final = "etc/ssl/certs/ca-certificates.crt"
_PYTHON: Final = re.compile(r"(?P<folder>(?:[^/]+/)*bin)/python3\.(?P<minor>\d+)$")
_TOP: Final = ("bin", "sbin", "lib", "lib64")


@dataclass(frozen=True)
class Python:
    """The interpreter of an image."""

    path: str
    version: str


@dataclass(frozen=True)
class Base:
    """What stands below, and what is known of it."""

    python: Python
    below: Below
    layers: tuple[Layer, ...] = ()
    """Of another image: as they are."""
    contents: Contents | None = None
    """Of packages: what becomes the lowest layer."""
    key: str = ""
    """Names these contents."""
    labels: Mapping[str, str] | None = None


def of_packages(lock_file: Path, platform: Platform, cache: Cache, report: ProgressCallback | None = None) -> Base:
    """The base of such a lock."""
    data = lock_file.read_bytes()
    digest = digest_of(data)
    lock = parse_lock(data, digest=digest, where=str(lock_file))
    if lock.kind != "debian":
        raise ImageError(
            f"{lock_file} is a lock of kind {lock.kind!r}", where="--base", expected="one of kind 'debian', or an image"
        )
    artifact = Artifact(name=lock.name, kind=lock.kind, lock=digest, options={"machine": platform.machine})
    folder = fetch([artifact], cache, lambda _: data, report)[lock.name].path
    contents = dict(tree(folder, ""))
    contents |= {name: Link(f"usr/{name}") for name in _TOP if (folder / "usr" / name).is_dir()}
    contents |= {"tmp": Folder(0o1777), "proc": Folder(), "sys": Folder(), "dev": Folder()}
    contents |= {name: Data(text.encode()) for name, text in _etc(folder).items()}
    python = find_python(contents, PATH)
    return Base(python, Below(), contents=contents, key=folder.name)


def _etc(folder: Path) -> dict[str, str]:
    """The few texts that programs expect, and that installing would have written."""
    certificates = sorted((folder / "usr/share/ca-certificates").rglob("*.crt"))
    # A program that asks for the name of its user may end where there is none.
    users = {"root": (0, "/"), "upcall": (USER, "/tmp"), "pod": (POD_USER, "/tmp")}
    return {
        "etc/passwd": "".join(
            f"{name}:x:{user}:{user}::{home}:/usr/sbin/nologin\n" for name, (user, home) in users.items()
        ),
        "etc/group": "".join(f"{name}:x:{user}:\n" for name, (user, _) in users.items()),
        "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
        CERTIFICATES: "".join(path.read_text() for path in certificates),
    }


def of_image(
    name: str, digest: str, config: Mapping[str, Any], layers: Iterable[Layer], read: Callable[[Layer], Path]
) -> Base:
    """The base that this image is. ``read`` gives the file of a layer; nothing is unpacked."""
    layers = tuple(layers)
    environment = tuple(str(one) for one in (config.get("config") or {}).get("Env") or ())
    path = next((one.partition("=")[2] for one in environment if one.startswith("PATH=")), PATH)
    names: set[str] = set()
    for layer in layers:
        names |= _names(read(layer), layer, name)
    labels = {"org.opencontainers.image.base.digest": digest}
    if name:
        labels["org.opencontainers.image.base.name"] = name
    history = tuple(config.get("history") or ())
    return Base(find_python(names, path, where=name), Below(environment, history), layers, labels=labels)


def find_python(names: Iterable[str], path: str, *, where: str = "packages") -> Python:
    """The first Python in the order of ``path``; of several at one place the newest."""
    found: dict[str, int] = {}
    for name in names:
        if match := _PYTHON.fullmatch(name):
            folder = f"/{match['folder']}"
            found[folder] = max(found.get(folder, 0), int(match["minor"]))
    for folder in path.split(":"):
        minor = found.get(folder.rstrip("/"), found.get(f"/usr{folder}", 0))
        if (3, minor) >= OLDEST:
            return Python(f"{folder}/python3.{minor}", f"3.{minor}")
    raise ImageError(
        f"no Python of version {OLDEST[0]}.{OLDEST[1]} or newer is in the base",
        where=where,
        expected="an image with glibc and Python, as the official ones of Python on Debian",
    )


def _names(file: Path, layer: Layer, image: str) -> set[str]:
    """The paths in a layer that may be an interpreter: all are looked through, few are kept."""
    if layer.media_type.endswith("zstd"):
        raise ImageError(
            "a layer of the base is compressed with zstd, which is not read here",
            where=f"{image} {layer.digest}",
            expected="an image whose layers are tar or gzip",
        )
    try:
        mode: Literal["r|gz", "r|"] = "r|gz" if layer.media_type.endswith("gzip") else "r|"
        with tarfile.open(file, mode=mode) as tar:
            listed = (member.name.removeprefix("./").lstrip("/") for member in tar)
            return {name for name in listed if _PYTHON.fullmatch(name)}
    except (OSError, EOFError, tarfile.TarError) as error:
        raise ImageError(f"a layer of the base cannot be read: {error}", where=f"{image} {layer.digest}") from None


def described(data: bytes, where: str) -> dict[str, Any]:
    """A document of an image, which somebody else wrote."""
    try:
        found = json.loads(data)
    except ValueError as error:
        raise ImageError(f"a document of the image cannot be read: {error}", where=where, expected="JSON") from None
    if not isinstance(found, dict):
        raise ImageError("a document of the image cannot be read", where=where, expected="a JSON object")
    return found

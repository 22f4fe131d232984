"""What a person hands over beside the arguments of a command: a program, files, requirements, Maven packages.

First all of it is read and judged, then what has to be resolved is, then it is fetched where tasks run on this machine,
and only then anything is sent: what is wrong, and Ctrl-C, leave nothing half done. A blob that nobody names in the end
is swept by the master.
"""

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from email.parser import BytesParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from upcall.cli import fetch as fetching
from upcall.cli.session import Session
from upcall.cli.values import FILE_BYTES_MAX
from upcall.protocol.declaration import Artifact
from upcall.protocol.errors import Invalid
from upcall.protocol.operator import ServiceView

if TYPE_CHECKING:
    from threading import Event

    from upcall.artifacts.cache import Cache
    from upcall.artifacts.kinds import Realised
    from upcall.artifacts.progress import ProgressCallback
    from upcall.service.package import Built

BYTES_MAX: Final = 64 << 20
"""Of one blob."""
MAIN: Final = "__main__.py"
BUNDLE: Final = "bundle"
LEFT_OUT: Final = ("__pycache__", "node_modules")
"""Folders of a program that are nobody's program, besides hidden ones."""
PURE: Final = "-none-any.whl"
BEGAN: Final = (1980, 1, 1, 0, 0, 0)
"""The one time of all files: the same folder is always the same bytes."""


@dataclass
class Wish:
    """What was typed, read and judged."""

    arguments: dict[str, Any] = field(default_factory=dict)
    blobs: list[bytes] = field(default_factory=list)
    requires: list[str] = field(default_factory=list)
    """Of a wheel that is the program."""

    def put(self, data: bytes) -> str:
        self.blobs.append(data)
        return hashlib.sha256(data).hexdigest()


def stem_of(path: Path) -> str:
    """What a program is called that nobody gave a name."""
    return path.name.split("-")[0] if path.suffix == ".whl" else path.resolve().stem


def brought(
    session: Session, service: ServiceView, specs: Sequence[Mapping[str, Any]], given: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """The arguments that these are. ``given``: argument -> what was typed of it."""
    wish = Wish()
    for spec in specs:
        typed = given.get(str(spec["argument"]))
        if typed and spec["how"] == "program":
            _program(wish, str(spec["argument"]), Path(str(typed)))
        elif typed and spec["how"] == "files":
            wish.arguments[str(spec["argument"])] = {
                name: wish.put(data) for name, data in _files([Path(each) for each in typed], where).items()
            }
    locks = [
        (spec, given.get(str(spec["argument"])) or []) for spec in specs if spec["how"] in ("requirements", "jars")
    ]
    locks = [(spec, typed) for spec, typed in locks if typed or (spec["how"] == "requirements" and wish.requires)]
    if locks:
        _resolve(session, service, wish, locks)
    for data in wish.blobs:
        session.client.call("PUT", f"/v1/blobs/{hashlib.sha256(data).hexdigest()}", data)
    return wish.arguments


# -- programs ---------------------------------------------------------------------------------------------------------


def _program(wish: Wish, argument: str, path: Path) -> None:
    if path.is_dir():
        wish.arguments[BUNDLE] = wish.put(packed(path))
        return
    data = _read(path, BYTES_MAX if path.suffix == ".whl" else FILE_BYTES_MAX, "a Python file, a folder, or a wheel")
    if path.suffix == ".whl":
        wish.requires += required_by(path, data)
        wish.arguments[BUNDLE] = wish.put(data)
        return
    try:
        wish.arguments[argument] = data.decode()
    except UnicodeDecodeError:
        raise Invalid(f"{path} is not text", where=str(path), expected="a Python file in UTF-8") from None
    if not wish.arguments[argument].strip():
        raise Invalid(f"{path} is empty", where=str(path), expected="a Python program")


def packed(folder: Path) -> bytes:
    """All of the folder but what is hidden or made of it."""
    if not (folder / MAIN).is_file():
        raise Invalid(
            f"{folder} has no {MAIN}", where=str(folder), expected=f"a folder whose {MAIN} is what runs first"
        )
    into, size = io.BytesIO(), 0
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            within = path.relative_to(folder)
            if any(part.startswith(".") or part in LEFT_OUT for part in within.parts) or not path.is_file():
                continue
            size += path.stat().st_size
            if size > BYTES_MAX:
                raise _too_large(folder)
            entry = zipfile.ZipInfo(within.as_posix(), BEGAN)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    return into.getvalue()


def required_by(path: Path, data: bytes) -> list[str]:
    """What a wheel requires; raises for one that cannot be run as it is."""
    right = "a wheel of Python alone, with one script of its own or a package with `__main__.py`"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as wheel:
            names = wheel.namelist()
            (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA") and name.count("/") == 1]
            told = BytesParser().parsebytes(wheel.read(metadata))
            scripts = metadata.replace("METADATA", "entry_points.txt")
            found = wheel.read(scripts).decode() if scripts in names else ""
    except (zipfile.BadZipFile, ValueError):
        raise Invalid(f"{path} is no wheel", where=str(path), expected=right) from None
    if not path.name.endswith(PURE):
        raise Invalid(
            f"{path.name} has compiled code", where=str(path), expected=f"{right}; others go into requirements"
        )
    if "[console_scripts]" not in found and not any(
        name.count("/") == 1 and name.endswith(f"/{MAIN}") for name in names
    ):
        raise Invalid(f"{path.name} has nothing that runs", where=str(path), expected=right)
    return [
        line for line in told.get_all("Requires-Dist") or [] if "extra ==" not in line.replace("extra==", "extra ==")
    ]


def _files(paths: Iterable[Path], where: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for path in paths:
        if path.name in found:
            raise Invalid(f"two files are called {path.name}", where=where, expected="names that differ")
        found[path.name] = _read(path, BYTES_MAX, "a file")
    return found


def _read(path: Path, most: int, right: str) -> bytes:
    try:
        if path.stat().st_size > most:
            raise _too_large(path, most)
        return path.read_bytes()
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}", where=str(path), expected=right) from None


def _too_large(path: Path, most: int = BYTES_MAX) -> Invalid:
    return Invalid(
        f"{path} is too large", where=str(path),
        expected=f"at most {most >> 20} MiB; what is larger lies where the job can read it",
    )  # fmt: skip


# -- locks ------------------------------------------------------------------------------------------------------------


def _resolve(
    session: Session, service: ServiceView, wish: Wish, locks: Sequence[tuple[Mapping[str, Any], Sequence[str]]]
) -> None:
    """Locks of what has to come from a registry; on a cluster of this machine they are fetched, too."""
    from upcall.artifacts import resolving
    from upcall.artifacts.cache import Cache
    from upcall.artifacts.fetch import fetch
    from upcall.artifacts.lock import Lock, parse_lock
    from upcall.artifacts.progress import Meter

    for spec, typed in locks:  # Before anybody is asked anything.
        if spec["how"] == "requirements":
            resolving.texts_of(map(Path, typed))
        else:
            resolving.must_be_coordinates(typed)
    built = fetching.find(f"{service.package}@{service.version.partition('+')[0]}")
    here = not session.control_plane

    def lock_of(name: str) -> Lock:
        for artifact in fetching.artifacts_of(built):
            if artifact.name == name:
                return parse_lock(built.blobs[artifact.lock])
        raise Invalid(f"package {service.package} locks no {name!r}", where=service.name)

    def work(report: "ProgressCallback", stop: "Event") -> dict[str, bytes]:
        cache, found = Cache(), dict[str, bytes]()
        for spec, typed in locks:
            meter = Meter(str(spec["option"]), report, stop)
            if spec["how"] == "requirements":
                data = resolving.libraries([*map(Path, typed)], wish.requires, lock_of(spec["beside"]), cache, meter)
            else:
                base, jars = lock_of(spec["beside"]), _there(built, cache, report, stop, fetch)
                data = resolving.jars(typed, base.left_out, jars, cache, meter)
            meter.finish()
            if data is not None:
                found[str(spec["argument"])] = data
        if here and found:
            blobs = {hashlib.sha256(data).hexdigest(): data for data in found.values()}
            heads = [(digest, parse_lock(data)) for digest, data in blobs.items()]
            artifacts = [Artifact(name=lock.name, kind=lock.kind, lock=digest) for digest, lock in heads]
            fetch(artifacts, cache, blobs.__getitem__, report, stop=stop)
        return found

    for argument, data in fetching.shown(session, service.package, work).items():
        wish.arguments[argument] = wish.put(data)


def _there(
    built: "Built", cache: "Cache", report: "ProgressCallback", stop: "Event",
    fetch: Callable[..., dict[str, "Realised"]],
) -> list[str]:  # fmt: skip
    """Names of the jar files that the package's own tasks have on their class path."""
    found = fetch(fetching.artifacts_of(built), cache, built.blobs.__getitem__, report, stop=stop)
    paths = ":".join(one.properties.get("classpath", "") for one in found.values()).split(":")
    return [path.rpartition("/")[2] for path in paths if path]

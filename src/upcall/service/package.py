"""Packages: a service class as something that can be installed.

A package is a manifest (what the master knows without running any code), the blobs that its declarations name (lock
files), and for a package that is not installed in the host its source: a tar of the files, named by its SHA-256. The
same files always give the same tar, so building twice is building once.

A source is imported under a module name made from its hash: several versions of one package live side by side in one
host, and a package cannot shadow another one's modules. Inside, it imports its own modules relatively.
"""

import hashlib
import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import io
import pkgutil
import re
import shutil
import sys
import tarfile
import tempfile
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from upcall.protocol.errors import Invalid, NotFound, TooLarge
from upcall.protocol.service import Package
from upcall.service import docstrings, unpacking
from upcall.service.actions import actions_of
from upcall.service.again import schedules_of
from upcall.service.commands import specs_of
from upcall.service.needs import needs_of
from upcall.service.service import Service

ENTRY_POINTS: Final = "upcall.services"
"""Entry-point group by which an installed distribution offers services."""

_ALIAS: Final = "upcall_source_"
"""Begins the names that sources are imported under."""

_importing: dict[str, threading.Lock] = {}
"""Of each source: two services of one package start in two threads, and a module is there before it is whole. One whose
import hangs holds up no other."""


@dataclass(frozen=True)
class Built:
    """A package, ready to be registered: first the blobs, then the manifest."""

    package: Package
    blobs: dict[str, bytes]
    versions: tuple[str, ...]
    """All that its code is of, the oldest first."""
    libraries: bytes = b""
    """See :meth:`Service.libraries`."""


def build(what: str | Path, version: str = "") -> Built:
    """The package of an entry (``module:Class``), of a Python file, or of a folder with one, in one of its versions
    (default: the newest)."""
    path = Path(what)
    if isinstance(what, str) and ":" in what and not path.exists():
        return _built(load(what, version=version), what)
    if not path.exists():
        raise NotFound(f"no file or folder {what}", expected="a Python file or folder with a service, or module:Class")
    return _built_from_source(path.resolve(), version)


def build_installed(entry: str, version: str = "") -> Built:
    """The package of an entry that :func:`installed` gave, in one of its versions (default: the newest)."""
    return _built(load(entry, version=version), entry)


def load(entry: str, source: Path | None = None, digest: str = "", version: str = "") -> type[Service]:
    """The class that ``entry`` names, in this version of its package; from the files in the folder ``source``, if
    given."""
    module_name, _, class_name = entry.partition(":")
    module = _imported(source, module_name, digest) if source else importlib.import_module(module_name)
    found = getattr(module, class_name, None) if class_name else _only_service(module, module_name)
    if not (isinstance(found, type) and issubclass(found, Service)):
        raise Invalid(f"{entry} is no service", expected="module:Class of a subclass of upcall.service.Service")
    return found.at(version) if version else found


def installed() -> Iterator[str]:
    """Entries of all services that are installed here: the catalog's, and what distributions offer. Imports nothing
    of them."""
    catalog = importlib.util.find_spec("upcall.catalog")
    for folder in (catalog.submodule_search_locations or ()) if catalog else ():
        for module in pkgutil.iter_modules([folder]):
            if module.ispkg and (Path(folder) / module.name / "service.py").is_file():
                yield f"upcall.catalog.{module.name}.service"
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        yield point.value


def unpack(data: bytes, digest: str, folder: Path) -> Path:
    """A source below ``folder``, verified, whole or not at all. Doing it twice is doing it once."""
    if hashlib.sha256(data).hexdigest() != digest:
        raise Invalid("the source is not the one that was named", where=digest, expected="bytes with this SHA-256")
    target = folder / digest
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=folder, prefix=".unpack-"))
    try:
        unpacking.unpack(data, staging)
        staging.rename(target)
    except OSError:
        if not target.is_dir():  # else another one was faster
            raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def _built(service: type[Service], entry: str, source: bytes = b"") -> Built:
    if ":" not in entry:
        entry = f"{entry}:{service.__name__}"
    blobs = service.blobs()
    digest = hashlib.sha256(source).hexdigest() if source else ""
    actions = {action.name: action.spec for action in actions_of(service).values()}
    package = Package(
        name=service.package,
        version=service.version,
        description=docstrings.plain(service),
        entry=entry,
        options_schema=docstrings.of_schema(service.Options.model_json_schema()),
        actions=tuple(actions.values()),
        needs=tuple(need.spec for need in needs_of(service)),
        contents=tuple(one.spec(actions) for one in service.contents),
        commands=specs_of(service.commands, actions),
        clients=tuple(one.spec for one in service.clients),
        schedules=schedules_of(service),
        finalizes=service.finalize is not Service.finalize,
        source=digest,
        blobs=tuple(sorted(blobs)),
    )
    return Built(package, {**blobs, **({digest: source} if source else {})}, service.versions(), service.libraries())


def _built_from_source(path: Path, version: str) -> Built:
    if path.is_file() and path.suffix != ".py":
        raise Invalid(f"{path.name} is no Python file", where=str(path), expected="a file whose name ends with .py")
    files = {path.name: path} if path.is_file() else _files(path)
    if len(files) > unpacking.FILES_MAX:
        raise TooLarge(f"{len(files)} files of source", expected=f"at most {unpacking.FILES_MAX}")
    source = _tar(files)
    top = path.stem
    if not top.isidentifier():
        raise Invalid(f"{path.name!r} is no name of a Python module", expected="letters, digits, '_'")
    module = f"{top}.service" if path.is_dir() and (path / "service.py").is_file() else top
    digest = hashlib.sha256(source).hexdigest()
    service = load(module, path.parent, digest, version)
    return _built(service, module, source)


def _files(folder: Path) -> dict[str, Path]:
    found = {}
    for file in sorted(folder.rglob("*")):
        parts = file.relative_to(folder).parts
        if file.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in parts):
            found["/".join((folder.name, *parts))] = file
    return found


def _tar(files: dict[str, Path]) -> bytes:
    """The same bytes for the same files: sorted, without times, owners and modes."""
    total = sum(file.stat().st_size for file in files.values())
    if total > unpacking.SOURCE_BYTES_MAX:
        raise TooLarge(
            f"{total} bytes of source", expected=f"at most {unpacking.SOURCE_BYTES_MAX}; large things are artifacts"
        )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, file in sorted(files.items()):
            data = file.read_bytes()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def in_file_words(error: Exception, path: Path) -> tuple[str, str]:
    """What went wrong while a source was imported, and where in the person's own file: without the name that it is
    imported under."""
    text = re.sub(rf"\b{_ALIAS}[0-9a-f]{{16}}", path.stem, f"{type(error).__name__}: {error}")
    root = path.resolve()
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if file == root or root in file.parents:
            return text, f"{path.parent / file.relative_to(root.parent)}, line {frame.lineno}"
    return text, str(path)


def _imported(folder: Path, module_name: str, digest: str) -> ModuleType:
    """A module of a source, below a name that only this source has."""
    top, _, rest = module_name.partition(".")
    alias = f"{_ALIAS}{digest[:16] or hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    with _importing.setdefault(alias, threading.Lock()):
        if alias not in sys.modules:
            _import_top(folder, top, alias)
        return importlib.import_module(f"{alias}.{rest}") if rest else sys.modules[alias]


def _import_top(folder: Path, top: str, alias: str) -> None:
    package = folder / top
    if package.is_dir():
        init = package / "__init__.py"
        spec = importlib.util.spec_from_file_location(
            alias, init if init.is_file() else None, submodule_search_locations=[str(package)]
        )
        if spec is None:  # no __init__.py: a plain folder of modules
            spec = importlib.machinery.ModuleSpec(alias, None, is_package=True)
            spec.submodule_search_locations = [str(package)]
    else:
        spec = importlib.util.spec_from_file_location(alias, folder / f"{top}.py")
    if spec is None:
        raise NotFound(f"the source has no module {top!r}", where=str(folder))
    module = importlib.util.module_from_spec(spec)
    sys.modules[alias] = module
    try:
        if spec.loader is not None:
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[alias]
        raise


def _only_service(module: ModuleType, called: str) -> type[Service]:
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Service)
        and value.__module__.split(".")[0] == module.__name__.split(".")[0]
        and value is not Service
        and not value.__name__.startswith("_")
    ]
    # A class that another one here builds on is a step to it, not a service of its own.
    finished = [value for value in own if not any(other is not value and issubclass(other, value) for other in own)]
    if len(finished) != 1:
        names = ", ".join(value.__name__ for value in finished) or "none"
        where = getattr(module, "__file__", None) or ""
        raise Invalid(f"{called} has not one service but: {names}", where=where, expected="one subclass of Service")
    return finished[0]

"""A service of one's own: its files become a package of this cluster (``upcall install path/to/hello.py``)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import msgspec

from upcall.cli.session import Session
from upcall.client import paths
from upcall.protocol import schema
from upcall.protocol.errors import Conflict, Invalid, NotFound, UpcallError
from upcall.protocol.nearest import choice
from upcall.protocol.operator import ServiceView
from upcall.protocol.releases import newest, released
from upcall.protocol.service import Package

if TYPE_CHECKING:
    from upcall.service.package import Built

BUILD_CHARS: Final = 8
"""Of the files' hash, as a local version label: ``0.1.0+1f2e3d4c``."""


@dataclass(frozen=True)
class Uploaded:
    name: str
    version: str
    fresh: tuple[str, ...] = ()
    """Versions of it that were not in the catalog before."""
    stands: ServiceView | None = None
    """The service of this name, which is made of an earlier build of the same package: it is to be updated."""
    manifest: Package | None = None
    """Of one that is only looked at, and was not registered."""


@dataclass(frozen=True)
class _Read:
    """What somebody's files are, once it is known that they make sense here. Nothing was changed yet."""

    every: dict[str, "Built"]
    """Version -> its package."""
    meant: str
    stands: ServiceView | None

    @property
    def package(self) -> Package:
        return self.every[self.meant].package


def upload(
    session: Session, path: Path, name: str = "", options: Mapping[str, Any] = {}, version: str = ""
) -> Uploaded:
    """Register the package of a Python file or folder in all its versions, for a service of this ``name`` (default: the
    package's own) with these options, in this ``version`` (default: the one that runs, else the newest). What the
    master would refuse of that service is refused before anything is registered: a call that is refused changes
    nothing."""
    read = _read(session, path, name, options, version)
    package = read.package
    known = {(one.name, one.version) for one in session.client.packages()}
    registered = {}
    for one, built in read.every.items():
        for digest, data in built.blobs.items():
            session.client.call("PUT", f"/v1/blobs/{digest}", data)
        registered[one] = _register(session, built.package)
    session.out.note(f"package {package.name} {', '.join(registered.values())} is registered from {path}")
    fresh = tuple(one for one in registered.values() if (package.name, one) not in known)
    return Uploaded(package.name, registered[read.meant], fresh=fresh, stands=read.stands)


def look_at(
    session: Session, path: Path, name: str = "", options: Mapping[str, Any] = {}, version: str = ""
) -> Uploaded:
    """As :func:`upload`, for a dry run: nothing is registered. What the service's code has to try is handed over, and
    is swept, since nothing names it."""
    read = _read(session, path, name, options, version)
    package = read.package
    if read.stands is not None:
        session.client.call("PUT", f"/v1/blobs/{package.source}", read.every[read.meant].blobs[package.source])
    known = {one.version: one.source for one in session.client.packages() if one.name == package.name}
    plain, build = _builds(package)
    package = msgspec.structs.replace(
        package, version=plain if known.get(plain, package.source) == package.source else build
    )
    return Uploaded(package.name, package.version, stands=read.stands, manifest=package)


def _read(session: Session, path: Path, name: str, options: Mapping[str, Any], version: str) -> _Read:
    from upcall.service.hanging import Hangs
    from upcall.service.importing import imported
    from upcall.service.package import build, in_file_words

    right = "a Python file or folder with one subclass of upcall.service.Service"
    try:
        every = imported(lambda: {one: build(path, one) for one in build(path).versions}, path.name, session.out.note)
    except Hangs as hangs:
        said = f"{path.name} cannot be imported: {hangs.problem.message}"
        raise Invalid(said, where=str(path), expected=f"{right}, whose import does not wait for anything") from None
    except UpcallError:
        raise
    except Exception as error:  # the file's own code was run, and may raise anything
        words, where = in_file_words(error, path)
        raise Invalid(
            f"{path.name} cannot be imported: {words}",
            where=where,
            expected=right,
        ) from error
    package = next(iter(every.values())).package
    wanted = name or package.name
    stands = next((one for one in session.client.services() if one.name == wanted), None)
    if stands is not None and stands.package != package.name:
        raise Conflict(
            f"a service {wanted!r} is installed already, of package {stands.package}",
            where="name",
            expected=f"another name (--name), or `upcall uninstall {wanted}` first",
        )
    runs = newest(every, released(stands.version)) if stands is not None and not version else ""
    meant = runs or newest(every, version)
    if not meant:
        there = choice(every, "")
        raise NotFound(f"package {package.name} has no version {version!r}", where=str(path), expected=there)
    of_options = every[meant].package.options_schema
    schema.check(of_options, options, noun="option", of=f"package {package.name}", where="options")
    return _Read(every, meant, stands)


def _builds(package: Package) -> tuple[str, str]:
    """The version that its class says, and this build of it."""
    return package.version, f"{package.version.partition('+')[0]}+{package.source[:BUILD_CHARS]}"


def _register(session: Session, package: Package) -> str:
    """Under the version that its class says; where a service is made of other files under that one, as another build
    of it. Gives the version."""
    builds = _builds(package)
    for version in builds:
        body = msgspec.to_builtins(msgspec.structs.replace(package, version=version))
        try:
            session.client.call("PUT", paths.of("packages", package.name, version), body)
        except Conflict:
            if version == builds[-1]:
                raise
        else:
            return version
    raise AssertionError("one of the two was refused or registered")


def take_back(session: Session, package: Uploaded) -> None:
    """After a command that did not succeed: a package that it brought, and that nothing uses, goes with it."""
    for version in package.fresh:
        path = paths.of("packages", package.name) + f"?{urlencode({'version': version})}"
        try:
            session.client.call("DELETE", path)
        except UpcallError:
            continue  # its service stays, so it is in use; or the master is away, and then the service may be there too
        session.out.note(f"package {package.name} {version} is taken away again")

"""A service of one's own: its files become a package of this cluster (``upcall install path/to/hello.py``)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from upcall.cli.session import Session
from upcall.protocol import schema
from upcall.protocol.errors import Conflict, Invalid, UpcallError


@dataclass(frozen=True)
class Uploaded:
    name: str
    version: str
    fresh: bool
    """It was not in the catalog before."""


def upload(session: Session, path: Path, name: str = "", options: Mapping[str, Any] = {}) -> Uploaded:
    """Register the package of a Python file or folder, for a service of this ``name`` (default: the package's own) with
    these options. What the master would refuse of that service is refused before anything is registered: a call that
    is refused changes nothing."""
    from upcall.service.package import build, in_file_words

    try:
        built = build(path)
    except UpcallError:
        raise
    except Exception as error:  # the file's own code was run, and may raise anything
        words, where = in_file_words(error, path)
        raise Invalid(
            f"{path.name} cannot be imported: {words}",
            where=where,
            expected="a Python file or folder with one subclass of upcall.service.Service",
        ) from error
    package = built.package
    if (wanted := name or package.name) in {one.name for one in session.client.services()}:
        raise Conflict(
            f"a service {wanted!r} is installed already",
            where="name",
            expected=f"another name (--name), or `upcall uninstall {wanted}` first",
        )
    of = f"package {package.name}"
    schema.check(package.options_schema, options, noun="option", of=of, where="options")
    known = {(one.name, one.version) for one in session.client.packages()}
    for digest, data in built.blobs.items():
        session.client.call("PUT", f"/v1/blobs/{digest}", data)
    session.client.call("PUT", f"/v1/packages/{package.name}/{package.version}", msgspec.to_builtins(package))
    session.out.note(f"package {package.name} {package.version} is registered from {path}")
    return Uploaded(package.name, package.version, fresh=(package.name, package.version) not in known)


def take_back(session: Session, package: Uploaded) -> None:
    """After a command that did not succeed: a package that it brought, and that nothing uses, goes with it."""
    if not package.fresh:
        return
    path = f"/v1/packages/{quote(package.name, safe='')}?{urlencode({'version': package.version})}"
    try:
        session.client.call("DELETE", path)
    except UpcallError:
        return  # its service stays, so it is in use; or the master is away, and then the service may be there too
    session.out.note(f"package {package.name} {package.version} is taken away again")

"""The door for packages: what can be installed, and the blobs that it consists of.

A package names its code and files by their hashes, so these come first: a package that is registered is complete.
Blobs that no package names any more are swept (:mod:`~upcall.master.housekeeping`); the lock that is held here keeps
them until the package that names them is on record.
"""

import asyncio
from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from upcall.master import history
from upcall.master import records as r
from upcall.master.core import Core
from upcall.master.driver import Driver
from upcall.master.housekeeping import Housekeeping
from upcall.master.http import BLOB_BYTES_MAX, answer, caller, decode
from upcall.master.published import gives, takes
from upcall.master.tokens import Principal
from upcall.master.transaction import Transaction
from upcall.protocol import schema
from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict, Invalid, NotFound, TooLarge
from upcall.store.interface import BlobMismatch

BINARY: Final = "application/octet-stream"
PACKAGES_MAX: Final = 1000


def router(core: Driver, housekeeping: Housekeeping, principal: Callable[[Request], Principal]) -> APIRouter:
    api = APIRouter(tags=["service API"])
    Host = Annotated[Principal, Depends(caller(principal, "host", "admin"))]
    Reader = Annotated[Principal, Depends(caller(principal, "host", "agent", "operator"))]
    Uploader = Annotated[Principal, Depends(caller(principal, "host", "operator"))]

    @api.put("/v1/packages/{name}/{version}", openapi_extra=takes(wire.Package), responses=gives(dict))
    async def register_package(name: str, version: str, request: Request, _: Host) -> Response:
        package = await decode(request, wire.Package)
        if (package.name, package.version) != (name, version):
            raise Invalid("the body names another package", where="name", expected=f"{name} {version}")
        schema.vet(package.options_schema, of=f"package {name}", where="options_schema")
        async with housekeeping.blobs:
            for digest in (*package.blobs, *([package.source] if package.source else [])):
                if not core.store.has_blob(digest):
                    raise Invalid(f"blob {digest} is missing", where="blobs", expected=f"PUT /v1/blobs/{digest} first")
            registered = core.turn(lambda tx: _register(tx, package))
        await registered
        return answer({})

    @api.put("/v1/blobs/{sha256}", openapi_extra=takes(bytes, BINARY), responses=gives(dict))
    async def put_blob(sha256: str, request: Request, _: Uploader) -> Response:
        data = await request.body()
        if len(data) > BLOB_BYTES_MAX:
            raise TooLarge(f"a blob of {len(data)} bytes", expected=f"at most {BLOB_BYTES_MAX} bytes")
        try:
            await housekeeping.put_blob(data, sha256)
        except BlobMismatch as error:
            raise Invalid(str(error), where="body", expected=sha256) from None
        return answer({})

    @api.get("/v1/blobs/{sha256}", response_class=Response, responses=gives(bytes, BINARY))
    async def get_blob(sha256: str, _: Reader) -> Response:
        return Response(await blob_of(core, sha256), media_type=BINARY)

    return api


def _register(tx: Transaction, package: wire.Package) -> None:
    name, version, packages = package.name, package.version, tx.core.state.packages
    _must_not_exchange(tx.core, package)
    if (name, version) not in packages and len(packages.all()) >= PACKAGES_MAX:
        raise TooLarge(f"{PACKAGES_MAX} packages are registered", expected="fewer")
    if packages.put(package):
        tx.changed.assignments = True
        services = tx.core.state.services.values()
        tx.changed.schedules |= {one.record.name: None for one in services if one.record.package == name}
        tx.put(r.PACKAGE, f"{name}@{version}", package)
        tx.event("package", name, f"version {version} is registered")


def _must_not_exchange(core: Core, package: wire.Package) -> None:
    """The code of a service that stands is not exchanged behind its back: other files are another version. (What came
    with the installation changes with it, and is the hosts' own.)"""
    packages = core.state.packages
    if (package.name, package.version) not in packages or not package.source:
        return
    stands = packages.find(package.name, package.version)
    users = sorted(history.packages_named(core.state.services).get((package.name, package.version), ()))
    if users and stands != package:
        raise Conflict(
            f"{', '.join(users)} {'runs' if len(users) == 1 else 'run'} package {package.name} {package.version},"
            " and these are other files",
            where=f"package {package.name} {package.version}",
            expected="another `version` in the service's class; or "
            + " and ".join(f"`upcall uninstall {user}`" for user in users)
            + " first",
        )


async def blob_of(core: Core, sha256: str) -> bytes:
    data = await asyncio.to_thread(core.store.blob, sha256)
    if data is None:
        raise NotFound(f"no blob {sha256}", where="sha256")
    return data

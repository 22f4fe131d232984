"""Services of one's own in a platform file: ``package: ./hello.py``, a path seen from the file's folder.

Their files become packages of this cluster, as ``upcall install FILE`` makes them, before anything is compared: what
they refuse, and what an update of them would do, only their own code can say. After an error what came so and nothing
uses goes again. For a dry run they are looked at, and nothing is registered.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from upcall.cli.composition import Composition, ServiceItem
from upcall.cli.session import Session
from upcall.protocol.errors import Invalid
from upcall.protocol.service import Package


@dataclass
class Named:
    """A composition in which packages stand in the place of paths."""

    composition: Composition
    unregistered: dict[str, Package] = field(default_factory=dict)
    """Service -> its package, in a dry run."""


@contextmanager
def registered(session: Session, composition: Composition, *, dry_run: bool) -> Iterator[Named]:
    """The composition with each path in the place of which stands the package that it became, or would."""
    from upcall.cli import upload

    made: list[upload.Uploaded] = []
    unregistered: dict[str, Package] = {}
    take = upload.look_at if dry_run else upload.upload
    services: list[ServiceItem] = []
    kept = False
    try:
        for item in composition.services:
            if not item.is_path:
                services.append(item)
                continue
            path = composition.seen_from(item.package)
            if path is None or not path.exists():
                raise Invalid(
                    f"there is no file or folder {item.package}",
                    where=composition.place_of(item.service, "package"),
                    expected="a Python file or folder, seen from the platform file's",
                )
            found = take(session, path, item.service, item.options, item.version)
            made.append(found)
            if found.manifest is not None:
                unregistered[item.service] = found.manifest
            services.append(item.of_package(found.name, found.version))
        yield Named(composition.model_copy(update={"services": services}), unregistered)
        kept = True
    finally:
        if not kept:
            for one in made:
                upload.take_back(session, one)

"""Services of one's own in a platform file: ``package: ./hello.py``, a path seen from the file's folder.

Their files become packages of this cluster, as ``upcall install FILE`` makes them, before anything is compared: what
they refuse, and what an update of them would do, only their own code can say. After an error, and after a dry run, what
came so and nothing uses goes again.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from upcall.cli.composition import Composition, ServiceItem
from upcall.cli.session import Session
from upcall.protocol.errors import Invalid


@contextmanager
def registered(session: Session, composition: Composition, *, keep: bool) -> Iterator[Composition]:
    """The composition with each path in the place of which stands the package that it became."""
    from upcall.cli import upload

    made: list[upload.Uploaded] = []
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
            found = upload.upload(session, path, item.service, item.options, item.version)
            made.append(found)
            services.append(item.of_package(found.name, found.version))
        yield composition.model_copy(update={"services": services})
        kept = keep
    finally:
        if not kept:
            for one in made:
                upload.take_back(session, one)

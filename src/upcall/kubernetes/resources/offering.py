"""The packages of the catalog, as kinds are made of them. Only who installs us needs this: it imports their code."""

from functools import lru_cache

from upcall.kubernetes.resources.catalog import CATALOG, names
from upcall.kubernetes.resources.kinds import Offered
from upcall.service import package


@lru_cache(maxsize=1)
def offered() -> tuple[Offered, ...]:
    found = []
    for name in names():
        entry = f"{CATALOG}.{name}.service"
        newest = package.build_installed(entry)
        built = [package.build_installed(entry, version).package for version in newest.versions]
        found.append(
            Offered(
                name=newest.package.name,
                description=newest.package.description,
                schemas=tuple(one.options_schema for one in built),
                versions=tuple(one.version for one in built),
            )
        )
    return tuple(found)

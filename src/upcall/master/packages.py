"""What can be installed: manifests that hosts and people registered, and the check of options against their schema."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from upcall.master.sharing import shared
from upcall.protocol import schema
from upcall.protocol.errors import NotFound
from upcall.protocol.nearest import choice, nearest
from upcall.protocol.releases import newest, version_key
from upcall.protocol.service import Package


class Packages:
    """All registered packages, several versions of one side by side."""

    def __init__(self, packages: Iterable[Package] = ()) -> None:
        self._packages: dict[tuple[str, str], Package] = {(each.name, each.version): shared(each) for each in packages}
        self.version = 0
        """Rises with every change."""

    def put(self, package: Package) -> bool:
        """Registers; False when exactly this one stands already."""
        key = (package.name, package.version)
        if self._packages.get(key) == package:
            return False
        self._packages[key] = shared(package)
        self.version += 1
        return True

    @contextmanager
    def beside(self, package: Package | None) -> Iterator[None]:
        """As if this one were registered, for as long as something is looked at. Nothing waits in it, so nobody else
        sees it."""
        known = dict(self._packages)
        if package is not None:
            self._packages[package.name, package.version] = package
        try:
            yield
        finally:
            self._packages = known

    def all(self) -> list[Package]:
        return [self._packages[key] for key in sorted(self._packages, key=lambda key: (key[0], version_key(key[1])))]

    def __contains__(self, key: tuple[str, str]) -> bool:
        """Name and version."""
        return key in self._packages

    def beyond(self, kept: int) -> list[Package]:
        """Of each package, all versions but the ``kept`` newest."""
        by_name: dict[str, list[Package]] = {}
        for package in self.all():
            by_name.setdefault(package.name, []).append(package)
        return [package for versions in by_name.values() for package in versions[:-kept]]

    def forget(self, package: Package) -> None:
        del self._packages[package.name, package.version]
        self.version += 1

    def versions(self, name: str, version: str = "") -> list[Package]:
        """All versions of a package, or the one that is named; at least one."""
        found = self.find(name, version)
        return [found] if version else [package for package in self.all() if package.name == name]

    def find(self, name: str, version: str = "") -> Package:
        """The package in this version, or in the newest that begins with it; without a version, the newest."""
        versions = sorted((v for n, v in self._packages if n == name), key=version_key)
        if not versions:
            names = sorted({n for n, _ in self._packages})
            raise NotFound(
                f"no package {name!r}{nearest(name, names)}",
                where="package",
                expected=choice(names, "a package that a host registered (none has yet)"),
            )
        found = newest(versions, version)
        if not found:
            raise NotFound(
                f"package {name} has no version {version!r}{nearest(version, versions)}",
                where="version",
                expected=choice(versions, ""),
            )
        return self._packages[name, found]


def check_options(package: Package, options: Mapping[str, Any]) -> None:
    """Checks options against the package's JSON Schema; one clear error that names the first one that is wrong."""
    schema.check(package.options_schema, options, noun="option", of=f"package {package.name}", where="options")

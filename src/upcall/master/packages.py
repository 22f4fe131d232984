"""What can be installed: manifests that hosts and people registered, and the check of options against their schema."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import jsonschema
import jsonschema.validators

from upcall.protocol.errors import Invalid, NotFound
from upcall.protocol.numbers import whole
from upcall.protocol.service import Package


def nearest(name: str, known: Iterable[str]) -> str:
    """``, did you mean 'brokers'?`` or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _version_key(version: str) -> tuple[tuple[int, str], ...]:
    return tuple((-1 if (n := whole(part)) is None else n, part) for part in version.replace("-", ".").split("."))


class Packages:
    """All registered packages, several versions of one side by side."""

    def __init__(self, packages: Iterable[Package] = ()) -> None:
        self._packages: dict[tuple[str, str], Package] = {(each.name, each.version): each for each in packages}
        self.version = 0
        """Rises with every change."""

    def put(self, package: Package) -> bool:
        """Registers; False when exactly this one stands already."""
        key = (package.name, package.version)
        if self._packages.get(key) == package:
            return False
        self._packages[key] = package
        self.version += 1
        return True

    def all(self) -> list[Package]:
        return [self._packages[key] for key in sorted(self._packages, key=lambda key: (key[0], _version_key(key[1])))]

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

    def find(self, name: str, version: str = "") -> Package:
        """The package in this version; without a version, the newest."""
        versions = sorted((v for n, v in self._packages if n == name), key=_version_key)
        if not versions:
            names = sorted({n for n, _ in self._packages})
            raise NotFound(
                f"no package {name!r}{nearest(name, names)}",
                where="package",
                expected=f"one of {', '.join(names)}" if names else "a package that a host registered (none has yet)",
            )
        if version and version not in versions:
            raise NotFound(
                f"package {name} has no version {version!r}{nearest(version, versions)}",
                where="version",
                expected=f"one of {', '.join(versions)}",
            )
        return self._packages[name, version or versions[-1]]


def check_options(package: Package, options: Mapping[str, Any]) -> None:
    """Checks options against the package's JSON Schema; one clear error that names the first one that is wrong."""
    schema = dict(package.options_schema)
    if not schema:
        return
    known = schema.get("properties", {})
    for name in options:
        if name not in known:
            raise Invalid(
                f"unknown option {name!r} of package {package.name}{nearest(name, known)}",
                where=f"options.{name}",
                expected=f"one of {', '.join(sorted(known))}" if known else "no options",
            )
    validator = jsonschema.validators.validator_for(schema)(schema)
    errors = sorted(validator.iter_errors(dict(options)), key=lambda error: [str(part) for part in error.path])
    if errors:
        error = errors[0]
        where = ".".join(["options", *(str(part) for part in error.path)])
        raise Invalid(f"{error.message}", where=where, expected=_expected(error), package=package.name)


def _expected(error: "jsonschema.exceptions.ValidationError") -> str:
    """What would be right, from the part of the schema that was not met."""
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    if low is not None or high is not None:
        kind = schema.get("type", "number")
        if low is not None and high is not None:
            return f"{kind} from {low} to {high}"
        return f"{kind} of at least {low}" if low is not None else f"{kind} of at most {high}"
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"])
    if "pattern" in schema:
        return f"text that matches {schema['pattern']}"
    return str(schema.get("type", ""))

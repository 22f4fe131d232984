"""Versions of a package: their order, and which of them somebody means who names a part of one."""

from collections.abc import Iterable

from upcall.protocol.numbers import whole


def version_key(version: str) -> tuple[tuple[int, str], ...]:
    """Sorts ``4.10.0`` after ``4.9.1``, and words (``rc1``) before numbers."""
    return tuple((-1 if (n := whole(part)) is None else n, part) for part in version.replace("-", ".").split("."))


def newest(versions: Iterable[str], named: str = "") -> str:
    """The version of this name, else the newest that begins with it (``4.1`` is ``4.1.2``, and never ``4.10.0``);
    without a name the newest of all. Empty: there is none."""
    known = sorted(versions, key=version_key)
    if named in known:
        return named
    found = [version for version in known if not named or version.startswith((f"{named}.", f"{named}-"))]
    return found[-1] if found else ""


def newer(version: str, than: str) -> bool:
    return version_key(released(version)) > version_key(released(than))


def released(version: str) -> str:
    """Without the label of a build (``0.1.0+1f2e3d4c``): other files of the same version."""
    return version.partition("+")[0]


def split(text: str) -> tuple[str, str]:
    """``log@4.1`` as its name and its version; without ``@`` the version is empty."""
    name, _, version = text.partition("@")
    return name, version

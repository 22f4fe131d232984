"""A bundle: all that has to be carried to where no network reaches, in one folder, with the sums that show it is whole.

    images/         the images as one layout: layers that several have are there once
    chart/          the Helm chart of the control plane that runs them
    bundle.json     what it holds: packages, names, digests
    SHA256SUMS      of every other file, as `sha256sum -c` reads it

There it is looked at again, whole, before anything of it is used: who carried it may have lost or changed a part.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

import upcall
from upcall.artifacts.cache import hash_file
from upcall.image import layout
from upcall.image.building import Image
from upcall.image.errors import ImageError
from upcall.image.references import Reference, parse

IMAGES: Final = "images"
CONTENTS: Final = "bundle.json"
SUMS: Final = "SHA256SUMS"
FORMAT: Final = 1
_LINE: Final = re.compile(r"(?P<sha256>[0-9a-f]{64})  (?P<name>[^/\n].*)")


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """An image in the bundle."""

    package: str
    version: str
    name: str
    digest: str
    platforms: tuple[str, ...]


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle says that it holds."""

    format: int
    upcall: str
    images: tuple[Listed, ...]


@dataclass(frozen=True)
class Bundle:
    """A bundle that was looked at."""

    contents: Contents
    files: int
    size: int


def write(
    folder: Path, images: Mapping[tuple[str, str], tuple[str, Image]], beside: Mapping[str, str] | None = None
) -> Bundle:
    """The bundle of these images (by package and version, with their names). ``beside``: texts, by their paths."""
    listed = tuple(
        Listed(
            package=package,
            version=version,
            name=name,
            digest=image.digest,
            platforms=tuple(f"linux/{one.architecture}" for one in image.images),
        )
        for (package, version), (name, image) in sorted(images.items())
    )
    contents = Contents(format=FORMAT, upcall=upcall.__version__, images=listed)
    with layout.new_folder(folder) as partial:
        layout.lay(layout.contents_of(dict(images[one.package, one.version] for one in listed)), partial / IMAGES)
        for name, text in (beside or {}).items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_text(text)
        (partial / CONTENTS).write_bytes(msgspec.json.format(msgspec.json.encode(contents), indent=1) + b"\n")
        (partial / SUMS).write_text(_sums(partial))
    return verify(folder)


def _sums(folder: Path) -> str:
    return "".join(f"{hash_file(folder / name)}  {name}\n" for name in _files(folder))


def _files(folder: Path) -> list[str]:
    """All but the sums themselves, in order."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return sorted(name for name in found if name != SUMS)


def verify(folder: Path) -> Bundle:
    """Look at every file of the bundle; the first thing that is wrong with it is raised."""
    try:
        lines = [line for line in (folder / SUMS).read_text().splitlines() if line]
    except (OSError, UnicodeDecodeError):
        raise ImageError(f"{folder} is no bundle", where=str(folder), expected=f"a folder with {SUMS} in it") from None
    sums = {}
    for line in lines:
        if not (found := _LINE.fullmatch(line)):
            raise ImageError("the bundle's sums cannot be read", where=str(folder / SUMS), expected="HASH  NAME")
        sums[found["name"]] = found["sha256"]
    there = _files(folder)
    if missing := sorted(sums.keys() - set(there)):
        raise ImageError(f"the bundle lacks {len(missing)} files", where=str(folder / missing[0]), expected="all of it")
    if foreign := sorted(set(there) - sums.keys()):
        raise ImageError("a file is in the bundle that was not made with it", where=str(folder / foreign[0]))
    for name, expected in sums.items():
        if (got := hash_file(folder / name)) != expected:
            raise ImageError(f"a file of the bundle was changed: {got}", where=str(folder / name), expected=expected)
    size = sum((folder / name).stat().st_size for name in there)
    return Bundle(_contents(folder), len(there), size)


def _contents(folder: Path) -> Contents:
    where = str(folder / CONTENTS)
    try:
        contents = msgspec.json.decode((folder / CONTENTS).read_bytes(), type=Contents)
    except (OSError, msgspec.DecodeError) as error:
        raise ImageError(f"what the bundle holds cannot be read: {error}", where=where) from None
    if contents.format != FORMAT:
        raise ImageError(
            f"the bundle has format {contents.format}", where=where, expected=f"format {FORMAT} (a newer upcall?)"
        )
    return contents


def images(folder: Path, contents: Contents) -> dict[str, Image]:
    """The images by their names. They are what the bundle says, or nothing is given."""
    found = layout.Layout(folder / IMAGES).images()
    for one in contents.images:
        if one.name not in found or found[one.name].digest != one.digest:
            raise ImageError(f"the bundle lacks the image {one.name}", where=str(folder), expected=one.digest)
    return {one.name: found[one.name] for one in contents.images}


def target(registry: str, one: Listed) -> Reference:
    """Where an image of a bundle goes in a registry: HOST/PATH, and what it is."""
    return parse(f"{registry.rstrip('/')}/{one.package}:{one.version}", where="bundle push")

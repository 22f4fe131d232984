"""What a person said to stand on (``--base``), as a base for each platform.

nothing                        packages of a distribution, by the lock that lies here
FILE.json                      the same, by a lock of one's own
FOLDER                         an image in a folder (OCI layout)
HOST/PATH@sha256:...           an image in a registry
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from upcall.artifacts.cache import Cache
from upcall.artifacts.progress import Meter, ProgressCallback
from upcall.image import base, layout, references
from upcall.image.base import Base, described
from upcall.image.errors import ImageError
from upcall.image.layers import Layer
from upcall.image.registry import Registry
from upcall.image.target import Platform
from upcall.protocol.errors import Invalid

WHERE: Final = "--base"
_LAYERS: Final = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar": "application/vnd.oci.image.layer.v1.tar",
}
"""What the older format calls the same bytes."""

Standing = Callable[[Platform], Base]


def standing(said: str, cache: Cache, report: ProgressCallback | None = None) -> Standing:
    """The base of each platform, as it was said."""
    if not said or said.endswith(".json"):
        lock = Path(said) if said else base.OWN
        if not lock.is_file():
            raise Invalid(f"no file {said}", where=WHERE, expected="a lock of kind 'debian', a folder, or an image")
        return lambda platform: base.of_packages(lock, platform, cache, report)
    if (Path(said) / layout.MARKER).is_file():
        return lambda platform: _of_layout(layout.Layout(Path(said)), platform)
    if said.startswith((".", "/")) or Path(said).exists():
        raise Invalid(
            f"{said} is no image layout", where=WHERE, expected=f"a folder with a file {layout.MARKER!r} in it"
        )
    reference = references.parse(said, where=WHERE)
    if not reference.digest:
        raise _unpinned(reference)
    return lambda platform: asyncio.run(_of_registry(reference, platform, cache, report))


def _unpinned(reference: references.Reference) -> Invalid:
    """A tag may mean another image tomorrow. What it means now is looked up, so that it can be said."""

    async def now() -> str:
        async with Registry(reference, WHERE) as registry:
            return (await registry.manifest(reference.at))[1]

    return Invalid(
        f"{reference} names its image by a tag, which may mean another one tomorrow",
        where=WHERE,
        expected=f"its digest; now it is {reference.name}@{asyncio.run(now())}",
    )


def _of_layout(folder: layout.Layout, platform: Platform) -> Base:
    async def document(digest: str) -> bytes:
        return folder.document(digest)

    async def blob(layer: Layer) -> Path:
        return folder.blob(layer.digest)

    listed = folder.index().get("manifests") or []
    where = str(folder.folder)
    if len(listed) != 1 and not _of(listed, platform):
        raise ImageError(
            f"the layout holds {len(listed)} images", where=where, expected="one, or one of them for each platform"
        )
    one = listed[0] if len(listed) == 1 else _of(listed, platform)[0]
    return asyncio.run(_based("", str(one.get("digest")), where, platform, document, blob))


async def _of_registry(
    reference: references.Reference, platform: Platform, cache: Cache, report: ProgressCallback | None
) -> Base:
    async with Registry(reference, WHERE) as registry:
        meter = Meter("base", report)

        async def document(digest: str) -> bytes:
            if digest in sizes:
                return (await registry.fetch(digest, sizes[digest], cache)).read_bytes()
            return (await registry.manifest(digest))[0]

        async def blob(layer: Layer) -> Path:
            meter.begin(f"fetching a layer of {reference.path}", layer.size)
            return await registry.fetch(layer.digest, layer.size, cache)

        sizes: dict[str, int] = {}
        found = await _based(reference.name, reference.digest, str(reference), platform, document, blob, sizes)
        meter.finish()
        return found


async def _based(
    name: str,
    digest: str,
    where: str,
    platform: Platform,
    document: Callable[[str], Awaitable[bytes]],
    blob: Callable[[Layer], Awaitable[Path]],
    sizes: dict[str, int] | None = None,
) -> Base:
    """The base of the image with this digest. ``sizes`` learns which documents are blobs."""
    manifest = described(await document(digest), where)
    if "manifests" in manifest:
        of = _of(manifest["manifests"], platform)
        if not of:
            raise ImageError(f"the base is not there for {platform}", where=where, expected="one that has it")
        manifest = described(await document(str(of[0]["digest"])), where)
    try:
        told = manifest["config"]
        if sizes is not None:
            sizes[told["digest"]] = int(told["size"])
        config = described(await document(told["digest"]), where)
        if config.get("architecture") != platform.architecture:
            raise ImageError(
                f"the base is for linux/{config.get('architecture')}", where=where, expected=f"one for {platform}"
            )
        diffs = config["rootfs"]["diff_ids"]
        layers = []
        for one, diff in zip(manifest["layers"], diffs, strict=True):
            kind = _LAYERS.get(one["mediaType"], one["mediaType"])
            layer = Layer(one["digest"], int(one["size"]), diff, Path(), media_type=kind)
            layers.append(Layer(layer.digest, layer.size, diff, await blob(layer), media_type=kind))
    except (KeyError, TypeError, ValueError) as error:
        raise ImageError(f"the base cannot be read: {error!r}", where=where, expected="an OCI image") from None
    return base.of_image(name, digest, config, layers, lambda layer: layer.blob)


def _of(listed: Sequence[Mapping[str, Any]], platform: Platform) -> list[Mapping[str, Any]]:
    """The manifests that are for this platform, whatever variant of it."""
    found = []
    for one in listed:
        told = one.get("platform") or {}
        if (told.get("os"), told.get("architecture")) == ("linux", platform.architecture):
            found.append(one)
    return found

"""An image sent to a registry: what it has is skipped, and the name is given last.

First the layers, a few at a time, then the documents that name them, then the tag. So whoever asks for the tag gets
the image before or all of the new one; what a broken push has left there is nobody's, and the next one does not send
it again.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from upcall.image.building import Image
from upcall.image.layers import Layer
from upcall.image.references import Reference
from upcall.image.registry import PIECE_BYTES, Registry
from upcall.protocol.errors import UpcallError

PARALLEL: Final = 3

Sent = Callable[[int], None]


@dataclass(frozen=True)
class Pushed:
    """What it took."""

    reference: Reference
    """By digest: this very image, whatever the tag means tomorrow."""
    sent_bytes: int
    skipped_bytes: int


async def push(image: Image, reference: Reference, where: str, sent: Sent = lambda _: None) -> Pushed:
    """Send the image, and give it its tag, if the reference has one. ``sent`` is told what is done of all bytes."""
    gone = skipped = 0
    slots = asyncio.Semaphore(PARALLEL)

    async def one(registry: Registry, layer: Layer) -> None:
        nonlocal gone, skipped
        async with slots:
            if await registry.has(layer.digest):
                skipped += layer.size
                sent(layer.size)
            else:
                await registry.upload(layer.digest, layer.size, lambda: _of_file(layer.blob, sent))
                gone += layer.size

    async with Registry(reference, where) as registry:
        await _together([one(registry, layer) for layer in image.layers.values()])
        for config in (described.config for described in image.images):
            if not await registry.has(config.digest):
                await registry.upload(config.digest, len(config.data), functools.partial(_of_data, config.data))
        for document in image.manifests:
            await registry.put_manifest(document.digest, document.media_type, document.data)
        if reference.tag:
            await registry.put_manifest(reference.tag, image.top.media_type, image.top.data)
    return Pushed(reference.pinned(image.digest), gone, skipped)


async def _together(calls: Sequence[Coroutine[Any, Any, None]]) -> None:
    """All of them; the first that fails ends the others, and is what is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for call in calls:
                group.create_task(call)
    except BaseExceptionGroup as failed:
        first: BaseException = failed.subgroup(UpcallError) or failed
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None


async def _of_file(file: Path, sent: Sent) -> AsyncIterator[bytes]:
    with file.open("rb") as source:
        while piece := await asyncio.to_thread(source.read, PIECE_BYTES):
            yield piece
            sent(len(piece))


async def _of_data(data: bytes) -> AsyncIterator[bytes]:
    yield data

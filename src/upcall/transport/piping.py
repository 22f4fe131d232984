"""Bytes between two connections, both ways, until one of them ends."""

import asyncio
from contextlib import suppress
from typing import Final

CHUNK_BYTES: Final = 64 << 10

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def pipe(near: Streams, far: Streams) -> None:
    ways = [asyncio.create_task(_carry(near[0], far[1])), asyncio.create_task(_carry(far[0], near[1]))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for _, writer in (near, far):
            writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()

"""What a backup is made of, as it is written down.

A manifest is two lines: the SHA-256 of the second, and the second, which is JSON. So one that is cut off or damaged is
known as such, and is never half of a backup.
"""

import hashlib
from typing import Any, Final

import msgspec

from upcall.protocol.errors import Conflict

FORMAT: Final = 2
"""2: chunks may be compressed; what reads this reads 1 as well."""


class Corrupt(Conflict):
    """What is there is not what was written."""

    code = "corrupt"


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """Some bytes, by their digest."""

    sha256: str
    size: int


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing in a backup: a file, a stretch of a log."""

    name: str
    chunks: tuple[Chunk, ...] = ()
    about: dict[str, Any] = {}
    """Whatever its expert needs to know of it."""

    @property
    def size(self) -> int:
        return sum(chunk.size for chunk in self.chunks)


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One backup, whole."""

    format: int
    id: str
    service: str
    package: str
    version: str
    life: float
    """When the service was installed: what another life of the name wrote is no ground for an incremental one."""
    options: dict[str, Any] = {}
    """What the service was told to be; a new one is made of them."""
    action: str = ""
    """The question that it answers: asked again after a crash, it is this backup."""
    began_at: float
    ended_at: float
    base: str = ""
    """The backup that what was not read again is from."""
    promise: str = ""
    """What its parts are together, in words: consistent as of when, and with what left out."""
    about: dict[str, Any] = {}
    parts: tuple[Part, ...] = ()
    new_bytes: int = 0
    """Written for this one; the rest was there."""

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)


def encoded(manifest: Manifest) -> bytes:
    body = msgspec.json.encode(manifest)
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def decoded(data: bytes, where: str) -> Manifest:
    """Raises :class:`Corrupt`, or ``Conflict`` for a format that this version does not know."""
    digest, _, body = data.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise Corrupt(
            "the manifest of this backup is damaged", where=where, expected="another backup: `upcall backup list`"
        )
    known = msgspec.json.decode(body)
    if known.get("format") not in range(1, FORMAT + 1):
        raise Conflict(
            f"a backup of format {known.get('format')}",
            where=where,
            expected=f"a format up to {FORMAT}: a newer upcall reads it",
        )
    return msgspec.convert(known, Manifest)

"""Names of images in registries: ``HOST[:PORT]/PATH[:TAG][@sha256:DIGEST]``. Pure.

A host has to be named. A name without one means somebody's default elsewhere, and an image of one's own services is
not to land there by a forgotten word.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from upcall.protocol.errors import Invalid

DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")


@dataclass(frozen=True)
class Reference:
    """An image in a registry."""

    host: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        return f"{self.host}/{self.path}"

    @property
    def at(self) -> str:
        """What the registry is asked for: the digest, where there is one."""
        return self.digest or self.tag or "latest"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}{'@' if self.digest else ''}{self.digest}"

    def pinned(self, digest: str) -> "Reference":
        return replace(self, digest=digest)


def parse(text: str, *, where: str = "") -> Reference:
    """The reference that this is."""

    def wrong(why: str) -> Invalid:
        return Invalid(
            f"{text!r} is no name of an image in a registry: {why}",
            where=where,
            expected="HOST/PATH:TAG, as registry.example.com/data/log:4.1, or HOST/PATH@sha256:...",
        )

    rest, at, digest = text.partition("@")
    if at and not DIGEST.fullmatch(digest):
        raise wrong("its digest is not sha256 and 64 digits")
    host, slash, path = rest.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        raise wrong("it names no host")
    path, colon, tag = path.partition(":")
    if not _HOST.fullmatch(host):
        raise wrong(f"{host!r} is no host")
    if colon and not _TAG.fullmatch(tag):
        raise wrong(f"{tag!r} is no tag")
    if not _PATH.fullmatch(path):
        raise wrong(f"{path!r} is no path: lower-case letters, digits, and . _ - between them")
    return Reference(host, path, tag, digest)

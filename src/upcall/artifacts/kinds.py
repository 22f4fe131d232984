"""The one small interface behind which every kind of artifact stands.

A kind turns a lock into a folder and a few *properties* that commands may name (``{{artifact.java.home}}``). It works
under the lock of its key, fetches only what the cache lacks, and returns the same answer for the same key for ever.
A new kind is a class with :meth:`Kind.realise` and one call of :func:`register`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from upcall.artifacts.cache import Cache
from upcall.artifacts.errors import ArtifactError
from upcall.artifacts.progress import Meter
from upcall.protocol.declaration import Artifact

BlobSource = Callable[[str], bytes]
"""Gives the bytes of a blob (a lock file, a local file) by their SHA-256."""


@dataclass(frozen=True)
class Realised:
    """An artifact ready for use. ``path`` is its folder; properties are what templates may name."""

    path: Path
    properties: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One artifact to realise, with all that it may use."""

    artifact: Artifact
    data: bytes
    """The lock file's bytes; verified against the artifact's digest."""
    cache: Cache
    meter: Meter
    blobs: BlobSource
    siblings: Mapping[str, Realised]
    """Artifacts of the same request that are ready; only kinds that say ``needs_siblings`` get them."""
    sibling_locks: Mapping[str, str]
    train: bool = False
    """Whether slow optional work (class archives) is done now or left out."""


class Kind(Protocol):
    """A way to make artifacts."""

    needs_siblings: bool

    def realise(self, job: Job) -> Realised: ...


_kinds: dict[str, Kind] = {}


def register(name: str, kind: Kind) -> None:
    _kinds[name] = kind


def kind_named(name: str) -> Kind:
    try:
        return _kinds[name]
    except KeyError:
        known = ", ".join(sorted(_kinds))
        raise ArtifactError(f"unknown kind of artifact: {name!r}", where=name, expected=f"one of: {known}") from None

"""The one small interface behind which every kind of artifact stands.

A kind turns a lock into a folder and a few *properties* that commands may name (``{{artifact.java.home}}``). It works
under the lock of its key, fetches only what the cache lacks, and returns the same answer for the same key for ever.
A new kind is a class with :meth:`Kind.realise`, named by an installed distribution as an entry point in the group
``upcall.artifacts`` (the name is the kind's, the value a class without arguments). One whose locks can be made anew
from what was ``wanted`` has a ``relock`` beside it (:class:`Relocking`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from upcall.artifacts.cache import Cache
from upcall.artifacts.errors import ArtifactError
from upcall.artifacts.lock import Lock
from upcall.artifacts.progress import Meter
from upcall.protocol.declaration import Artifact
from upcall.protocol.nearest import choice

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


@runtime_checkable
class Relocking(Protocol):
    """A kind that knows how its locks come about, for maintainers (:mod:`upcall.artifacts.relock`)."""

    def relock(self, lock: Lock) -> Lock:
        """The same wish, resolved now."""
        ...


GROUP: Final = "upcall.artifacts"
_kinds: dict[str, Kind] = {}


def register(name: str, kind: Kind) -> None:
    _kinds[name] = kind


def kind_named(name: str) -> Kind:
    if name not in _kinds:
        offered = entry_points(group=GROUP)
        if name not in offered.names:
            known = choice(sorted({*_kinds, *offered.names}), "")
            raise ArtifactError(f"unknown kind of artifact: {name!r}", where=name, expected=known)
        try:
            register(name, offered[name].load()())
        except Exception as error:  # somebody else's code
            raise ArtifactError(
                f"the kind of artifact {name!r} cannot be loaded: {type(error).__name__}: {error}",
                where=offered[name].value,
                expected="a class with `needs_siblings` and `realise`",
            ) from error
    return _kinds[name]

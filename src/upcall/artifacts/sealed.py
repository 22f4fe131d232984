"""Artifacts that are in an image already: which lock is where, by the index that lies in it.

Whoever made the image realised its locks at fixed places (:mod:`upcall.image`); whoever runs in it asks here, by kind
and lock and not by name: a launch names the locks that it counts on, and an image that was made from others has
to be known for that before anything is started from it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from upcall.artifacts.errors import ArtifactError
from upcall.artifacts.kinds import Realised
from upcall.protocol.declaration import Artifact

INDEX: Final = Path("/upcall/artifacts.json")
FORMAT: Final = 1


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact in the image."""

    kind: str
    lock: str
    path: str
    properties: dict[str, str] = {}


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """What is in an image."""

    format: int
    packages: tuple[str, ...]
    """``log 4.1``: whose artifacts these are."""
    artifacts: tuple[Placed, ...]

    def realised(self, artifacts: Sequence[Artifact]) -> dict[str, Realised] | None:
        """These artifacts as they lie here, or nothing, if the image is not of these locks."""
        by_lock = {(placed.kind, placed.lock): placed for placed in self.artifacts}
        found = {}
        for artifact in artifacts:
            if (placed := by_lock.get((artifact.kind, artifact.lock))) is None:
                return None
            found[artifact.name] = Realised(Path(placed.path), dict(placed.properties))
        return found


def render(index: Index) -> bytes:
    return msgspec.json.format(msgspec.json.encode(index, order="sorted"), indent=1) + b"\n"


def index_of(path: Path = INDEX) -> Index | None:
    """The index of the image that we run in; nothing, when it is none of ours."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        index = msgspec.json.decode(data, type=Index)
    except msgspec.DecodeError as error:
        raise ArtifactError(f"the image's index cannot be read: {error}", where=str(path)) from None
    if index.format != FORMAT:
        raise ArtifactError(
            f"the image's index has format {index.format}", where=str(path), expected=f"format {FORMAT}: build it anew"
        )
    return index

"""An archive: all backups of one service in one place.

    archive.json        whose it is
    chunks/ab/abcd...   bytes, named by their SHA-256
    backups/ID          a manifest (:mod:`upcall.service.backup.manifest`): there as a whole or not at all
    drafts/ID/N         what a backup that is not whole yet has written: note N of its parts

The order of writes makes each moment a good one to die at: chunks, then a note of the parts that they make, and the
manifest last. What is there twice is there once, so two backups at the same time do not disturb each other.
"""

import hashlib
import threading
from typing import Final

import msgspec

from upcall.protocol.errors import Conflict, NotFound
from upcall.service.backup.manifest import Chunk, Corrupt, Manifest, Part, decoded, encoded
from upcall.service.backup.place import Place

CHUNK_BYTES: Final = 8 << 20
"""Of what is larger: so much is in memory at once for each writer."""
OWNER: Final = "archive.json"


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Whose archive it is."""

    format: int = 1
    service: str
    package: str


class Archive:
    """Blocking."""

    def __init__(self, place: Place, owner: Owner) -> None:
        self._place, self.owner = place, owner
        self._lock = threading.Lock()
        self._there: set[str] = set()
        """Chunks that this process wrote or saw."""

    @property
    def shown(self) -> str:
        return self._place.shown

    @classmethod
    def begun(cls, place: Place, service: str, package: str) -> "Archive":
        """To write into: made where there is none. ``Conflict`` when it is another service's."""
        wanted = Owner(service=service, package=package)
        if place.size(OWNER) is None:
            if place.names(""):
                raise Conflict(
                    f"{place.shown} holds something else", where="to", expected="an empty folder, or one of backups"
                )
            place.write(OWNER, msgspec.json.encode(wanted))
        found = cls.found(place)
        if found.owner != wanted:
            raise Conflict(
                f"{place.shown} holds backups of {found.owner.service} ({found.owner.package})",
                where="to",
                expected=f"a folder of {service}'s own",
            )
        return found

    @classmethod
    def found(cls, place: Place) -> "Archive":
        """To read from."""
        try:
            data = place.read(OWNER)
        except NotFound:
            raise NotFound(
                f"no backups in {place.shown}", where=place.shown, expected="a folder that `upcall backup` wrote to"
            ) from None
        try:
            return cls(place, msgspec.json.decode(data, type=Owner))
        except msgspec.MsgspecError as error:
            raise Corrupt(f"{OWNER} of {place.shown} is damaged: {error}", where=place.shown) from error

    # -- chunks -----------------------------------------------------------------------------------------------------

    def put(self, data: bytes, *, anew: bool = False) -> tuple[Chunk, bool]:
        """And whether it was written; one that is there is not. ``anew``: it is all the same."""
        chunk = Chunk(hashlib.sha256(data).hexdigest(), len(data))
        with self._lock:
            if chunk.sha256 in self._there:
                return chunk, False
        if written := anew or self._place.size(_of(chunk)) != chunk.size:
            self._place.write(_of(chunk), data)
        with self._lock:
            self._there.add(chunk.sha256)
        return chunk, written

    def get(self, chunk: Chunk) -> bytes:
        """What was put; :class:`Corrupt` when it is not that any more."""
        try:
            data = self._place.read(_of(chunk))
        except NotFound:
            raise Corrupt(f"chunk {chunk.sha256[:12]} is gone from {self.shown}", where=self.shown) from None
        if hashlib.sha256(data).hexdigest() != chunk.sha256:
            raise Corrupt(f"chunk {chunk.sha256[:12]} in {self.shown} is damaged", where=self.shown)
        return data

    # -- backups ----------------------------------------------------------------------------------------------------

    def ids(self) -> list[str]:
        return self._place.names("backups")

    def manifest(self, backup: str) -> Manifest:
        try:
            data = self._place.read(f"backups/{backup}")
        except NotFound:
            known = self.ids()
            raise NotFound(
                f"no backup {backup!r} in {self.shown}",
                where=self.shown,
                expected=f"one of {', '.join(known[-5:])}" if known else "a backup that was made there",
            ) from None
        return decoded(data, f"{self.shown}/{backup}")

    def manifests(self) -> list[Manifest]:
        """Those that are well, the newest last."""
        found = []
        for each in self.ids():
            try:
                found.append(self.manifest(each))
            except Conflict:
                continue
        return sorted(found, key=lambda one: one.ended_at)

    def keep(self, manifest: Manifest) -> None:
        """From now on it is a backup."""
        self._place.write(f"backups/{manifest.id}", encoded(manifest))
        self.forget(manifest.id)

    # -- drafts -----------------------------------------------------------------------------------------------------

    def drafts(self) -> list[str]:
        """Backups that were begun, and are not whole."""
        return self._place.names("drafts")

    def note(self, backup: str, number: int, parts: list[Part], life: float) -> None:
        self._place.write(f"drafts/{backup}/{number:06}", msgspec.json.encode((life, parts)))

    def noted(self, backup: str, life: float) -> tuple[int, dict[str, Part]]:
        """The number of the next note, and what the notes say; of another life nothing."""
        names = self._place.names(f"drafts/{backup}")
        found: dict[str, Part] = {}
        for name in names:
            try:
                noted = msgspec.json.decode(self._place.read(f"drafts/{backup}/{name}"), type=tuple[float, list[Part]])
            except (msgspec.MsgspecError, NotFound):
                continue  # What it said is found out again.
            if noted[0] == life:
                found |= {part.name: part for part in noted[1]}
        return int(names[-1]) + 1 if names else 0, found

    def forget(self, backup: str) -> None:
        self._place.drop(f"drafts/{backup}")


def _of(chunk: Chunk) -> str:
    return f"chunks/{chunk.sha256[:2]}/{chunk.sha256}"

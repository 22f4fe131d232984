"""An archive: all backups of one service in one place.

    archive.json        whose it is
    chunks/ab/abcd...   bytes, named by their SHA-256
    backups/ID          a manifest (:mod:`upcall.service.backup.manifest`): there as a whole or not at all
    drafts/ID/N         what a backup that is not whole yet has written: note N of its parts
    removing            which backups are being removed (:mod:`upcall.service.backup.removing`)

The order of writes makes each moment a good one to die at: a note that a backup begins, chunks, notes of the parts that
they make, and the manifest last. What is there twice is there once, so two backups at the same time do not disturb each
other. What removes old ones says so first and then looks for notes of others; who begins to write says so first and
then looks for that: one of the two always sees the other.

A chunk is named by what is in it, and lies there compressed where that makes it smaller; which of the two, its digest
says.
"""

import hashlib
import threading
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from upcall.protocol.errors import Conflict, NotFound
from upcall.protocol.nearest import choice
from upcall.service.backup.manifest import Chunk, Corrupt, Manifest, Part, decoded, encoded
from upcall.service.backup.place import Place

CHUNK_BYTES: Final = 8 << 20
"""Of what is larger: so much is in memory at once for each writer."""
OWNER: Final = "archive.json"
REMOVING: Final = "removing"
FAST: Final = 1
"""Of zlib's levels: a backup is to be as fast as what it is written to."""
PAYS: Final = 0.9
"""What shrinks by less is read faster as it is."""
NOBODY: Final = -1.0
"""Whose a note is that cannot be read."""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Whose archive it is."""

    format: int = 1
    service: str
    package: str


class Removing(msgspec.Struct, frozen=True, kw_only=True):
    """Backups that are being removed; what ends over it, and is asked again, knows by it that it began."""

    backups: tuple[str, ...]
    began_at: float


class Archive:
    """Blocking."""

    def __init__(self, place: Place, owner: Owner) -> None:
        self._place, self.owner = place, owner
        self._lock = threading.Lock()
        self._there: set[str] = set()
        """Chunks that this process wrote or saw."""

    @property
    def where(self) -> str:
        return self._place.where

    @classmethod
    def begun(cls, place: Place, service: str, package: str) -> "Archive":
        """To write into: made where there is none. ``Conflict`` when it is another service's."""
        wanted = Owner(service=service, package=package)
        if place.size(OWNER) is None:
            if place.names(""):
                raise Conflict(
                    f"{place.where} holds something else", where="to", expected="an empty folder, or one of backups"
                )
            place.write(OWNER, msgspec.json.encode(wanted))
        found = cls.found(place)
        if found.owner != wanted:
            raise Conflict(
                f"{place.where} holds backups of {found.owner.service} ({found.owner.package})",
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
                f"no backups in {place.where}", where=place.where, expected="a folder that `upcall backup` wrote to"
            ) from None
        try:
            return cls(place, msgspec.json.decode(data, type=Owner))
        except msgspec.MsgspecError as error:
            raise Corrupt(f"{OWNER} of {place.where} is damaged: {error}", where=place.where) from error

    # -- chunks -----------------------------------------------------------------------------------------------------

    def put(self, data: bytes, *, anew: bool = False) -> tuple[Chunk, bool]:
        """And whether it was written; one that is there is not. ``anew``: it is all the same."""
        chunk = Chunk(hashlib.sha256(data).hexdigest(), len(data))
        with self._lock:
            if chunk.sha256 in self._there:
                return chunk, False
        if written := anew or self._place.size(_of(chunk)) is None:
            self._place.write(_of(chunk), _small(data))
        with self._lock:
            self._there.add(chunk.sha256)
        return chunk, written

    def get(self, chunk: Chunk) -> bytes:
        """What was put; :class:`Corrupt` when it is not that any more."""
        try:
            data = self._place.read(_of(chunk))
        except NotFound:
            raise Corrupt(f"chunk {chunk.sha256[:12]} is gone from {self.where}", where=self.where) from None
        for whole in (data, _large(data, chunk.size)):
            if hashlib.sha256(whole).hexdigest() == chunk.sha256:
                return whole
        raise Corrupt(f"chunk {chunk.sha256[:12]} in {self.where} is damaged", where=self.where)

    def chunks(self) -> Iterator[str]:
        """Digests of all that lie there, whoever needs them."""
        for folder in self._place.names("chunks"):
            yield from self._place.names(f"chunks/{folder}")

    def drop_chunks(self, digests: Iterable[str]) -> None:
        self._place.remove(_at(each) for each in digests)

    # -- backups ----------------------------------------------------------------------------------------------------

    def ids(self) -> list[str]:
        return self._place.names("backups")

    def manifest(self, backup: str) -> Manifest:
        try:
            data = self._place.read(f"backups/{backup}")
        except NotFound:
            known = self.ids()
            raise NotFound(
                f"no backup {backup!r} in {self.where}",
                where=self.where,
                expected=choice(known[-5:], "a backup that was made there"),
            ) from None
        return decoded(data, f"{self.where}/{backup}")

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

    def drop(self, backups: Iterable[str]) -> None:
        """From now on they are none, also after a loss of power; their chunks stay."""
        self._place.remove(f"backups/{each}" for each in backups)

    # -- drafts -----------------------------------------------------------------------------------------------------

    def drafts(self) -> list[str]:
        """Backups that were begun, and are not whole."""
        return self._place.names("drafts")

    def begin(self, backup: str, number: int, life: float) -> None:
        """A note without parts: nothing is removed from here until it is whole, or given up. ``Conflict`` while
        something is being removed."""
        self.note(backup, number, [], life)
        if self.removing() is not None:
            if number:
                self._place.remove([_note(backup, number)])
            else:
                self.forget(backup)
            raise Conflict(
                f"old backups are being removed from {self.where}",
                where=self.where,
                expected="the end of that; `upcall backup remove`, once more, ends one that was given up",
            )

    def note(self, backup: str, number: int, parts: list[Part], life: float) -> None:
        self._place.write(_note(backup, number), msgspec.json.encode((life, parts)))

    def noted(self, backup: str, life: float) -> tuple[int, dict[str, Part]]:
        """The number of the next note, and what the notes say; of another life nothing."""
        notes = self._notes(backup)
        found = {part.name: part for _, of, parts in notes if of == life for part in parts}
        return notes[-1][0] + 1 if notes else 0, found

    def lives(self, backup: str) -> set[float]:
        """Of whom there are notes of it."""
        return {life for _, life, _ in self._notes(backup)}

    def _notes(self, backup: str) -> list[tuple[int, float, list[Part]]]:
        found = []
        for name in self._place.names(f"drafts/{backup}"):
            try:
                note = msgspec.json.decode(self._place.read(f"drafts/{backup}/{name}"), type=tuple[float, list[Part]])
            except (msgspec.MsgspecError, NotFound):
                note = (NOBODY, [])  # What it said is found out again.
            found.append((int(name), *note))
        return found

    def forget(self, backup: str) -> None:
        self._place.drop(f"drafts/{backup}")

    # -- what is being removed --------------------------------------------------------------------------------------

    def removing(self) -> Removing | None:
        """What somebody said that he removes; also one who died over it."""
        try:
            return msgspec.json.decode(self._place.read(REMOVING), type=Removing)
        except NotFound:
            return None
        except msgspec.MsgspecError:
            return Removing(backups=(), began_at=0.0)

    def remove_from_now(self, removing: Removing) -> None:
        self._place.write(REMOVING, msgspec.json.encode(removing))

    def tidy(self) -> None:
        self._place.tidy()

    def removed(self) -> None:
        self._place.remove([REMOVING])


def _of(chunk: Chunk) -> str:
    return _at(chunk.sha256)


def _at(digest: str) -> str:
    return f"chunks/{digest[:2]}/{digest}"


def _note(backup: str, number: int) -> str:
    return f"drafts/{backup}/{number:06}"


def _small(data: bytes) -> bytes:
    """As it lies in the place."""
    packed = zlib.compress(data, FAST)
    return packed if len(packed) < PAYS * len(data) else data


def _large(data: bytes, size: int) -> bytes:
    """What was compressed; no more of it than there has to be. Of what never was, nothing that anybody wrote."""
    try:
        return zlib.decompressobj().decompress(data, size + 1)
    except zlib.error:
        return b""

"""Old backups are removed from an archive, and with them the chunks that no other backup needs.

The order makes each moment a good one to die at: what is removed is written down, then the manifests go, which makes
them no backups any more, and last the chunks that nothing names which is left. So a backup that is kept misses nothing,
whenever that ends; what is left over is nobody's, and goes with the next removal. What cannot be read might need
anything: as long as it is there, nothing goes.
"""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from upcall.protocol.errors import Conflict, Invalid, NotFound
from upcall.service.backup.archive import NOBODY, Archive, Removing
from upcall.service.backup.manifest import Manifest
from upcall.service.backup.writing import Say, Work

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
AT_ONCE: Final = 200
"""Chunks that go between two words about it."""


@dataclass(frozen=True)
class Which:
    """Of an archive's backups: these by their names, or all but the ``keep`` newest, or those that are older. Of the
    last two both hold, where both are given, and the newest one always stays."""

    backups: tuple[str, ...] = ()
    keep: int = 0
    older_than_s: float = 0.0

    def of(self, standing: Sequence[Manifest], now_s: float) -> tuple[str, ...]:
        """``standing``: the newest last."""
        if bool(self.backups) == bool(self.keep or self.older_than_s):
            raise Invalid(
                "not said which backups are to go", where="backups", expected="their names, or `keep`, `older_than_s`"
            )
        if self.backups:
            return self.backups
        old = standing[: -max(self.keep, 1)]
        return tuple(one.id for one in old if now_s - one.ended_at > self.older_than_s)


@dataclass(frozen=True)
class Removal:
    """What goes, or went."""

    backups: tuple[str, ...]
    kept: int
    freed_bytes: int
    """Of what only they had; as large as it was before it was compressed."""


class Remover(Work):
    """Blocking; one at a time of an archive, and none while its service writes into it."""

    def __init__(self, archive: Archive, life: float, *, say: Say = lambda text, share: None) -> None:
        super().__init__(say)
        self._archive, self._life = archive, life
        """Drafts of this life are interrupted ones; what they have noted is kept."""

    def would(self, which: Which) -> Removal:
        """What :meth:`remove` would do."""
        standing, _ = self._standing()
        goes = which.of(self._well(standing), time.time())
        self._check(goes, {*standing})
        return self._removal(standing, goes)

    def remove(self, which: Which) -> Removal:
        """Goes on where one ended that was killed."""
        began = self._archive.removing()
        before = began.backups if began is not None else ()
        standing, _ = self._standing()
        goes = which.of(self._well(standing), time.time())
        self._check(goes, {*standing, *before})
        goes = (*goes, *(one for one in before if one not in standing and one not in goes))
        found = self._removal(standing, goes)
        self._archive.remove_from_now(Removing(backups=goes, began_at=time.time()))
        try:
            self._alone()
            standing, unread = self._standing()  # Anew: a backup may have ended between.
            unread = [one for one in unread if one not in found.backups]
            if unread:
                raise Conflict(
                    f"{', '.join(unread)} cannot be read: nobody knows what of the others it needs",
                    where=self._archive.where,
                    expected="it to be well, or removed as well, by its name",
                )
            self.say(f"{len(found.backups)} backups go")
            self._archive.drop(one for one in found.backups if one in self._archive.ids())
            self._sweep({name: one for name, one in standing.items() if name not in found.backups})
            self._archive.tidy()
        finally:
            self._archive.removed()
        return found

    def _standing(self) -> tuple[dict[str, Manifest | None], list[str]]:
        """Each backup by its name; and those that cannot be read, which are None."""
        found: dict[str, Manifest | None] = {}
        for name in self._archive.ids():
            try:
                found[name] = self._archive.manifest(name)
            except NotFound:
                continue
            except Conflict:
                found[name] = None
        return found, [name for name, one in found.items() if one is None]

    @staticmethod
    def _well(standing: dict[str, Manifest | None]) -> list[Manifest]:
        return sorted((one for one in standing.values() if one is not None), key=lambda one: one.ended_at)

    def _check(self, goes: tuple[str, ...], known: set[str]) -> None:
        for name in goes:
            if name not in known:
                self._archive.manifest(name)  # Says that it is not there, and which are.

    def _removal(self, standing: dict[str, Manifest | None], goes: tuple[str, ...]) -> Removal:
        chunks = {chunk for name in goes if (one := standing.get(name)) for part in one.parts for chunk in part.chunks}
        stays = [one for name, one in standing.items() if one is not None and name not in goes]
        needed = {chunk for one in stays for part in one.parts for chunk in part.chunks}
        return Removal(goes, len(standing.keys() - set(goes)), sum(chunk.size for chunk in chunks - needed))

    def _alone(self) -> None:
        """``Conflict`` while somebody else may be writing: an installation of before, or another cluster's."""
        for draft in self._archive.drafts():
            if self._archive.lives(draft) - {self._life, NOBODY}:
                raise Conflict(
                    f"{draft} was begun by another installation of {self._archive.owner.service}, and is not whole",
                    where=self._archive.where,
                    expected="its end; if it was given up, one more backup first, which takes its place",
                )

    def _sweep(self, kept: dict[str, Manifest | None]) -> None:
        needed = {bytes.fromhex(digest) for one in kept.values() if one is not None for digest in _named(one)}
        for draft in self._archive.drafts():
            parts = self._archive.noted(draft, self._life)[1].values()
            needed |= {bytes.fromhex(chunk.sha256) for part in parts for chunk in part.chunks}
        there = (digest for digest in self._archive.chunks() if _DIGEST.fullmatch(digest))
        unneeded = [digest for digest in there if bytes.fromhex(digest) not in needed]
        for first in range(0, len(unneeded), AT_ONCE):
            self.say(f"{first} of {len(unneeded)} chunks are gone", first / len(unneeded))
            self._archive.drop_chunks(unneeded[first : first + AT_ONCE])


def _named(manifest: Manifest) -> Iterator[str]:
    for part in manifest.parts:
        for chunk in part.chunks:
            yield chunk.sha256

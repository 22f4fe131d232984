"""What an expert's ``backup`` writes into.

Everything here may be called from any thread, and blocks: use it in ``self.blocking(...)``. Once the backup was called
off, each call raises, so that a thread ends by itself.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from upcall.protocol.errors import Conflict
from upcall.service.backup.archive import CHUNK_BYTES, Archive
from upcall.service.backup.manifest import FORMAT, Chunk, Manifest, Part

NOTE_S: Final = 2.0
"""Between two notes: so much is read again after a crash, and little is written for it."""

Say = Callable[[str, float | None], None]


class CalledOff(Conflict):
    """Nobody wants it any more."""


class Work:
    """Something long that a thread does: it says how far it is, and may be called off."""

    def __init__(self, say: Say = lambda text, share: None) -> None:
        self._say = say
        self._off = threading.Event()

    def call_off(self) -> None:
        self._off.set()

    def say(self, text: str, share: float | None = None) -> None:
        """How far it is. From any thread."""
        self.go_on()
        self._say(text, share)

    def go_on(self) -> None:
        """Raises when it was called off."""
        if self._off.is_set():
            raise CalledOff("called off")


class BackupInto(Work):
    """One backup while it is made."""

    def __init__(
        self,
        archive: Archive,
        backup: str,
        *,
        life: float = 0.0,
        base: Manifest | None = None,
        full: bool = False,
        say: Say = lambda text, share: None,
    ) -> None:
        super().__init__(say)
        self._archive, self.id, self._life = archive, backup, life
        self.base = None if full else base
        """The newest backup of this life of the service: what has not changed since is not read again."""
        self._full = full
        number, noted = archive.noted(backup, life)
        archive.begin(backup, number, life)
        self._next, noted = number + 1, {} if full else noted
        self.known: Mapping[str, Part] = {part.name: part for part in (self.base.parts if self.base else ())} | noted
        """Parts that are in the archive already, of the base or of this backup before it was interrupted."""
        self.about: dict[str, Any] = {}
        """For ``restore``: whatever belongs to the whole."""
        self.new_bytes = 0
        self._promise = ""
        self._parts: dict[str, Part] = {}
        self._unnoted: list[Part] = []
        self._noted_s = time.monotonic()
        self._lock = threading.Lock()

    def promise(self, text: str) -> None:
        """In words, what the parts are together: consistent as of when, and what is not in it."""
        self._promise = text

    def keep(self, name: str) -> Part | None:
        """The part of this name is as it was: it belongs to this backup too. None: it is not known."""
        self.go_on()
        part = self.known.get(name)
        if part is not None:
            with self._lock:
                self._parts[name] = part
        return part

    def add(self, name: str, data: bytes | str | Iterable[bytes], about: Mapping[str, Any] | None = None) -> Part:
        """A part, from its bytes; of what is large give the pieces, which are not held."""
        whole = data.encode() if isinstance(data, str) else data
        pieces = (whole,) if isinstance(whole, bytes) else whole
        part = Part(name=name, chunks=tuple(map(self._put, _cut(pieces))), about=dict(about or {}))
        with self._lock:
            self._parts[name] = part
            self._unnoted.append(part)
            unnoted = self._due()
        if unnoted:
            self._archive.note(self.id, *unnoted, self._life)
        return part

    def manifest(self, **more: Any) -> Manifest:
        """What was added and kept. What was never kept is not in it any more."""
        parts = tuple(self._parts[name] for name in sorted(self._parts))
        return Manifest(
            format=FORMAT,
            id=self.id,
            life=self._life,
            base=self.base.id if self.base else "",
            promise=self._promise,
            about=self.about,
            parts=parts,
            new_bytes=self.new_bytes,
            **more,
        )

    def _put(self, data: bytes) -> Chunk:
        self.go_on()
        chunk, written = self._archive.put(data, anew=self._full)
        if written:
            with self._lock:
                self.new_bytes += chunk.size
        return chunk

    def _due(self) -> tuple[int, list[Part]] | None:
        if time.monotonic() - self._noted_s < NOTE_S:
            return None
        self._noted_s = time.monotonic()
        number, self._next = self._next, self._next + 1
        parts, self._unnoted = self._unnoted, []
        return number, parts


def _cut(pieces: Iterable[bytes]) -> Iterable[bytes]:
    """Into chunks of one size, whatever the pieces are."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        view = memoryview(piece)
        while len(view):
            part = view[: CHUNK_BYTES - size]
            held.append(bytes(part))
            size += len(part)
            view = view[len(part) :]
            if size == CHUNK_BYTES:
                yield b"".join(held)
                held, size = [], 0
    if held:
        yield b"".join(held)

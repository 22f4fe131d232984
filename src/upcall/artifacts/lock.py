"""Lock files: exactly which files an artifact consists of.

A lock is JSON with one file a line, so that a change of a version reads well in a diff. It is the same text on every
machine (fields in a fixed order, files sorted), and its SHA-256 is its identity: a declaration names that digest, and
everything made from the lock is kept under it. It holds no address: where a file comes from is the business of the
registry's own tool, and what arrives is judged by its hash alone.

``source`` says what to ask the tool for: a Maven coordinate ``group:artifact:type[:classifier]:version``, or a Python
requirement ``name==version``, of which all files that fit some supported machine are listed. ``kept`` are files inside
a wheel that are wanted, when it is not the whole wheel.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from upcall.artifacts.errors import LockInvalid
from upcall.protocol.names import is_inside

FORMAT: Final = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


class LockedFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file: its name where it is used, and what it must be."""

    name: str
    sha256: str
    size: int
    source: str = ""
    marker: str = ""
    """Environment marker of the requirement (Python kinds)."""
    purpose: str = ""
    """``build``: needed only to build another one from its source."""


class Lock(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A lock file, parsed."""

    format: int
    kind: str
    name: str
    version: str
    wanted: tuple[str, ...] = ()
    """What the maintainer asked for; the files follow from it (kept for the next relock)."""
    left_out: tuple[str, ...] = ()
    """Patterns of what the resolver adds and this use does not need."""
    unpacked_bytes: int = 0
    """About how large it becomes on disk, when that differs from the files' sizes."""
    kept: tuple[LockedFile, ...] = ()
    files: tuple[LockedFile, ...] = ()

    @property
    def bytes_total(self) -> int:
        return sum(file.size for file in self.files)


_decoder = msgspec.json.Decoder(Lock)


def digest_of(data: bytes) -> str:
    """The identity of a lock file, a blob, a training: SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def render_lock(lock: Lock) -> bytes:
    """The one text of this lock."""
    fields = msgspec.to_builtins(
        msgspec.structs.replace(lock, kept=tuple(_ordered(lock.kept)), files=tuple(_ordered(lock.files)))
    )
    lines = []
    for key, value in fields.items():
        if key in ("files", "kept"):
            rows = ",\n".join("  " + json.dumps(row, ensure_ascii=True) for row in value)
            lines.append(f'"{key}": [\n{rows}\n ]')
        else:
            lines.append(f'"{key}": {json.dumps(value, ensure_ascii=True)}')
    return ("{\n " + ",\n ".join(lines) + "\n}\n").encode()


def parse_lock(data: bytes, *, digest: str = "", where: str = "lock file") -> Lock:
    """Read a lock, refusing what is damaged, newer than this program, or not the one named by ``digest``."""
    if digest and (got := digest_of(data)) != digest:
        raise LockInvalid(f"{where} is not the one that was named: got {got}", where=where, expected=digest)
    try:
        head = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        version = msgspec.json.decode(head.get("format", msgspec.Raw(b"0")), type=int)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LockInvalid(f"{where} cannot be read: {error}", where=where, expected="JSON of a lock file") from error
    if version != FORMAT:
        raise LockInvalid(f"{where} has format {version}", where=where, expected=f"format {FORMAT} (a newer upcall?)")
    try:
        lock = _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise LockInvalid(f"{where} cannot be read: {error}", where=where, expected="a lock file") from error
    _check(lock, where)
    return lock


def _check(lock: Lock, where: str) -> None:
    """Names become paths and hashes become folder names, so neither is taken on trust."""
    for files in (lock.files, lock.kept):
        for file in files:
            if not _SHA256.fullmatch(file.sha256) or file.size < 0:
                raise LockInvalid(
                    f"{where}: {file.name} has no valid hash and size", where=where, expected="SHA-256 in hex"
                )
            if not is_inside(file.name):
                raise LockInvalid(
                    f"{where}: {file.name!r} leaves its folder", where=where, expected="a relative path without '..'"
                )
        names = [file.name for file in files]
        if len(set(names)) != len(names):
            raise LockInvalid(f"{where} lists a name twice", where=where, expected="each file once")


def _ordered(files: Iterable[LockedFile]) -> list[LockedFile]:
    return sorted(files, key=lambda file: (file.purpose, file.name))

"""What the cache holds, and what of it may go.

A tree is dropped by whoever holds its lock, first its name in one step and then its files
(:mod:`upcall.artifacts.cache`), so no moment shows half of one; a lock that somebody else holds is somebody at work,
and what it stands for stays. So does what somebody looked at a moment ago: between the look and the first process that
runs from it no lock is held.
"""

import fcntl
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from upcall.artifacts.cache import Cache

LOOKED_AT_S: Final = 3600.0
"""What was looked at so lately may be just about to run."""
DIGEST: Final = re.compile(r"[0-9a-f]{64}")

LEFT: Final = "left behind"
KINDS: Final = {"files": "downloads", "partial": LEFT}
"""Folder of the cache -> kind, as it is called."""
SHOWN: Final = "a tree shows it"
OURS: Final = frozenset({"files", "trees", "partial", "locks", "resolved"})


class Entry(NamedTuple):
    """Something that goes or stays as a whole."""

    kind: str
    """``maven``, ``java``, ...; ``downloads``; ``left behind``: by somebody who was interrupted."""
    key: str
    path: Path
    size_bytes: int
    """What nothing before it in the list holds too."""
    looked_at: float

    @property
    def digests(self) -> frozenset[str]:
        """Of what it was made from."""
        return frozenset(DIGEST.findall(self.key))


def entries(cache: Cache) -> list[Entry]:
    """Trees first: a file that a tree shows is counted there."""
    seen: set[tuple[int, int]] = set()
    found = [
        Entry(path.name.partition("-")[0], path.name, path, _size(path, seen), looked_at)
        for path, looked_at in _children(cache.root / "trees")
    ]
    for folder, _ in _children(cache.root / "files"):
        for path, looked_at in _children(folder):
            found.append(Entry(KINDS["files"], path.name, path, _size(path, seen), looked_at))
    for path, looked_at in _children(cache.root / "partial"):
        found.append(Entry(LEFT, path.name, path, _size(path, seen), looked_at))
    return found


def others(cache: Cache) -> dict[str, int]:
    """Bytes of what other programs keep here: folder -> size."""
    seen: set[tuple[int, int]] = set()
    found = {path.name: _size(path, seen) for path, _ in _children(cache.root) if path.name not in OURS}
    return {name: size for name, size in found.items() if size}


def _children(folder: Path) -> Iterator[tuple[Path, float]]:
    try:
        paths = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for path in paths:
        with suppress(FileNotFoundError):
            yield path, path.lstat().st_mtime


def _size(path: Path, seen: set[tuple[int, int]]) -> int:
    """Of what is not in ``seen`` yet, each file once."""
    total = 0
    for file in _files(path):
        with suppress(OSError):
            found = file.lstat()
            if (found.st_dev, found.st_ino) not in seen:
                seen.add((found.st_dev, found.st_ino))
                total += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return total


def _files(path: Path) -> Iterator[Path]:
    if path.is_symlink() or not path.is_dir():
        yield path
        return
    for folder, _, names in os.walk(path):
        for name in names:
            yield Path(folder, name)


def clean(cache: Cache, goes: Callable[[Entry], bool], told: Callable[[Entry, str], None]) -> int:
    """Bytes freed. ``goes`` is asked of each entry. ``told`` is told of each that it lets go: empty, or why it stays
    all the same."""
    freed = 0
    dropped: set[int] = set()
    """Inodes that a dropped tree showed: the download goes with it."""
    for one in entries(cache):
        linked = one.kind == KINDS["files"]
        if not (goes(one) or (linked and _inode(one.path) in dropped)):
            continue
        with trying(cache, _lock_of(one)) as free:
            why = _why_it_stays(one, free=free, shown=linked)
            if not why:
                inodes = {_inode(file) for file in _files(one.path)} if not linked else set()
                _drop(cache, one)
                dropped |= inodes
                freed += one.size_bytes
            if why != SHOWN:
                told(one, why)
    return freed


def would_stay(cache: Cache, one: Entry) -> str:
    """Why an entry that is to go would stay, as far as it is known now."""
    with trying(cache, _lock_of(one)) as free:
        return _why_it_stays(one, free=free, shown=one.kind == KINDS["files"])


def _lock_of(one: Entry) -> str:
    if one.kind == KINDS["files"]:
        return f"file-{one.key}"
    if one.kind == LEFT and one.key.endswith(".part"):
        return f"file-{one.key.removesuffix('.part')}"
    return one.key.partition(".old-")[0]


def _why_it_stays(one: Entry, *, free: bool, shown: bool) -> str:
    if not free:
        return "somebody is at work on it"
    try:
        found = one.path.lstat()
    except FileNotFoundError:
        return "it is gone already"
    if found.st_mtime != one.looked_at:
        return "it was looked at just now"
    return SHOWN if shown and found.st_nlink > 1 else ""


def _drop(cache: Cache, one: Entry) -> None:
    if one.kind == KINDS["files"]:
        one.path.unlink(missing_ok=True)
    elif one.kind != LEFT:
        cache.drop_tree(one.key)
    elif one.path.is_dir():
        shutil.rmtree(one.path, ignore_errors=True)
    else:
        one.path.unlink(missing_ok=True)


def _inode(path: Path) -> int:
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return 0


@contextmanager
def trying(cache: Cache, key: str) -> Iterator[bool]:
    """The lock of ``key``, held if nobody else holds it; whether it is."""
    descriptor = os.open(cache.root / "locks" / key, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        yield False
        return
    try:
        yield True
    finally:
        os.close(descriptor)


def looked_at_lately(one: Entry) -> bool:
    return one.looked_at > time.time() - LOOKED_AT_S

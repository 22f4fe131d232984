"""The shared cache: files by what they are, trees by what they were made from.

    files/ab/<sha256>      one verified file; what is here was hashed on its way in. A tree shows it by a hard link, or
                           holds its contents, and then it is dropped (Python distributions)
    trees/<key>/           a realised artifact (a Java runtime, a folder of jars); complete or not there at all
    partial/<key>/         being made by whoever holds the key's lock; left behind by a crash, cleared by the next
    partial/<sha256>.part  the beginning of a file; left behind by a crash, gone on with by the next
    locks/<key>            advisory locks, so that the agents of several virtual nodes share one download

Two rules make it safe to share and to kill at any instant. Something is made in ``partial`` on the same file system
and then *renamed*: a reader sees all of it or nothing. And whoever makes a key holds its lock (released by the kernel
when the holder dies), so nothing is fetched twice at the same time, and a lock is never stale.

A power cut is no different: what a name stands for is on the disk before it has the name. A name that is lost costs a
download, a tree of empty files would count as complete for ever.

The folder is its user's own, and closed to everybody else, locks too: whoever could write here would choose what our
tasks run. One that somebody else made or could write to is refused (:mod:`upcall.keeper.private`).

A file that is there by name is trusted for its hash but not for its size, which costs one ``stat``; :meth:`verify`
reads everything again for those who doubt their disk.
"""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from upcall.artifacts.disk import sync_file_system
from upcall.artifacts.errors import ArtifactError, Mismatch, NoSpace
from upcall.artifacts.lock import LockedFile
from upcall.artifacts.progress import Meter
from upcall.keeper import private
from upcall.protocol import base_folders

CHUNK_BYTES = 1 << 20
UNUSED_S = 365 * 86_400.0
"""How long a version that nobody uses stays."""
PART_UNUSED_S = 30 * 86_400.0
"""How long the beginning of a file waits for somebody to go on with it."""
SPARE_BYTES = 200 << 20
"""Left free on the disk, whatever is fetched."""


def default_root() -> Path:
    """``UPCALL_CACHE``, or the user's cache folder as the XDG convention has it."""
    if given := os.environ.get("UPCALL_CACHE"):
        return Path(given).expanduser()
    return base_folders.cache()


def hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


class Cache:
    """One cache folder. Cheap to make; any number of processes may have one on the same root."""

    def __init__(self, root: Path | None = None, *, offline: bool | None = None) -> None:
        self.root = (root or default_root()).resolve()
        self.offline = bool(os.environ.get("UPCALL_OFFLINE")) if offline is None else offline
        """Refuse the network even where there is one."""
        try:
            for name in ("", "files", "trees", "partial", "locks"):
                private.make(str(self.root / name))
            probe = self.root / "locks" / f".probe-{os.getpid()}"
            probe.touch(mode=0o600)
            probe.unlink(missing_ok=True)
        except private.NotPrivate as error:
            raise ArtifactError(
                f"the artifact cache {self.root} is not to be trusted: {error.message}",
                where=error.path,
                expected=f"{error.expected}, or UPCALL_CACHE on another folder",
            ) from None
        except OSError as error:
            raise ArtifactError(
                f"the artifact cache {self.root} cannot be written: {error.strerror}",
                where=str(self.root),
                expected="a folder that this user may write (set UPCALL_CACHE to another one)",
            ) from error

    # -- files ------------------------------------------------------------------------------------------------------

    def file_path(self, sha256: str) -> Path:
        return self.root / "files" / sha256[:2] / sha256

    def has(self, file: LockedFile) -> bool:
        """Whether the file is here whole. One of another size is damaged and removed."""
        path = self.file_path(file.sha256)
        try:
            found = path.stat().st_size
        except FileNotFoundError:
            return False
        if found == file.size:
            return True
        path.unlink(missing_ok=True)
        return False

    def put(self, path: Path, file: LockedFile, artifact: str) -> Path:
        """Take a fetched file in by moving it, if it is the one that was locked; else throw it away and say so."""
        got = hash_file(path)
        if got != file.sha256:
            path.unlink(missing_ok=True)
            raise Mismatch(artifact, file.name, expected=file.sha256, got=got)
        target = self.file_path(file.sha256)
        target.parent.mkdir(exist_ok=True)
        path.chmod(0o644)
        with path.open("rb") as fetched:
            os.fsync(fetched.fileno())
        path.replace(target)
        return target

    def part(self, file: LockedFile) -> Path:
        """Where the file grows. Write to it under the lock ``file-<sha256>``."""
        return self.root / "partial" / f"{file.sha256}.part"

    def part_bytes(self, file: LockedFile) -> int:
        try:
            return self.part(file).stat().st_size
        except FileNotFoundError:
            return 0

    def drop(self, file: LockedFile) -> None:
        """Forget a file. Whoever needs it at this moment has linked it under the same lock."""
        with self.locked(f"file-{file.sha256}"):
            self.file_path(file.sha256).unlink(missing_ok=True)

    def verify(self, file: LockedFile, artifact: str) -> None:
        """Read a cached file again; a damaged one is removed and reported."""
        path = self.file_path(file.sha256)
        if path.exists() and (got := hash_file(path)) != file.sha256:
            path.unlink(missing_ok=True)
            raise Mismatch(artifact, file.name, expected=file.sha256, got=got)

    def link(self, file: LockedFile, target: Path) -> None:
        """Show a cached file under its name: a hard link where the file system can, else a copy."""
        target.parent.mkdir(parents=True, exist_ok=True)
        source = self.file_path(file.sha256)
        try:
            target.hardlink_to(source)
        except OSError:
            shutil.copy2(source, target)

    # -- trees ------------------------------------------------------------------------------------------------------

    def tree(self, key: str) -> Path | None:
        """The finished tree of this key, or nothing. Looking is using: see :meth:`prune`."""
        path = self.root / "trees" / key
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        return path

    @contextmanager
    def making(self, key: str) -> Iterator[Path]:
        """An empty folder that becomes the tree of ``key`` when the block ends well. Call with the key locked."""
        partial = self.root / "partial" / key
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            yield partial
            sync_file_system(partial)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        self.drop_tree(key)
        partial.rename(self.root / "trees" / key)

    def drop_tree(self, key: str) -> None:
        """Forget a tree: first its name, in one step, then its files."""
        path = self.root / "trees" / key
        aside = self.root / "partial" / f"{key}.old-{os.getpid()}"
        with suppress(FileNotFoundError):
            path.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)

    def prune(self, unused_s: float = UNUSED_S) -> int:
        """Drop trees that nobody has looked at for so long, then files that no tree shows any more; bytes freed.

        What a task runs from is looked at whenever the task is launched, so this is for versions long left behind.
        """
        before = time.time() - unused_s
        freed = 0
        for tree in list((self.root / "trees").iterdir()):
            with self.locked(tree.name), suppress(FileNotFoundError):
                if tree.stat().st_mtime < before:
                    freed += sum(path.lstat().st_size for path in tree.rglob("*") if not path.is_dir())
                    self.drop_tree(tree.name)
        for path in (self.root / "files").glob("*/*"):
            with suppress(FileNotFoundError):
                state = path.stat()
                if state.st_nlink == 1 and max(state.st_mtime, state.st_ctime) < before:
                    path.unlink()
        stale = time.time() - min(unused_s, PART_UNUSED_S)
        for path in (self.root / "partial").glob("*.part"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < stale:  # so nobody is writing it, and its lock is free
                    with self.locked(f"file-{path.stem}"):
                        freed += path.stat().st_size
                        path.unlink()
        return freed

    # -- sharing ----------------------------------------------------------------------------------------------------

    @contextmanager
    def locked(
        self, key: str, meter: Meter | None = None, *, says: str = "another process is fetching it"
    ) -> Iterator[None]:
        """Hold the lock of ``key`` against other threads and processes; wait for it, interruptible by the meter.

        Who waits says so, unless it is one of several that work on what is shown (an empty ``says``).
        """
        descriptor = os.open(self.root / "locks" / key, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            waited = False
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if meter is None:
                        fcntl.flock(descriptor, fcntl.LOCK_EX)
                        break
                    if says and not waited:
                        meter.begin(says, 0)
                        waited = True
                    meter.wait(0.1)
            yield
        finally:
            os.close(descriptor)

    def need_space(self, size_bytes: int, artifact: str) -> None:
        """Refuse before the download, not in the middle of it."""
        free = shutil.disk_usage(self.root).free
        if free < size_bytes + SPARE_BYTES:
            raise NoSpace(
                f"artifact {artifact} needs {size_bytes >> 20} MiB and {free >> 20} MiB are free",
                where=str(self.root),
                expected=f"{(size_bytes + SPARE_BYTES) >> 20} MiB free, or UPCALL_CACHE on another disk",
            )

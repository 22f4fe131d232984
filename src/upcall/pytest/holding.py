"""Who uses a cluster of tests, by locks.

Whoever uses a cluster shares the lock ``users`` of its folder; the guardian waits for it, in the kernel, and so is told
of the last one's end however that came about. No process id is kept anywhere: a number may be somebody else's by now.

The ``door`` stands beside the folder, since the folder itself comes and goes. Whoever comes, and the guardian when it
ends everything, passes it alone: nobody enters a cluster that is being ended.

Standard library only: the guardian is all that waits between two runs of tests.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

LEAVES_S: Final = 60.0
"""A condition, not a speed: processes that are killed, and a folder that is removed."""
LOOK_S: Final = 0.02
TRIES: Final = 3
"""Who only asks whether it is taken (:func:`is_taken`) has it for an instant."""
AGAIN_S: Final = 0.01


class Place:
    """Where the cluster of tests lies, and what lies beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.door = root.with_name(f"{root.name}.door")
        self.users = root / "users"
        self.guard = root / "guard"
        self.about = root / "about.json"
        self.keep = root / "keep"
        self.wake = root / "wake"
        self.starting = root / "starting"
        self.up = root / "up"
        self.sessions = root / "sessions"
        self.data = root / "data"

    def turn(self, service: str) -> Path:
        return self.root / f"turn-{service}"

    def used(self, service: str) -> Path:
        return self.root / f"used-{service}"


_open: set[int] = set()
"""Locks of this process. A child that is forked from it has them open too, and must not keep them."""


def _close_in_child() -> None:
    for descriptor in _open:
        with suppress(OSError):
            os.close(descriptor)
    _open.clear()


os.register_at_fork(after_in_child=_close_in_child)


class Lock:
    """An opening of a lock's file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        _open.add(self.descriptor)

    def take(self, *, shared: bool = False) -> "Lock":
        """Waits for it."""
        fcntl.flock(self.descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        return self

    def try_take(self) -> bool:
        """Alone, or not at all. Who shared it may have it no more when this fails (:meth:`take` it again)."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def let_go(self) -> None:
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def is_there(self) -> bool:
        """Whether the file is still the one of that name."""
        try:
            there = self.path.stat()
        except OSError:
            return False
        mine = os.fstat(self.descriptor)
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)

    def close(self) -> None:
        """Had by nobody from now on: a child that was just forked has it open until it runs, and to close it here alone
        would let it go only then."""
        if self.descriptor in _open:
            self.let_go()
            self.hand_over()

    def hand_over(self) -> None:
        """Closed here, and kept by the process that was given its descriptor."""
        if self.descriptor in _open:
            _open.discard(self.descriptor)
            os.close(self.descriptor)


@contextmanager
def locked(path: Path) -> Iterator[Lock]:
    """Alone within the block. A lock's file may be removed by who had it: then the new one is waited for."""
    while True:
        lock = Lock(path)
        try:
            lock.take()
            if lock.is_there():
                yield lock
                return
        finally:
            lock.close()


def is_shared(path: Path) -> bool:
    """Whether it is had by somebody who shares it: not by one who has it alone."""
    try:
        found = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(found, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(found)
    return is_taken(path)


def is_taken(path: Path) -> bool:
    """Whether anybody has it just now."""
    for again in range(TRIES):
        if again:
            time.sleep(AGAIN_S)
        try:
            found = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            pass
        finally:
            os.close(found)
    return True


def until_gone(place: Place) -> bool:
    """Waits until the guardian has ended everything, or somebody uses it again; False when it does neither: then there
    is no guardian any more."""
    until = time.monotonic() + LEAVES_S
    while place.root.exists() and not is_shared(place.users):
        if not is_taken(place.guard) or time.monotonic() > until:
            return not place.root.exists()
        time.sleep(LOOK_S)
    return True


def until_ended(guard: Lock) -> None:
    """Of a folder that is gone: who has its lock ends in a moment, and then the kernel has taken it back."""
    until = time.monotonic() + LEAVES_S
    while not guard.try_take() and time.monotonic() < until:
        time.sleep(LOOK_S)
    guard.close()


@contextmanager
def woken(place: Place) -> Iterator[None]:
    """After the block the guardian looks anew, if it sleeps, also where its folder is gone by then. One that is only
    just starting may open its end meanwhile: what is written stays for it, as long as this end is open."""
    try:
        pipe = os.open(place.wake, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield  # There is none.
        return
    try:
        yield
        with suppress(OSError):
            os.write(pipe, b".")
    finally:
        os.close(pipe)

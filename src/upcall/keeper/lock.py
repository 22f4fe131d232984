"""The lock of a data folder's keeper: who has it keeps the folder, or is about to.

The kernel takes it back with the last process that has it open, however that ended. It may be handed on, open, to a
process that is started: in between nobody else can have it, so there is no moment at which a second keeper begins.

Those that stand by for the keeper share another lock for as long as they live. Between the death of a keeper and the
moment in which one of them is woken, that one tells that the folder is kept.
"""

from __future__ import annotations

import fcntl
import os
import time
from types import TracebackType

KEEPER, STANDING = "lock", "standing"
TRIES = 5
"""Somebody who only asks whether it is taken (:func:`kept`) holds it for an instant."""
AGAIN_S = 0.05


class Lock:
    """One opening of it. Not inherited unless it is handed on."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def opened(cls, data_folder: str) -> Lock:
        """``FileNotFoundError`` where there was never a keeper, or the folder is gone."""
        return cls(os.open(path_of(data_folder), os.O_RDWR | os.O_CLOEXEC))

    @classmethod
    def made(cls, data_folder: str) -> Lock:
        return cls(os.open(path_of(data_folder), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    @classmethod
    def handed(cls, descriptor: int) -> Lock:
        """By who started this process."""
        os.set_inheritable(descriptor, False)
        return cls(descriptor)

    def take(self) -> bool:
        """False: somebody else has it."""
        for again in range(TRIES):
            if again:
                time.sleep(AGAIN_S)
            if self._at_once():
                return True
        return False

    def _at_once(self) -> bool:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    @classmethod
    def shared(cls, data_folder: str) -> Lock:
        """Of those that stand by."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        lock = cls(os.open(os.path.join(data_folder, "keeper", STANDING), flags, 0o600))
        fcntl.flock(lock.descriptor, fcntl.LOCK_SH)
        return lock

    def wait(self) -> None:
        """Until whoever has it is dead. The kernel wakes one of those who wait."""
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def is_of(self, data_folder: str) -> bool:
        """Whether it is still this folder's: the folder may be gone, or another one of its name."""
        try:
            there = os.stat(path_of(data_folder))
        except OSError:
            return False
        mine = os.fstat(self.descriptor)
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def kept(data_folder: str) -> bool:
    """Whether somebody keeps the folder, or is about to. Who stands by becomes the one that has the lock, and the other
    way round, so neither is missed between two looks."""
    return stood_by(data_folder) or _taken(data_folder, KEEPER) or stood_by(data_folder)


def stood_by(data_folder: str) -> bool:
    """Whether anybody stands by for its keeper."""
    return _taken(data_folder, STANDING)


def _taken(data_folder: str, name: str) -> bool:
    try:
        lock = Lock(os.open(os.path.join(data_folder, "keeper", name), os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return False
    with lock:
        return not lock._at_once()


def path_of(data_folder: str) -> str:
    return os.path.join(data_folder, "keeper", KEEPER)

"""The few calls of the Linux kernel that Python does not wrap: ``prctl``, capabilities and ``inotify``."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import NamedTuple

_libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
_CAPABILITIES_VERSION = 0x20080522

IN_MODIFY = 0x2
IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_DELETE_SELF = 0x400
IN_MOVE_SELF = 0x800
IN_NONBLOCK = 0x800
IN_CLOEXEC = 0x80000

GONE = IN_DELETE_SELF | IN_MOVE_SELF
"""A folder was deleted or moved away."""
NAME_GONE = IN_DELETE | IN_MOVED_FROM
"""Something in a folder was."""

_EVENT = struct.Struct("iIII")


def syscall(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None, what: str) -> int:
    """A call that the C library has no name for. ``OSError`` begins with ``what``."""
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result: int = _libc.syscall(ctypes.c_long(number), *wide)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def _prctl(option: int, value: int | ctypes.c_char_p) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def become_subreaper() -> None:
    """Orphaned descendants of this process become its children, whatever session or group they moved to."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(number: int) -> None:
    """The kernel sends this process the signal when the *thread* that forked it ends."""
    _prctl(PR_SET_PDEATHSIG, number)


def name_process(name: str) -> None:
    """What ``ps`` and ``top`` show (15 bytes)."""
    _prctl(PR_SET_NAME, ctypes.c_char_p(name.encode()[:15]))


def no_new_privileges() -> None:
    """No program that this process executes, and none below it, gets more rights than it has (set-user-ID is off)."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def drop_capability(number: int) -> bool:
    """Not to be had again, whatever is executed; False for one that the kernel does not know."""
    try:
        _prctl(PR_CAPBSET_DROP, number)
    except OSError:
        return False
    return True


def drop_all_capabilities() -> None:
    """Root is then a user like any other, who owns root's files."""
    header, none = struct.pack("=Ii", _CAPABILITIES_VERSION, 0), bytes(24)
    if _libc.capset(header, none) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"capset: {os.strerror(number)}")


class Event(NamedTuple):
    watch: int
    mask: int
    name: str


class Inotify:
    """To be told of changes in the file system. ``OSError`` when the user's limit of instances is reached."""

    def __init__(self) -> None:
        self.descriptor: int = _libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC)
        if self.descriptor < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"inotify_init1: {os.strerror(number)}")

    def watch(self, path: str, mask: int) -> int:
        watch: int = _libc.inotify_add_watch(self.descriptor, os.fsencode(path), mask)
        if watch < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
        return watch

    def unwatch(self, watch: int) -> None:
        _libc.inotify_rm_watch(self.descriptor, watch)

    def read(self) -> list[Event]:
        """What happened since; never waits."""
        try:
            data = os.read(self.descriptor, 65536)
        except BlockingIOError:
            return []
        events = []
        offset = 0
        while offset < len(data):
            watch, mask, _cookie, length = _EVENT.unpack_from(data, offset)
            offset += _EVENT.size
            events.append(Event(watch, mask, os.fsdecode(data[offset : offset + length].rstrip(b"\0"))))
            offset += length
        return events

    def close(self) -> None:
        os.close(self.descriptor)


class FolderGuard:
    """Notices that a folder which we live in was deleted or moved away.

    Told by inotify where that is possible. A deleted folder that is some process's working folder still exists for
    the kernel, and sends nothing itself; so the parent of the innermost one is watched for the disappearing of a name
    as well. Where the user's inotify instances are used up, :meth:`gone` looks itself, and ``interval_s`` says how
    often it wants to be asked.
    """

    LOOK_EVERY_S = 5.0

    def __init__(self, *folders: str) -> None:
        """From the outermost to the innermost."""
        self._folders = {folder: os.stat(folder).st_ino for folder in folders}
        self._inotify: Inotify | None = None
        try:
            self._inotify = Inotify()
            for folder in folders:
                self._inotify.watch(folder, GONE)
            self._inotify.watch(os.path.dirname(folders[-1]), NAME_GONE)
        except OSError:
            self.close()

    @property
    def descriptor(self) -> int | None:
        return self._inotify.descriptor if self._inotify else None

    @property
    def interval_s(self) -> float | None:
        return None if self._inotify else self.LOOK_EVERY_S

    def gone(self) -> bool:
        if self._inotify:
            self._inotify.read()
        for folder, inode in self._folders.items():
            try:
                if os.stat(folder).st_ino != inode:
                    return True
            except (FileNotFoundError, NotADirectoryError):
                return True
            except OSError:
                continue
        return False

    def close(self) -> None:
        if self._inotify:
            self._inotify.close()
            self._inotify = None

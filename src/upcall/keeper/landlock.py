"""Landlock: a process gives up what it may do with files, for itself and all that it starts, for ever.

No privilege is needed. What is not allowed here is refused whatever the file's mode says; besides, the process may no
longer look into, trace or (from Linux 6.12 on) signal processes outside, which have the same user as it where we are
not root. A socket in the file system may still be connected to: who listens on one looks at who comes
(:func:`upcall.keeper.sockets.same_user`).
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable

from upcall.keeper import linux

_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""Numbers of the system calls, the same on every architecture."""
_VERSION = 1
_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_SYM = 1 << 7, 1 << 8, 1 << 9, 1 << 10, 1 << 12
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_BITS_OF_ABI = (0, 13, 14, 15, 15, 16)
"""How many rights each version of the interface knows, from the first on; later ones add none for files."""
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
SCOPES_ABI = 6
_SCOPES = 0b11
"""Abstract Unix sockets, and signals."""

READ = EXECUTE | READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_SYM
WRITE |= REFER | TRUNCATE
DEVICE = READ_FILE | WRITE_FILE | IOCTL_DEV | READ_DIR


def _call(number: int, *arguments: int | bytes | None) -> int:
    return linux.syscall(number, *arguments, what="landlock")


def abi() -> int:
    """Version of the kernel's interface; 0 where there is none, or it is switched off."""
    try:
        return _call(_CREATE, None, 0, _VERSION)
    except OSError:
        return 0


def restrict(rules: Iterable[tuple[str, int]]) -> None:
    """From now on only this: paths, each with what may be done there and below. A path that is not there is left out.
    Needs `no_new_privs`."""
    version = abi()
    if version < 1:
        raise OSError(errno.ENOSYS, "landlock: not there")
    handled = (1 << _BITS_OF_ABI[min(version, len(_BITS_OF_ABI) - 1)]) - 1
    scopes = _SCOPES if version >= SCOPES_ABI else 0
    attributes = struct.pack("=QQQ", handled, 0, scopes)
    size = 24 if version >= SCOPES_ABI else 16 if version >= 4 else 8
    ruleset = _call(_CREATE, attributes, size, 0)
    try:
        for path, rights in rules:
            _allow(ruleset, path, rights & handled)
        _call(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(f"/proc/self/fd/{descriptor}"):
            rights &= _OF_FILES
        _call(_ADD, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)

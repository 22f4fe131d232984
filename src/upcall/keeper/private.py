"""Folders that are ours alone: what we keep there decides what runs as us.

A folder that somebody else made, or could write to, is a trap: he swaps the tokens, or what a task starts from. So
before anything in it is believed, it must be our own, and nobody else may have written there; then others are shut
out of it. What is wrong is said with the command that puts it right.
"""

from __future__ import annotations

import os
import pwd
import stat
from typing import Final

MODE: Final = 0o700
_OTHERS_WRITE: Final = stat.S_IWOTH
_GROUP_WRITES: Final = stat.S_IWGRP


class NotPrivate(Exception):
    """A folder that cannot be ours: where, why, and what would be right."""

    def __init__(self, path: str, message: str, expected: str) -> None:
        super().__init__(message)
        self.path, self.message, self.expected = path, message, expected

    def __str__(self) -> str:
        return f"{self.message}: {self.path}; expected {self.expected}"


def make(path: str, mode: int = MODE) -> None:
    """A folder of ours, made if need be; modes that let others in are taken back."""
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        os.mkdir(path, mode)
    except FileExistsError:
        pass
    found = check(path)
    # What was open to others may hold what is not ours: looked at before it is closed, while its owner can still tell.
    if found.st_mode & _OTHERS_WRITE and not found.st_mode & stat.S_ISVTX and os.listdir(path):
        raise NotPrivate(
            path,
            f"everybody may write here (mode {stat.S_IMODE(found.st_mode):04o}), so nobody knows whose its files are",
            f"an empty folder; or, if all in it is yours, `chmod -R go-w {path}`",
        )
    if found.st_mode & (_OTHERS_WRITE | _GROUP_WRITES):
        check_content(path)
    if stat.S_IMODE(found.st_mode) & ~mode:
        os.chmod(path, mode)


def check(path: str) -> os.stat_result:
    """That a folder is there, is one, and is ours."""
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise NotPrivate(path, "this is no folder", "a folder of your own, or a path where one can be made")
    check_owner(path, found)
    return found


def check_content(path: str) -> None:
    """That what lies in a folder is ours."""
    for entry in os.scandir(path):
        check_owner(entry.path, entry.stat(follow_symlinks=False))


def check_owner(path: str, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise NotPrivate(
            path, f"this belongs to {name_of(found.st_uid)}", f"one that belongs to {name_of(os.geteuid())}"
        )


def name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"

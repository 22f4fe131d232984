"""Reading a log that grows and is rotated, each byte once."""

import os
from pathlib import Path

LINE_BYTES_MAX = 65536
FILES_MAX = 16
"""Of one log, with its rotated ones."""

Position = tuple[int, int]
"""Inode and offset: they mean the same byte after a rotation, and to another process."""


class Tail:
    """Reads a log that grows and is rotated, line by line, each line once."""

    def __init__(self, path: Path, after: Position | None = None) -> None:
        self._path = path
        self._inode, self._offset = after or (0, 0)
        self._rest = b""
        self._held = -1
        """Our file, held open: while it is, its inode is no other file's."""
        self.skipped = False
        """Something was written and rotated away before it was read."""

    def __del__(self) -> None:
        if self._held >= 0:
            os.close(self._held)

    @classmethod
    def at_end(cls, path: Path) -> "Tail":
        """Only what comes from now on."""
        tail = cls(path)
        if tail._hold(path):
            tail._offset = os.fstat(tail._held).st_size
        return tail

    @property
    def position(self) -> Position:
        return self._inode, self._offset

    def lines(self) -> list[bytes]:
        """Whole lines since the last call (and an unfinished one that grew too long)."""
        data = self._rest + self.read()
        *lines, self._rest = data.split(b"\n")
        if len(self._rest) > LINE_BYTES_MAX:
            lines.append(self._rest)
            self._rest = b""
        return lines

    def read(self, bytes_max: int | None = None) -> bytes:
        """What came since the last call; at most ``bytes_max``, and the rest at the next. It stays in its files until
        then, through as many rotations as files are kept."""
        data = b""
        while self._find():
            # Looked at first: what is written after the rotation is in the next file.
            number = self._number(self._inode)
            data += self._read_held(None if bytes_max is None else bytes_max - len(data))
            if number == 0 or (bytes_max is not None and len(data) >= bytes_max):
                break
            self.skipped |= number is None  # Its file is gone: the log was written faster than it was read.
            if not self._go_on(number):
                break
        return data

    def _find(self) -> bool:
        """Whether our file is held: the one that our place names, else the one that is written."""
        if self._held >= 0:
            return True
        inode, offset = self.position
        while True:
            number = self._number(inode) if inode else 0
            if not self._hold(self._rotated(number or 0)):
                if number is None:
                    self._inode, self._offset = 0, 0
                return False  # Else our place stays as it is: its file was rotated between the two looks.
            if number is None or not inode or self._inode == inode:
                self._offset = 0 if number is None else offset
                return True
            # Rotated between the two looks: another file has that name now.
            os.close(self._held)
            self._held, self._inode, self._offset = -1, inode, offset

    def _go_on(self, number: int | None) -> bool:
        """To the file after ours, which is rotated file ``number``; None: ours is kept no more."""
        ours = self._inode
        while number:
            if (found := _opened(self._rotated(number - 1))) < 0:
                return False  # It is about to be made.
            now = self._number(ours)
            if now == number:
                return self._held_is(found)
            os.close(found)  # Rotated meanwhile: another file has that name now.
            number = now
        if self._hold(self._path):
            return True
        os.close(self._held)
        self._held, self._inode, self._offset = -1, 0, 0
        return False

    def _hold(self, path: Path) -> bool:
        """From its beginning."""
        return self._held_is(_opened(path))

    def _held_is(self, descriptor: int) -> bool:
        if descriptor < 0:
            return False
        if self._held >= 0:
            os.close(self._held)
        self._held = descriptor
        self._inode, self._offset = os.fstat(descriptor).st_ino, 0
        return True

    def _number(self, inode: int) -> int | None:
        """Which of the rotated files it is; 0 for the one that is written, None when it is kept no more."""
        known = (number for number in range(FILES_MAX) if _inode(self._rotated(number)) == inode)
        return next(known, None)

    def _rotated(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path

    def _read_held(self, bytes_max: int | None) -> bytes:
        size = os.fstat(self._held).st_size
        if size < self._offset:
            self._offset = 0  # Truncated: a log of one file.
        wanted = size - self._offset if bytes_max is None else min(bytes_max, size - self._offset)
        data = os.pread(self._held, wanted, self._offset)
        self._offset += len(data)
        return data


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return -1


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0

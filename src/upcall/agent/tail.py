"""Reading a log that grows and is rotated, each byte once."""

import contextlib
from pathlib import Path

LINE_BYTES_MAX = 65536

Position = tuple[int, int]
"""Inode and offset: they mean the same byte after a rotation, and to another process."""


class Tail:
    """Reads a log that grows and is rotated, line by line, each line once."""

    def __init__(self, path: Path, after: Position | None = None) -> None:
        self._path = path
        self._inode, self._offset = after or (0, 0)
        self._rest = b""

    @classmethod
    def at_end(cls, path: Path) -> "Tail":
        """Only what comes from now on."""
        tail = cls(path)
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            tail._inode, tail._offset = status.st_ino, status.st_size
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

    def read(self) -> bytes:
        data = b""
        rotated = self._path.with_name(f"{self._path.name}.1")
        if self._inode and _inode(self._path) != self._inode and _inode(rotated) == self._inode:
            data = self._read_from(rotated)
            self._inode, self._offset = 0, 0
        elif self._inode and _inode(self._path) not in (self._inode, 0):
            self._inode, self._offset = 0, 0  # Rotated more than once since: what is left of it is read whole.
        if self._inode == 0:
            self._inode = _inode(self._path)
        return data + self._read_from(self._path)

    def _read_from(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                if file.seek(0, 2) < self._offset:
                    self._offset = 0  # Truncated: a log of one file.
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return b""
        self._offset += len(data)
        return data


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0

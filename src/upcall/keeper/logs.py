"""A log that is bounded: ``name``, then ``name.1`` (older) ... ``name.<files - 1>``.

Output is never allowed to stop a task: when the disk is full or the folder gone, bytes are dropped and counted.
"""

from __future__ import annotations

import os

MAX_BYTES = 8 * 1024 * 1024
FILES = 3


class RotatingLog:
    def __init__(self, path: str, max_bytes: int = MAX_BYTES, files: int = FILES) -> None:
        assert max_bytes > 0, "a log has room"
        assert files >= 1, "a log has a file"
        self.path = path
        self.dropped_bytes = 0
        self._max_bytes = max_bytes
        self._files = files
        self._descriptor = -1
        self._size = 0

    def write(self, data: bytes) -> None:
        try:
            if self._descriptor >= 0 and self._size + len(data) > self._max_bytes and self._size > 0:
                self._rotate()
            if self._descriptor < 0:
                self._open()
            written = os.write(self._descriptor, data)
            self._size += written
            self.dropped_bytes += len(data) - written
        except OSError:
            self.dropped_bytes += len(data)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o640)
        self._size = os.fstat(self._descriptor).st_size

    def _rotate(self) -> None:
        self.close()
        if self._files == 1:
            os.truncate(self.path, 0)
            return
        for number in range(self._files - 1, 0, -1):
            older = f"{self.path}.{number - 1}" if number > 1 else self.path
            if os.path.exists(older):
                os.replace(older, f"{self.path}.{number}")

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

"""A log that is bounded: ``name``, then ``name.1`` (older) ... ``name.<files - 1>``.

Output is never allowed to stop a task: when the disk is full or the folder gone, bytes are dropped and counted.
"""

from __future__ import annotations

import os

MAX_BYTES = 8 * 1024 * 1024
FILES = 3
ORDER = "order"
ORDER_BYTES = 1024 * 1024
"""Of a file with the order of two streams: some fifty thousand turns from one to the other."""


class RotatingLog:
    def __init__(self, path: str, max_bytes: int = MAX_BYTES, files: int = FILES) -> None:
        assert max_bytes > 0, "a log has room"
        assert files >= 1, "a log has a file"
        self.path = path
        self.dropped_bytes = 0
        self.written_bytes = 0
        self.starts_at = 0
        """Of all that was written: the first byte of the file that is written now."""
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
            self.written_bytes += written
            self.dropped_bytes += len(data) - written
        except OSError:
            self.dropped_bytes += len(data)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o640)
        self._size = os.fstat(self._descriptor).st_size
        if not self.written_bytes:
            self.starts_at = -self._size  # Of an earlier life.

    def _rotate(self) -> None:
        self.close()
        self.starts_at = self.written_bytes
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


class OrderedLogs:
    """Both streams of a task, and in ``order`` beside them in which order they came: a line wherever the task goes on
    with the other stream, and where a new file begins. It has the stream, and of both how much was written before it
    and where the file begins that is written: ``1 2048 17 0 0``. Who writes to one stream alone pays one line."""

    def __init__(self, folder: str, names: tuple[str, str], max_bytes: int = MAX_BYTES, files: int = FILES) -> None:
        self._logs = tuple(RotatingLog(os.path.join(folder, name), max_bytes, files) for name in names)
        self._order = RotatingLog(os.path.join(folder, ORDER), ORDER_BYTES, files)
        self._stream = -1

    @property
    def dropped_bytes(self) -> int:
        return sum(log.dropped_bytes for log in self._logs)

    def write(self, stream: int, data: bytes) -> None:
        log = self._logs[stream]
        if data and stream != self._stream:
            self._mark(stream)
        began = log.starts_at
        log.write(data)
        if log.starts_at != began:
            self._mark(stream)

    def _mark(self, stream: int) -> None:
        self._stream = stream
        out, err = self._logs
        numbers = (stream, out.written_bytes, err.written_bytes, out.starts_at, err.starts_at)
        self._order.write(" ".join(map(str, numbers)).encode() + b"\n")

"""A log that is bounded: ``name``, then ``name.1`` (older) ... ``name.<files - 1>``.

Output is never allowed to stop a task: when the disk is full or the folder gone, bytes are dropped and counted.
"""

from __future__ import annotations

import contextlib
import os

MAX_BYTES = 8 * 1024 * 1024
FILES = 3
ORDER = "order"
ORDER_BYTES = 1024 * 1024
"""Of a file with the order of two streams: some thirty thousand turns from one to the other."""


class RotatingLog:
    def __init__(self, path: str, max_bytes: int = MAX_BYTES, files: int = FILES) -> None:
        assert max_bytes > 0, "a log has room"
        assert files >= 1, "a log has a file"
        self.path = path
        self.dropped_bytes = 0
        self.written_bytes = 0
        self.starts_at = 0
        """Of all that was written: the first byte of the file that is written now."""
        self.inode = 0
        """Of that file."""
        self._max_bytes = max_bytes
        self._files = files
        self._descriptor = -1
        self._size = 0

    def write(self, data: bytes) -> None:
        try:
            self._make_room(len(data))
            written = os.write(self._descriptor, data)
            self._size += written
            self.written_bytes += written
            self.dropped_bytes += len(data) - written
        except OSError:
            self.dropped_bytes += len(data)

    def make_room(self, size: int) -> None:
        """From here on it is known which file the next ``size`` bytes are written to."""
        with contextlib.suppress(OSError):  # Who writes meets it again.
            self._make_room(size)

    def _make_room(self, size: int) -> None:
        if self._descriptor >= 0 and self._size + size > self._max_bytes and self._size > 0:
            self._rotate()
        if self._descriptor < 0:
            self._open()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o640)
        file = os.fstat(self._descriptor)
        self._size, self.inode = file.st_size, file.st_ino
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
    with the other stream, and where a new file begins, before anything is in it. It has the stream, and of both how
    much was written before it, where the file begins that is written, and its inode: ``1 2048 17 0 0 4711 4712``. Who
    writes to one stream alone pays one line."""

    def __init__(self, folder: str, names: tuple[str, str], max_bytes: int = MAX_BYTES, files: int = FILES) -> None:
        self._logs = tuple(RotatingLog(os.path.join(folder, name), max_bytes, files) for name in names)
        self._order = RotatingLog(os.path.join(folder, ORDER), ORDER_BYTES, files)
        self._stream = -1

    @property
    def dropped_bytes(self) -> int:
        return sum(log.dropped_bytes for log in self._logs)

    def write(self, stream: int, data: bytes) -> None:
        if not data:
            return
        log = self._logs[stream]
        before = log.inode, log.starts_at
        log.make_room(len(data))
        if stream != self._stream or (log.inode, log.starts_at) != before:
            self._mark(stream)
        log.write(data)

    def _mark(self, stream: int) -> None:
        self._stream = stream
        out, err = self._logs
        written, starts = (out.written_bytes, err.written_bytes), (out.starts_at, err.starts_at)
        self._order.write(" ".join(map(str, (stream, *written, *starts, out.inode, err.inode))).encode() + b"\n")

"""A terminal of 80 by 24 with a command on it: what it shows is read, and keys are typed."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Final

FAR_S: Final = 240.0
"""A condition, not a speed."""


class Screen:
    """``upcall top`` on it."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self._theirs = theirs
        self.said = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "upcall.cli", "top", "--data", str(folder)],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
            | {"TERM": "xterm-256color", **env},
        )  # fmt: skip

    def until(self, words: str) -> str:
        """What came until these words were shown, which is then forgotten."""
        end = time.monotonic() + FAR_S
        while words not in self.said:
            assert time.monotonic() < end, f"{words!r} was not shown: {self.said[-3000:]!r}"
            if not self._more():
                break
        assert words in self.said, self.said[-3000:]
        found, self.said = self.said, ""
        return found

    def type(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def end(self) -> tuple[int, str]:
        """Its exit code, and what it said after the screen was put back."""
        end = time.monotonic() + FAR_S
        while self.process.poll() is None or select.select([self.ours], [], [], 0.2)[0]:
            assert time.monotonic() < end, f"it does not end: {self.said[-3000:]!r}"
            if not self._more():
                break
        code = self.process.wait(FAR_S)
        assert termios.tcgetattr(self._theirs)[3] == self.before[3], "keys are shown again"
        assert "\x1b[?1049l" in self.said, "the screen that was there before is back"
        assert "\x1b[?25h" in self.said, "and its cursor"
        return code, self.said.rpartition("\x1b[?1049l")[2]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(FAR_S)
        os.close(self.ours)
        os.close(self._theirs)

    def _more(self) -> bool:
        if not select.select([self.ours], [], [], 1.0)[0]:
            return True
        try:
            part = os.read(self.ours, 1 << 16)
        except OSError:
            return False
        self.said += part.decode("utf-8", "replace")
        return bool(part)

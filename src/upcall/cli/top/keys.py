"""Keys as they are pressed, of a terminal whose own line editing is off meanwhile."""

import contextlib
import os
import re
import termios
import tty
from collections.abc import Iterator
from typing import Final

BYTES_MAX: Final = 256
_WORDS: Final = {
    "\x1b[A": "up", "\x1b[B": "down", "\x1b[C": "right", "\x1b[D": "left", "\x1bOA": "up", "\x1bOB": "down",
    "\x1bOC": "right", "\x1bOD": "left", "\x1b[5~": "pageup", "\x1b[6~": "pagedown", "\x1b[H": "home", "\x1b[F": "end",
    "\x1bOH": "home", "\x1bOF": "end", "\x1b[1~": "home", "\x1b[4~": "end", "\x1b[Z": "backtab", "\x1b": "esc",
    "\r": "enter", "\n": "enter", "\t": "tab", "\x7f": "backspace", "\x08": "backspace",
}  # fmt: skip
_KEY: Final = re.compile(r"\x1b(?:\[[0-9;]*[A-Za-z~]|O[A-Za-z])|.", re.DOTALL)


@contextlib.contextmanager
def pressed(terminal: int) -> Iterator[None]:
    """Within it each key comes at once and is not shown. Ctrl-C interrupts as ever; Ctrl-Z, which would leave the
    screen as it is, does nothing."""
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal, termios.TCSANOW)
        now = termios.tcgetattr(terminal)
        now[6][termios.VSUSP] = b"\0"
        termios.tcsetattr(terminal, termios.TCSANOW, now)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def read(terminal: int) -> list[str] | None:
    """What was pressed, as words; None when the terminal is gone."""
    try:
        data = os.read(terminal, BYTES_MAX)
    except OSError:
        return None
    if not data:
        return None
    return [_WORDS.get(one, one) for one in _KEY.findall(data.decode("utf-8", "replace"))]

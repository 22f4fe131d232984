"""Where a log is read on that was read before: after the last lines that its reader has.

Whoever reads says how many these are and a digest of them (``5-<SHA-256>``); who has the log finds them in it and says
what stands behind, in the same look at its files from which he follows them. So nothing that is written between two
questions is lost, and nothing is said twice.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

LINES: Final = 5
"""Last lines by which a place is found again."""
PATTERN: Final = rf"^[1-{LINES}]-[0-9a-f]{{64}}$"


def mark(last: Sequence[str]) -> str:
    """Of the last lines that were read, at most :data:`LINES`, each without its end; empty of none."""
    return f"{len(last)}-{_digest(last)}" if last else ""


def after(text: bytes, marked: str) -> bytes:
    """What stands after the lines of that mark, where they stand last; all, where they are not there any more."""
    number, _, digest = marked.partition("-")
    *whole, _unfinished = text.split(b"\n")
    lines = [line.decode(errors="replace").rstrip("\r") for line in whole]
    for last in range(len(lines), int(number) - 1, -1):
        if _digest(lines[last - int(number) : last]) == digest:
            return text[sum(len(line) + 1 for line in whole[:last]) :]
    return text


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()

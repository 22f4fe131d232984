"""Numbers as text: whole ones that somebody else wrote, and counts and sizes as a person reads them.

``str.isdigit`` is true for characters that ``int`` refuses (superscripts), and ``int`` refuses what is very long: each
is a crash that a caller can cause. So numbers from outside are read here.
"""

from typing import Final

DIGITS_MAX: Final = 18
"""Below 2**63: above every count, size and sequence that there is."""


def whole(text: str) -> int | None:
    """The number that ``text`` is, in plain digits; ``None`` when it is none, or larger than any."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX else None


def counted(number: float, noun: str) -> str:
    """``1 file``, ``2 files``."""
    said = f"{number:d}" if isinstance(number, int) else f"{number:g}"
    return f"{said} {noun}" if number == 1 else f"{said} {noun}s"


def does(number: float, verb: str) -> str:
    """What so many do: ``1 backup stays``, ``2 backups stay``."""
    return f"{verb}s" if number == 1 else verb


def sized(count: int) -> str:
    """So many bytes: ``12 B``, ``98.8 KiB``, ``1.6 MiB``."""
    if count < 1 << 10:
        return f"{count} B"
    amount = count / (1 << 10)
    for unit in ("KiB", "MiB", "GiB"):
        if amount < 1023.95:  # What would be rounded to 1024.0 is 1.0 of the next.
            return f"{amount:.1f} {unit}"
        amount /= 1 << 10
    return f"{amount:.1f} TiB"

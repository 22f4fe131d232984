"""Whole numbers as text, where somebody else wrote the text.

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

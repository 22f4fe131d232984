"""A settings file of Java's, in which any text comes through as it is: written, and read back. Pure."""

import re
from collections.abc import Mapping
from typing import Final

_SAID_OTHERWISE: Final = re.compile(r"\A |[^\x20-\x7e]|\\")
"""What a reader would pass over or take for something else: Java reads such a file as Latin letters, and a backslash as
a sign for what follows."""
_ENDS_A_NAME: Final = re.compile(r"[ =:#!]")
_LINE: Final = re.compile(r"((?:[^\\=]|\\.)+)=(.*)")
_ESCAPED: Final = re.compile(r"\\(?:u([0-9a-f]{4})|(.))")


def written(settings: Mapping[str, str]) -> str:
    return "".join(f"{_ENDS_A_NAME.sub(_other, _said(name))}={_said(value)}\n" for name, value in settings.items())


def parsed(text: str) -> dict[str, str]:
    """A file as it was written here."""
    found = (_LINE.fullmatch(line) for line in text.split("\n"))
    return {_read(line[1]): _read(line[2]) for line in found if line}


def _said(text: str) -> str:
    return _SAID_OTHERWISE.sub(_other, text)


def _other(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _read(text: str) -> str:
    plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)) if found[1] else found[2], text)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16")

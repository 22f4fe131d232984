"""How the lines of several members look: whose each is stands before it, in the member's own colour.

A member has the same colour in each run, and neighbours of a service have different ones. There is colour on a terminal
alone, and none where somebody asked for none (``NO_COLOR``).
"""

import os
import sys
import zlib
from collections.abc import Iterable
from typing import Final

from upcall.cli.log_merging import Line
from upcall.cli.session import Session

PALETTE: Final = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
"""Foreground colours that are read on light and on dark; red is for what is wrong."""
WIDTH_MAX: Final = 40
"""A longer name pushes its own line alone."""


def colour_of(member: str) -> int:
    name, dash, number = member.rpartition("-")
    at = int(number) if dash and number.isdecimal() and len(number) < 9 else 0
    return PALETTE[(zlib.crc32((name if dash else member).encode()) + at) % len(PALETTE)]


def coloured() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Printer:
    """``services``: with more than one of them, a member's service is part of its name."""

    def __init__(self, session: Session, members: Iterable[str], *, follow: bool) -> None:
        self._out, self._follow = session.out, follow
        known = list(members)
        self._whole = len({one.partition(".")[0] for one in known}) > 1
        self._width = min(WIDTH_MAX, max((len(self._name(one)) for one in known), default=0))

    def _name(self, member: str) -> str:
        return member if self._whole else member.partition(".")[2]

    def show(self, line: Line) -> None:
        if line.aside:
            self._out.note(line.text)
        elif self._out.as_json:
            self._out.json_line({"member": line.member, "line": line.text})
        else:
            name = self._name(line.member)
            self._width = min(WIDTH_MAX, max(self._width, len(name)))
            before = f"{name:<{self._width}} |"
            if coloured():
                before = f"\x1b[{colour_of(line.member)}m{before}\x1b[0m"
            self._out.output(line.text, flush=self._follow, before=f"{before} ")

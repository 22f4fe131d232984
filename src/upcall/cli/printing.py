"""What reaches the terminal: words that it shows, and none that it obeys.

Reasons, names and descriptions come from services, tasks and packages. Whatever a command prints goes through here, so
that none of it speaks to the terminal: a control character is shown (``\\x1b``), never obeyed.

Words are folded to a terminal's width, and to nothing else: in a file or a pipe each record is one line, whatever
window the command was typed in, so that ``grep``, ``sort`` and ``diff`` see whole records.
"""

import os
import re
import shutil
import sys
import textwrap
from typing import Final, TextIO

from upcall.cli.exits import printed

CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What terminals obey instead of showing it; what turns the direction of the text around, so that it reads as what it
is not; and halves of characters, which cannot be printed."""
COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")

WIDTH_LEAST: Final = 32


def result(words: str, *, flush: bool = False) -> None:
    """A result, to standard output."""
    with printed():
        print(words, flush=flush)


def aside(words: str) -> None:
    """Words beside the results. Whoever read them may have gone (``2>&1 | head``, a closed terminal): then they are
    lost, and the command goes on."""
    try:
        print(folded(visible(words), sys.stderr), file=sys.stderr, flush=True)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stderr.fileno())  # what is still buffered must not fail at exit either
        os.close(nowhere)


def visible(text: str) -> str:
    """``text`` with its control characters to be seen; line ends and tabs are left."""
    return CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def folded(text: str, stream: TextIO) -> str:
    """Lines that are longer than the terminal is wide go on below, as far in as they began."""
    if not stream.isatty():
        return text
    width = max(shutil.get_terminal_size().columns, WIDTH_LEAST)
    return "\n".join(part for line in text.split("\n") for part in _parts(line, width))


def _parts(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    indent = line[: len(line) - len(line.lstrip(" "))]
    found = textwrap.wrap(
        line.strip(), width - len(indent), break_long_words=False, break_on_hyphens=False, replace_whitespace=False
    )
    return [indent + part for part in found]

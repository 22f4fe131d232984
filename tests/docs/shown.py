"""Commands that the documentation shows: lines of its terminal blocks that begin with a dollar sign."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
)
ASSIGNED: Final = re.compile(r"[A-Z_]+=\S*")


class Shown(NamedTuple):
    page: str
    line: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {' '.join(self.words)}"


def commands() -> Iterator[Shown]:
    """Each program that is called, one of a pipe after the other; without what is assigned before it."""
    for path in PAGES:
        for number, line in _lines(path.read_text()):
            for words in _calls(line):
                yield Shown(path.name, number, tuple(words))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """A command that goes on after a backslash is one."""
    said, began = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if said:
            said += line.strip()
        elif line.lstrip().startswith("$ "):
            said, began = line.strip()[2:], number
        if said.endswith("\\"):
            said = said[:-1]
        elif said:
            yield began, said
            said = ""


def _calls(line: str) -> Iterator[list[str]]:
    splitter = shlex.shlex(line, posix=True, punctuation_chars=True)
    splitter.whitespace_split = True
    words: list[str] = []
    for word in [*splitter, ";"]:
        if word in ("|", "&&", "||", ";", "&", ">", ">>", "<"):
            while words and ASSIGNED.fullmatch(words[0]):
                words.pop(0)
            if words:
                yield words
            words = []
        else:
            words.append(word)

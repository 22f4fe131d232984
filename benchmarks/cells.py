"""Long targets are made of cells: each is measured by itself and kept with its commit, so an interrupted run goes on.

A cell that broke is not kept: the next run tries it again. What a tree gave that differs from its commit is written
down, and never taken up again: two such trees are two things.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from upcall.cli.figures import BUILD, commit

CELLS: Final = "CELLS"
ROUNDS: Final = "ROUNDS"
SABOTAGE: Final = "SABOTAGE"
BROKE: Final = "broke"
"""The figure of a cell that came to no end: why."""

Figures = dict[str, Any]
Measure = Callable[[str], Figures]
"""One cell, on a cluster that stands."""
Open = Callable[[str], AbstractContextManager[Measure]]
"""A new cluster, on which this cell can begin."""


class Asked(Exception):
    """What a person asked for is not there; the words say what is."""


@dataclass(frozen=True)
class Kept:
    """The cells of one target, each in a file of its own."""

    target: str
    commit: str

    @classmethod
    def of(cls, target: str) -> "Kept":
        return cls(target, commit())

    def find(self, cell: str) -> Figures | None:
        """What this very commit measured."""
        try:
            found = json.loads(self._path(cell).read_text())
        except (OSError, ValueError):
            return None
        same = found.get("commit") == self.commit and not self.commit.endswith("-dirty") and self.commit != "unknown"
        return dict(found["figures"]) if same else None

    def keep(self, cell: str, figures: Figures) -> None:
        path = self._path(cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(json.dumps({"commit": self.commit, "figures": figures}, indent=2) + "\n")
        new.replace(path)

    def _path(self, cell: str) -> Path:
        return BUILD / self.target / f"{cell}.json"


def chosen(known: Sequence[str], usual: Iterable[str]) -> list[str]:
    """The cells that ``CELLS=a,b`` names, in their own order; without it the usual ones, and all with ``ROUNDS``."""
    named = [word for word in os.environ.get(CELLS, "").split(",") if word]
    if unknown := [word for word in named if word not in known]:
        raise Asked(f"{CELLS}={','.join(unknown)} is not known here; one of {', '.join(known)}")
    wanted = set(named or (known if os.environ.get(ROUNDS) else usual))
    return [cell for cell in known if cell in wanted]


def rounds() -> int:
    """How often each cell is measured; its figures are the worst."""
    given = os.environ.get(ROUNDS, "1")
    if not given.isdigit() or not int(given):
        raise Asked(f"{ROUNDS}={given} is no number of rounds")
    return int(given)


def sabotage(known: Iterable[str]) -> str:
    given = os.environ.get(SABOTAGE, "")
    if given and given not in (known := list(known)):
        raise Asked(f"{SABOTAGE}={given} is not known here; one of {', '.join(known)}")
    return given


def played(wanted: Sequence[str], kept: Kept, number: int, opened: Open) -> dict[str, Figures]:
    """One round of cells, in this order: each is what is kept of it, or measured now, and kept.

    They share a cluster as long as none breaks; what comes after one that did begins on a new one. Without a cluster
    there is nothing to go on with.
    """
    found: dict[str, Figures] = {}
    left = []
    for cell in wanted:
        before = kept.find(f"{cell}.{number}")
        if before is None:
            left.append(cell)
        else:
            say(f"{cell}: kept of this commit")
            found[cell] = before
    while left:
        done = 0
        try:
            with opened(left[0]) as measure:
                for cell in left:
                    say(cell)
                    done += 1
                    began = time.monotonic()
                    found[cell] = measure(cell)
                    say(f"  {found[cell]} ({time.monotonic() - began:.0f} s in all)")
                    kept.keep(f"{cell}.{number}", found[cell])
        except Exception as broken:
            words = f"{type(broken).__name__}: {broken}"
            say(f"  broke: {words}")
            done = done or len(left)
            for cell in left[:done]:
                found.setdefault(cell, {BROKE: words.splitlines()[0]})
        left = left[done:]
    return found


def worst(figures: Sequence[Figures]) -> Figures:
    """Of several rounds of one cell: the largest of each number, and the longest words. One that broke is the worst."""
    found: Figures = {}
    if broke := [each for each in figures if BROKE in each]:
        return broke[0]
    for each in figures:
        for name, value in each.items():
            before = found.get(name)
            key = len if isinstance(value, str) else None
            found[name] = value if before is None else before if value is None else max(before, value, key=key)
    return found


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)

"""Which machine and Python a tree is made for, when it is not to be used here but somewhere else: in an image.

Most artifacts are the same everywhere. What comes from the Python registry is not: a wheel is made for a kind of
processor and a version of Python, and a lock lists the files for all of them.
"""

from dataclasses import dataclass
from typing import Final

GLIBC: Final = "manylinux_2_28"
"""The oldest C library that a tree for another machine has to run on: that of 2018."""


@dataclass(frozen=True)
class Target:
    """A Linux with glibc on this kind of processor, and its Python."""

    machine: str
    """As the kernel names it: ``x86_64``, ``aarch64``."""
    python: str
    """``3.12``: what makes wheels fit."""

    @property
    def words(self) -> tuple[str, ...]:
        """What the tool of the Python registry has to be told."""
        return ("--python-platform", f"{self.machine}-{GLIBC}", "--python-version", self.python)

    def __str__(self) -> str:
        return f"{self.machine}-cp{self.python.replace('.', '')}"

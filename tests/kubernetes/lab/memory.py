"""What processes take of this machine's memory."""

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

MAPPING: Final = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ ([0-9a-f]+) (\S+) (\d+)")
"""Offset, device and inode."""


def shared_mib(pids: Iterable[int]) -> float:
    """Proportional set size: a page that several processes have counts once in all, for the others' share too."""
    found = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            found += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return found / 1024


def alone_mib(pids: Iterable[int]) -> float:
    """As if no process but these had the files that they have mapped: at most that. A part of a file that several of
    them have counts once, as much as the one has of it that has the most; memory of no file by its proportion."""
    private, files = 0.0, dict[tuple[str, str, str], int]()
    for pid in pids:
        with contextlib.suppress(OSError):
            for key, sizes in _mappings(Path(f"/proc/{pid}/smaps").read_text()):
                if key[2] == "0":
                    private += sizes["Pss"]
                    continue
                private += sizes["Private_Clean"] + sizes["Private_Dirty"]
                shared = sizes["Shared_Clean"] + sizes["Shared_Dirty"]
                files[key] = max(files.get(key, 0), shared)
    return (private + sum(files.values())) / 1024


def _mappings(text: str) -> Iterable[tuple[tuple[str, str, str], dict[str, int]]]:
    key, sizes = None, dict[str, int]()
    for line in text.splitlines():
        if (begins := MAPPING.match(line)) is not None:
            if key is not None:
                yield key, sizes
            key, sizes = (begins[1], begins[2], begins[3]), {}
        else:
            name, _, rest = line.partition(":")
            if rest.endswith(" kB"):
                sizes[name] = int(rest.split()[0])
    if key is not None:
        yield key, sizes

"""Who uses what of the cache: running clusters of this user, and any process that runs from it.

A cluster is found by the mark that its processes carry. What it uses stands in its agents' checkpoints (what each of
its tasks was made from, those that are down among them), in what its processes have open, and in the time at which a
tree was last looked at: nothing that was looked at since a cluster is up is taken from it.
"""

import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from upcall.artifacts.cleaning import DIGEST, Entry, looked_at_lately
from upcall.keeper.processes import marks

NODES: Final = "nodes"
READ_BYTES_MAX: Final = 64 << 20


@dataclass
class Use:
    """What is used now."""

    clusters: dict[Path, float] = field(default_factory=dict)
    """Data folder -> since when it is up."""
    keys: set[str] = field(default_factory=set)
    digests: set[str] = field(default_factory=set)

    def of(self, one: Entry) -> str:
        """Who uses it, in words; empty: nobody."""
        if one.key in self.keys or one.digests & self.digests:
            return "a running cluster uses it" if self.clusters else "a process uses it"
        if any(one.looked_at >= since for since in self.clusters.values()):
            return "it was looked at since a cluster is up"
        return "it was looked at within the last hour" if looked_at_lately(one) else ""


def use_of(root: Path, proc: Path = Path("/proc")) -> Use:
    found = Use()
    # A path in the cache, as it stands in a command line, an environment or a map of memory.
    inside = re.compile(re.escape(os.fsencode(root)) + rb"/(?:trees|partial)/([^/\s\x00:\"',]+)")
    for entry in proc.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        folder, _ = marks(int(entry.name))
        if folder and _cache_of(_read(entry / "environ")) in (None, root):
            _note_cluster(found, _data_folder(Path(folder)), entry)
        for name in ("cmdline", "environ", "maps"):
            found.keys |= {os.fsdecode(key) for key in inside.findall(_read(entry / name))}
        with suppress(OSError):
            found.keys |= {os.fsdecode(key) for key in inside.findall(os.fsencode((entry / "cwd").readlink()) + b"/")}
    for data in found.clusters:
        for checkpoint in (data / NODES).glob("*/checkpoint.json"):
            text = _read(checkpoint)
            found.keys |= {os.fsdecode(key) for key in inside.findall(text)}
            found.digests |= set(DIGEST.findall(text.decode("utf-8", "replace")))
    return found


def _data_folder(marked: Path) -> Path:
    """The mark is the data folder's, or a node's below it."""
    return marked.parents[1] if marked.parent.name == NODES else marked


def _cache_of(environment: bytes) -> Path | None:
    """Which cache a process of a cluster would use, as far as its environment says it. Its tasks' say less."""
    said = dict(entry.partition(b"=")[::2] for entry in environment.split(b"\0"))
    for name, below in ((b"UPCALL_CACHE", ""), (b"XDG_CACHE_HOME", "upcall"), (b"HOME", ".cache/upcall")):
        if found := said.get(name):
            return Path(os.fsdecode(found), below).expanduser().resolve()
    return None


def _note_cluster(found: Use, data: Path, process: Path) -> None:
    import psutil

    with suppress(psutil.Error):
        since = psutil.Process(int(process.name)).create_time()
        found.clusters[data] = min(since, found.clusters.get(data, since))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(READ_BYTES_MAX)
    except OSError:
        return b""

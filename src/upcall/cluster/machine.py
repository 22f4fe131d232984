"""What this machine has for a cluster: the cores and the memory that may really be used, and parts of it for nodes.

A limit may stand above us in the control group tree (a container, a service unit); the least of them is the memory
that there is. Paths are parameters, so that tests show other machines. The parts of all nodes together stay within the
memory, less what is left to the machine: whatever the members reserve, it is there.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from upcall.protocol.errors import DoesNotFit, Invalid

MIB: Final = 1 << 20
SPARE_MIB: Final = 1024
"""Left to the machine and to our own processes."""
STEP_MIB: Final = 256
"""The least that a node may have, and what the usual parts are multiples of."""


def cores(
    affinity: int | None = None, root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> float:
    """The cores that may be used: the affinity mask, or a quota that is lower."""
    found = float(affinity or len(os.sched_getaffinity(0)))
    for folder in _groups(root, own):
        words = _read(folder / "cpu.max").split()
        if len(words) == 2 and words[0].isdigit() and int(words[1]):
            found = min(found, int(words[0]) / int(words[1]))
    return round(found, 3)


def memory_mib(
    meminfo: Path = Path("/proc/meminfo"), root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> int:
    """The memory that may be used: the machine's, or the lowest limit of a control group above us."""
    total = next(int(line.split()[1]) // 1024 for line in _read(meminfo).splitlines() if line.startswith("MemTotal"))
    limits = [_read(folder / name) for folder in _groups(root, own) for name in ("memory.max", "memory.limit_in_bytes")]
    return min([total, *(int(limit) // MIB for limit in limits if limit.isdigit())])


def memory_per_node_mib(total_mib: int, nodes: int) -> int:
    """One more part than nodes: it is kept for ``node add``."""
    part = (total_mib - SPARE_MIB) // (nodes + 1) // STEP_MIB * STEP_MIB
    if part < STEP_MIB:
        most = (total_mib - SPARE_MIB) // STEP_MIB - 1
        fits = f"at most {most} nodes" if most > 0 else f"a machine with {SPARE_MIB + 2 * STEP_MIB} MiB or more"
        raise DoesNotFit(
            f"{total_mib} MiB of memory are too little for {nodes} nodes of {STEP_MIB} MiB",
            where="memory",
            expected=fits + f" ({SPARE_MIB} MiB are left to the machine, one part to `node add`)",
        )
    return part


def check_parts(part_mib: int, nodes: int, total_mib: int, where: str) -> None:
    """Whether each of so many nodes may have this much."""
    most = (total_mib - SPARE_MIB) // nodes
    if STEP_MIB <= part_mib <= most:
        return
    raise DoesNotFit(
        f"{part_mib} MiB for each of {nodes} nodes",
        where=where,
        expected=f"{STEP_MIB} to {most} MiB" if most >= STEP_MIB else "fewer nodes, or a larger machine",
    )


def check_part(part_mib: int, others_mib: Iterable[int], total_mib: int, where: str) -> None:
    """Whether one more node of this size may be made beside the others."""
    if part_mib < STEP_MIB:
        raise Invalid(f"{part_mib} MiB for a node", where=where, expected=f"{STEP_MIB} MiB or more")
    others = list(others_mib)
    left_mib = total_mib - SPARE_MIB - sum(others)
    if part_mib > left_mib:
        taken = f"{len(others)} nodes have {sum(others)} MiB; " if others else ""
        fits = f"at most {left_mib} MiB" if left_mib >= STEP_MIB else "another node to be removed first"
        raise DoesNotFit(
            f"a node of {part_mib} MiB does not fit: {taken}"
            f"this machine has {total_mib} MiB, of which {SPARE_MIB} are left to it",
            where=where,
            expected=fits,
        )


def _groups(root: Path, own: Path) -> list[Path]:
    """Our control group's folder and those above it, in version 2 and 1."""
    found: list[Path] = []
    for line in _read(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            base = root / controllers if controllers else root
            folder = base / path.lstrip("/")
            found += [one for one in (folder, *folder.parents) if one == base or base in one.parents]
            found.append(base)
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""

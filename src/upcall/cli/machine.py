"""What this machine is, as far as ``up`` has to know: platform, cores, and the memory that may really be used.

A limit may stand above us in the control group tree (a container, a service unit); the least of them is the memory
that there is. Paths are parameters, so that tests show other machines.
"""

import os
import platform
from pathlib import Path
from typing import Final

from upcall.protocol.errors import DoesNotFit, Forbidden, Invalid

PLATFORMS: Final = {"x86_64": "x86-64", "amd64": "x86-64", "aarch64": "arm64", "arm64": "arm64"}
MIB: Final = 1 << 20
SPARE_MIB: Final = 1024
"""Left to the machine and to our own processes."""
STEP_MIB: Final = 256
FREE_DISK_MIB_MIN: Final = 512
PATH_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+@=/")
"""Others mean something in class paths, option files or shells of what runs here (space, ':', ',', '$' ...)."""


def check_platform(system: str = "", machine: str = "") -> None:
    """Linux on x86-64 or arm64; elsewhere the refusal says what would work."""
    system, machine = system or platform.system(), (machine or platform.machine()).lower()
    if system == "Linux" and machine in PLATFORMS:
        return
    ways = {"Darwin": "a Linux virtual machine (Lima, UTM) works", "Windows": "WSL 2 works"}
    raise Invalid(
        f"this machine is {system} on {machine}",
        where="platform",
        expected=f"Linux on x86-64 or arm64; {ways.get(system, 'a virtual machine with Linux works')}",
    )


def check_folder(path: Path) -> None:
    """The data folder can be made and written, and its path works everywhere it will stand."""
    if bad := sorted(set(str(path)) - PATH_CHARACTERS):
        shown = ", ".join("a space" if one == " " else repr(one) for one in bad)
        raise Invalid(
            f"the path of the data folder holds {shown}",
            where=str(path),
            expected="letters, digits and . _ - + @ = only: class paths and option files cannot carry the others",
        )
    try:
        there = path.exists()
    except PermissionError:
        raise Forbidden(
            f"{path} cannot be reached: a folder above it is closed to you",
            where=str(path),
            expected="a folder of your own, by --data or UPCALL_DATA",
        ) from None
    if there and not path.is_dir():
        raise Invalid(
            "the data folder is a file", where=str(path), expected="a folder, or a path where one can be made"
        )
    home = next(one for one in (path, *path.parents) if one.exists())
    if not home.is_dir():
        raise Invalid(
            "the data folder lies below a file", where=str(home), expected="a path where a folder can be made"
        )
    if not os.access(home, os.W_OK | os.X_OK):
        raise Forbidden(
            f"{home} cannot be written", where=str(path), expected="a folder of your own, by --data or UPCALL_DATA"
        )
    free_mib = free_disk_mib(home)
    if free_mib < FREE_DISK_MIB_MIN:
        raise DoesNotFit(f"{free_mib} MiB are free", where=str(path), expected=f"{FREE_DISK_MIB_MIN} MiB or more")


def free_disk_mib(path: Path) -> int:
    """Free for us where ``path`` is, or will be."""
    home = next(one for one in (path, *path.parents) if one.exists())
    stat = os.statvfs(home)
    return stat.f_bavail * stat.f_frsize // MIB


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

"""Whether this machine and this folder are good for a cluster, before anything is made: platform, path, disk.

What the machine has is measured by :mod:`upcall.cluster.machine`, whose words stand here too.
"""

import os
import platform
from pathlib import Path
from typing import Final

from upcall.cluster.machine import MIB, SPARE_MIB, STEP_MIB, check_parts, cores, memory_mib, memory_per_node_mib
from upcall.protocol.errors import DoesNotFit, Forbidden, Invalid

__all__ = [
    "SPARE_MIB",
    "STEP_MIB",
    "check_folder",
    "check_parts",
    "check_platform",
    "cores",
    "free_disk_mib",
    "memory_mib",
    "memory_per_node_mib",
]

PLATFORMS: Final = {"x86_64": "x86-64", "amd64": "x86-64", "aarch64": "arm64", "arm64": "arm64"}
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

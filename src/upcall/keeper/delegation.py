"""Making room for control groups below us, where a cgroup v2 tree was delegated to us alone.

Version 2 allows controllers for the children of a group only while no process is in the group itself. So a supervisor
that finds itself alone in its group moves into a leaf of it and turns the controllers on for the leaf's siblings,
which will be the groups of the tasks. It is alone when it was started in a scope of its own:

    systemd-run --user --scope -p Delegate=yes upcall up

In a terminal's own group it is not alone, nothing is changed, and tasks run without limits (the agents say so).
"""

from __future__ import annotations

import contextlib
import os

LEAF = "upcall-keeper"
CONTROLLERS = ("memory", "cpu", "pids")
_V1 = {"memory", "cpu", "cpuacct"}


def make_room() -> None:
    """For this process, on a machine whose only control groups are v2."""
    group = own_group()
    if group:
        settle(group)


def own_group() -> str:
    """Folder of this process's v2 group; empty where the controllers are v1's, or none are mounted."""
    mount = ""
    with open("/proc/self/mounts", encoding="utf-8") as file:
        for line in file:
            _device, point, kind, options, *_ = line.split(" ")
            if kind == "cgroup" and _V1 & set(options.split(",")):
                return ""
            if kind == "cgroup2":
                mount = point.replace("\\040", " ")
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        for line in file:
            if line.startswith("0::") and mount:
                return os.path.normpath(mount + line[3:].rstrip("\n"))
    return ""


def settle(group: str) -> bool:
    """Moves this process into a leaf of its ``group`` if it is the only one in it; whether it did."""
    if os.path.basename(group) == LEAF:
        return False  # One before us, which died, has made it.
    with contextlib.suppress(OSError):
        if _read(f"{group}/cgroup.procs").split() != [str(os.getpid())]:
            return False
        os.makedirs(f"{group}/{LEAF}", exist_ok=True)
        _write(f"{group}/{LEAF}/cgroup.procs", str(os.getpid()))
        for controller in set(CONTROLLERS) & set(_read(f"{group}/cgroup.controllers").split()):
            with contextlib.suppress(OSError):
                _write(f"{group}/cgroup.subtree_control", f"+{controller}")
        return True
    return False


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)

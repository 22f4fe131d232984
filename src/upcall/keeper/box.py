"""The box around a command: what of the machine it may see, change and use up. Entered in the child, just before it
becomes the command; there is no way out of it.

A launcher's request brings it as one object, made by the agent (:mod:`upcall.agent.boxes`):

    {"read": [paths], "write": [paths]    what it may see, and what it may change
     "temporary": path                    its own temporary folder, one of those it may change
     "covered": [paths]                   the data folder, and what else of ours nobody is to see
     "user": [number, name, home]         an own user, in a mount namespace (we are root); missing: ours
     "landlock": bool                     whether the kernel has it
     "files": n, "processes": n}          limits; processes only for an own user, of whom they are counted

What the kernel refuses is a start that failed: a command that was promised a box never runs without it.
"""

from __future__ import annotations

import os
import resource
from typing import Any

from upcall.keeper import landlock, linux, mounts

SYSTEM = (
    "/bin", "/sbin", "/usr", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix", "/gnu", "/snap",
    "/proc", "/sys", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/var/lib/ca-certificates",
)  # fmt: skip
"""What belongs to the machine and is there to be read and executed. Whoever asks for something in it still needs the
file's own permission."""
DEVICES = (
    "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts",
)  # fmt: skip
MEMORY = "/dev/shm"
PASS_ALL_CAPABILITIES = 64


def enter(box: dict[str, Any]) -> None:
    """Gives up everything that is not in the box."""
    _limit(box)
    os.umask(0o022)  # For the folders on the way to what is shown.
    user = box.get("user")
    if user:
        number, name, home = int(user[0]), str(user[1]), str(user[2])
        mounts.arrange([*box["read"], *box["write"]], box["covered"], box["temporary"], (number, name, home))
        for capability in range(PASS_ALL_CAPABILITIES):
            if not linux.drop_capability(capability):
                break
        os.setgroups([])
        os.setresgid(number, number, number)
        os.setresuid(number, number, number)  # All capabilities go with it.
    elif os.getuid() == 0:
        linux.drop_all_capabilities()
    linux.no_new_privileges()
    if box.get("landlock"):
        landlock.restrict(_rules(box))


def _limit(box: dict[str, Any]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = int(box.get("files", 0))
    if most:
        hard = most if hard == resource.RLIM_INFINITY else min(most, hard)
        soft = hard if soft == resource.RLIM_INFINITY else min(soft, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if processes := int(box.get("processes", 0)):
        _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
        processes = processes if hard == resource.RLIM_INFINITY else min(processes, hard)
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # It holds secrets.


def _rules(box: dict[str, Any]) -> list[tuple[str, int]]:
    hidden = [os.path.realpath(path) for path in box["covered"]]
    rules = [(path, landlock.READ) for folder in SYSTEM for path in _without(os.path.realpath(folder), hidden)]
    rules += [(path, landlock.DEVICE) for path in DEVICES]
    rules += [(path, landlock.READ) for path in box["read"]]
    rules += [(path, landlock.WRITE) for path in (*box["write"], MEMORY)]
    if box.get("user"):  # They are its own there.
        rules += [(path, landlock.WRITE) for path in mounts.SHARED]
    return rules


def _without(folder: str, hidden: list[str]) -> list[str]:
    """The folder; where something that is hidden lies in it, all in it but that."""
    if folder in hidden:
        return []
    if not any(path.startswith(f"{folder}/") for path in hidden):
        return [folder]
    return [path for entry in os.scandir(folder) for path in _without(entry.path, hidden)]

"""A node's own part of the control groups (version 1): below those of whoever runs the tests, so a node gets no more of
the machine than they have."""

import contextlib
import os
import time
from pathlib import Path
from typing import Final

NAME: Final = "upcall-lab"
EMPTY_S: Final = 120.0
CPUSET: Final = ("cpuset.cpus", "cpuset.mems")


def hierarchies() -> dict[str, Path]:
    """Where each is mounted; a name of its own has the one of systemd (``name=systemd``)."""
    found = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, options, *_ = line.split(" ")
        if kind == "cgroup":
            words = [option for option in options.split(",") if option.startswith("name=") or option in _known()]
            found[",".join(words)] = Path(point)
    return found


def make(name: str) -> list[Path]:
    """One in each hierarchy."""
    made = []
    own = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines()}
    for words, point in hierarchies().items():
        group = point / own[words].lstrip("/") / f"{NAME}-{os.getpid()}-{name}"
        group.mkdir()
        if "cpuset" in words:
            for setting in CPUSET:
                (group / setting).write_text((group.parent / setting).read_text())
        made.append(group)
    return made


def join(made: list[Path]) -> None:
    for group in made:
        (group / "cgroup.procs").write_text("0")


def remove(made: list[Path]) -> None:
    """With all below, once the last process in them has gone."""
    until_s = time.monotonic() + EMPTY_S
    while left := [group for group in made if group.exists()]:
        for group in left:
            for folder, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
        assert time.monotonic() < until_s, f"{left} still has processes"
        time.sleep(0.05)


def of_nodes(keeper: str = "") -> list[Path]:
    """Of the nodes of that keeper, or of all. Others' groups come and go meanwhile, which a walk does not mind."""
    begins = f"{NAME}-{keeper}-" if keeper else f"{NAME}-"
    return [
        Path(folder, name)
        for point in hierarchies().values()
        for folder, names, _ in os.walk(point)
        for name in names
        if name.startswith(begins)
    ]


def left_behind() -> list[Path]:
    """By keepers that are no more: theirs was killed too, and nobody could."""
    return [group for group in of_nodes() if not Path("/proc", group.name.split("-")[2]).exists()]


def _known() -> set[str]:
    lines = Path("/proc/cgroups").read_text().splitlines()
    return {line.split()[0] for line in lines if not line.startswith("#")}

"""Control groups, as far as this machine lets us: limits, a sure kill, and exact usage.

Groups are made below the one that we are in, never beside it. Three worlds exist:

* **v2**: one tree. Limits need the controllers ``memory``, ``cpu`` and ``pids`` in our own group's
  ``subtree_control``, which the kernel refuses while processes (the user's shell) are in that group itself
  (:mod:`upcall.keeper.delegation`); ``cgroup.kill`` needs none.
* **v1** and **hybrid**: one tree for each controller, of which each may be writable or not; in a hybrid one the tree of
  v2 without controllers beside them.
* nothing writable, the usual case without root and without delegation.

What is missing is said, not hidden: :attr:`Groups.features` goes to the master with the registration
(``memory-limits`` or ``no-memory-limits`` ...). In a tree of v2 a task's connections can be given their member's
address (:mod:`upcall.agent.own_address`). The CPU is shared by weights, never by quotas: a JVM that starts on
half a core crawls, and unused time would be lost.
"""

import contextlib
import hashlib
import os
import signal
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from upcall.agent import own_address
from upcall.keeper.delegation import LEAF
from upcall.keeper.shim import remove_groups

MIB: Final = 1 << 20
V1_CONTROLLERS: Final[tuple[str, ...]] = ("memory", "cpu", "cpuacct", "freezer", "pids")
V2_TREE: Final = ""
"""Its name among those of controllers, as /proc has it."""
KILL_ROUNDS: Final = 50
PROCESSES_MAX: Final = 16_384
"""Processes and threads of one task: more than any store has, less than what a machine has numbers for."""


class GroupUsage(NamedTuple):
    cpu_s: float | None
    memory_mib: float | None


class Groups(Protocol):
    features: tuple[str, ...]
    count_processes: bool
    """Whether the processes of a task are limited in number."""

    def create(self, task: str, address: str, cpus: float, memory_mib: int) -> dict[str, str]:
        """Folder of the task's group for each controller; empty where there are none. Idempotent."""
        ...

    def limit(self, groups: Mapping[str, str], cpus: float, memory_mib: int) -> None: ...

    def procs(self, groups: Mapping[str, str]) -> list[str]:
        """Files that a process writes itself into."""
        ...

    def out_of_memory_kills(self, groups: Mapping[str, str]) -> int: ...

    def usage(self, groups: Mapping[str, str]) -> GroupUsage: ...

    def kill(self, groups: Mapping[str, str]) -> bool:
        """Kills all that is in it; whether nothing is left."""
        ...

    def remove(self, groups: Mapping[str, str]) -> None: ...

    def tidy(self, tasks: Collection[str]) -> None:
        """Removes groups of other tasks than these, and the node's own when there are none."""
        ...


def group_name(node_folder: Path) -> str:
    """One name for each node's folder, so that two clusters on one machine do not meet."""
    digest = hashlib.sha256(os.fsencode(node_folder)).hexdigest()[:8]
    return f"upcall-{node_folder.name}-{digest}"


def detect(node_folder: Path) -> Groups:
    """What can be used here, found by trying."""
    found = mounts()
    own = own_groups()
    if V2_TREE in found and not any(name in found for name in V1_CONTROLLERS):
        base = found[V2_TREE] / own.get(V2_TREE, "/").lstrip("/")
        base = base.parent if base.name == LEAF else base  # The keeper moved out of the way for us.
        with contextlib.suppress(OSError):
            return V2(base / group_name(node_folder))
    bases = {}
    for controller in (*V1_CONTROLLERS, V2_TREE):
        if controller in found and controller in own:
            base = found[controller] / own[controller].lstrip("/") / group_name(node_folder)
            if _writable(base):
                bases[controller] = base
    return V1(bases)


def mounts() -> dict[str, Path]:
    """Mount point of each v1 controller, and of v2."""
    found: dict[str, Path] = {}
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _device, point, kind, options, *_ = line.split(" ")
        path = Path(point.replace("\\040", " "))
        if kind == "cgroup2":
            found[V2_TREE] = path
        elif kind == "cgroup":
            found |= {option: path for option in options.split(",") if option in V1_CONTROLLERS}
    return found


def own_groups() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _number, controllers, path = line.split(":", 2)
        found |= dict.fromkeys(controllers.split(","), path)
    return found


def _writable(base: Path) -> bool:
    """Whether a group can be made there, found by making one."""
    existed = base.exists()
    try:
        base.mkdir(parents=True, exist_ok=True)
        writable = os.access(base / "cgroup.procs", os.W_OK)
        if not existed:
            base.rmdir()
    except OSError:
        return False
    return writable


def _gives_addresses(base: Path) -> bool:
    """Whether connections of what runs in a group there can be given an address, found by giving one to a group."""
    probe, made = base / "probe", not base.exists()
    try:
        probe.mkdir(parents=True, exist_ok=True)
        return own_address.possible(probe)
    except OSError:
        return False
    finally:
        for folder in (probe, base) if made else (probe,):
            with contextlib.suppress(OSError):
                folder.rmdir()


def _address_feature(is_had: bool) -> str:
    return "own-addresses" if is_had else "no-own-addresses"


class V2:
    """One tree. ``OSError`` from the constructor when no group can be made at all."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._making = threading.Lock()
        self._make_base()
        if not os.access(base / "cgroup.procs", os.W_OK):
            raise PermissionError(f"{base} is not writable")
        self._controllers = (base / "cgroup.subtree_control").read_text(encoding="ascii").split()
        self._gives_addresses = _gives_addresses(base)
        self.features: tuple[str, ...] = (
            "memory-limits" if "memory" in self._controllers else "no-memory-limits",
            "cpu-weights" if "cpu" in self._controllers else "no-cpu-weights",
            "group-kill",
            _address_feature(self._gives_addresses),
        )
        self.count_processes = "pids" in self._controllers

    def _make_base(self) -> None:
        self._base.mkdir(parents=True, exist_ok=True)
        for folder in (self._base.parent, self._base):
            for controller in ("memory", "cpu", "pids"):
                with contextlib.suppress(OSError):
                    (folder / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")

    def create(self, task: str, address: str, cpus: float, memory_mib: int) -> dict[str, str]:
        group = self._base / task
        with self._making:
            self._make_base()
            group.mkdir(exist_ok=True)
        groups = {V2_TREE: str(group)}
        if self._gives_addresses:
            own_address.give(group, address)
        if self.count_processes:
            _bound_processes(group)
        self.limit(groups, cpus, memory_mib)
        return groups

    def limit(self, groups: Mapping[str, str], cpus: float, memory_mib: int) -> None:
        group = Path(groups[V2_TREE])
        if "memory" in self._controllers:
            (group / "memory.max").write_text(str(memory_mib * MIB), encoding="ascii")
            with contextlib.suppress(OSError):  # A kernel without swap accounting has no such file.
                (group / "memory.swap.max").write_text("0", encoding="ascii")
        if "cpu" in self._controllers:
            (group / "cpu.weight").write_text(str(min(max(round(cpus * 100), 1), 10000)), encoding="ascii")

    def procs(self, groups: Mapping[str, str]) -> list[str]:
        return [f"{group}/cgroup.procs" for group in groups.values()]

    def out_of_memory_kills(self, groups: Mapping[str, str]) -> int:
        return kills_v2(Path(groups[V2_TREE])) if groups else 0

    def usage(self, groups: Mapping[str, str]) -> GroupUsage:
        return usage_v2(Path(groups[V2_TREE])) if groups else GroupUsage(None, None)

    def kill(self, groups: Mapping[str, str]) -> bool:
        for group in groups.values():
            with contextlib.suppress(OSError):  # Before Linux 5.14: the loop below does it.
                (Path(group) / "cgroup.kill").write_text("1", encoding="ascii")
        return _kill_members(groups)

    def remove(self, groups: Mapping[str, str]) -> None:
        with self._making:
            remove_groups(list(groups.values()))

    def tidy(self, tasks: Collection[str]) -> None:
        with self._making:
            _tidy(self._base, tasks)


class V1:
    """A tree for each controller that is writable; with none of them, groups are empty and nothing is promised."""

    def __init__(self, bases: Mapping[str, Path]) -> None:
        self._bases = dict(bases)
        self._making = threading.Lock()
        self._gives_addresses = V2_TREE in bases and _gives_addresses(bases[V2_TREE])
        self.features: tuple[str, ...] = (
            "memory-limits" if "memory" in bases else "no-memory-limits",
            "cpu-weights" if "cpu" in bases else "no-cpu-weights",
            "group-kill" if bases else "no-group-kill",
            _address_feature(self._gives_addresses),
        )
        self.count_processes = "pids" in bases

    def create(self, task: str, address: str, cpus: float, memory_mib: int) -> dict[str, str]:
        groups = {}
        with self._making:
            for controller, base in self._bases.items():
                (base / task).mkdir(parents=True, exist_ok=True)
                groups[controller] = str(base / task)
        if self._gives_addresses:
            own_address.give(Path(groups[V2_TREE]), address)
        if self.count_processes:
            _bound_processes(Path(groups["pids"]))
        self.limit(groups, cpus, memory_mib)
        return groups

    def limit(self, groups: Mapping[str, str], cpus: float, memory_mib: int) -> None:
        if "memory" in groups:
            (Path(groups["memory"]) / "memory.limit_in_bytes").write_text(str(memory_mib * MIB), encoding="ascii")
        if "cpu" in groups:
            (Path(groups["cpu"]) / "cpu.shares").write_text(str(max(round(cpus * 1024), 2)), encoding="ascii")

    def procs(self, groups: Mapping[str, str]) -> list[str]:
        return [f"{group}/cgroup.procs" for group in groups.values()]

    def out_of_memory_kills(self, groups: Mapping[str, str]) -> int:
        return kills_v1(groups)

    def usage(self, groups: Mapping[str, str]) -> GroupUsage:
        return usage_v1(groups)

    def kill(self, groups: Mapping[str, str]) -> bool:
        """Frozen first where that is possible, so that nothing forks while it is being killed."""
        freezer = Path(groups["freezer"]) / "freezer.state" if "freezer" in groups else None
        if freezer:
            with contextlib.suppress(OSError):
                freezer.write_text("FROZEN", encoding="ascii")
                for pid in _members(groups):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                freezer.write_text("THAWED", encoding="ascii")
        return _kill_members(groups)

    def remove(self, groups: Mapping[str, str]) -> None:
        with self._making:
            remove_groups(list(groups.values()))

    def tidy(self, tasks: Collection[str]) -> None:
        with self._making:
            for base in self._bases.values():
                _tidy(base, tasks)


def kills_v2(group: Path) -> int:
    """How often the kernel ended something in it for want of memory."""
    return _field(group / "memory.events", "oom_kill")


def usage_v2(group: Path) -> GroupUsage:
    cpu_s = _field(group / "cpu.stat", "usage_usec") / 1e6 if (group / "cpu.stat").exists() else None
    stat = group / "memory.stat"
    memory = (_field(stat, "anon") + _field(stat, "file_mapped")) / MIB if stat.exists() else None
    return GroupUsage(cpu_s, memory)


def kills_v1(groups: Mapping[str, str]) -> int:
    return _field(Path(groups["memory"]) / "memory.oom_control", "oom_kill") if "memory" in groups else 0


def usage_v1(groups: Mapping[str, str]) -> GroupUsage:
    cpu_s = memory = None
    if "cpuacct" in groups:
        with contextlib.suppress(OSError):
            cpu_s = int((Path(groups["cpuacct"]) / "cpuacct.usage").read_text(encoding="ascii")) / 1e9
    if "memory" in groups:
        stat = Path(groups["memory"]) / "memory.stat"
        memory = (_field(stat, "total_rss") + _field(stat, "total_mapped_file")) / MIB
    return GroupUsage(cpu_s, memory)


def _bound_processes(group: Path) -> None:
    (group / "pids.max").write_text(str(PROCESSES_MAX), encoding="ascii")


def _tidy(base: Path, tasks: Collection[str]) -> None:
    """Removing a group in which something runs is refused by the kernel, so this can do no harm."""
    with contextlib.suppress(OSError):
        for folder in [path for path in base.iterdir() if path.is_dir() and path.name not in tasks]:
            with contextlib.suppress(OSError):
                folder.rmdir()
        base.rmdir()


def _members(groups: Mapping[str, str]) -> set[int]:
    found: set[int] = set()
    for group in groups.values():
        with contextlib.suppress(OSError):
            found |= {int(pid) for pid in (Path(group) / "cgroup.procs").read_text(encoding="ascii").split()}
    return found - {os.getpid()}


def _kill_members(groups: Mapping[str, str]) -> bool:
    """A pid read from a group's file is the group's until its process is reaped, which its parent does, not we."""
    for _ in range(KILL_ROUNDS):
        members = _members(groups)
        if not members:
            return True
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return not _members(groups)


def _field(path: Path, name: str) -> int:
    """A number of a file of ``name value`` lines; 0 where there is none."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    for line in lines:
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0

"""Finding and ending every process that belongs to a task, a node or a data folder.

A task's processes are found in three ways, each of which catches what another misses:

* as **descendants** of its shim, which is a subreaper: daemons that left their session are still below it;
* by its **session**, when the shim is dead and its orphans went to init;
* by a **mark in the environment** that each of our processes inherits (:data:`FOLDER_MARK`, :data:`TASK_MARK`): it
  survives the death of every one of its ancestors. A process may wipe its own environment; then the first two, or
  its cgroup, remain.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable

from upcall.keeper.identity import DEAD_STATES, Identity, Stat, boot_id, stat_of

FOLDER_MARK = "UPCALL_NODE_FOLDER"
"""Folder of the node, below the data folder; of the data folder itself for what belongs to no node."""
TASK_MARK = "UPCALL_TASK"


def table() -> dict[int, Stat]:
    """All processes that run now (no zombies)."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            stat = stat_of(int(entry))
            if stat and stat.state not in DEAD_STATES:
                found[stat.pid] = stat
    return found


def descendants(root: int, processes: dict[int, Stat]) -> list[Stat]:
    """Everything below ``root``, itself not included."""
    children: dict[int, list[Stat]] = {}
    for stat in processes.values():
        children.setdefault(stat.parent, []).append(stat)
    found: list[Stat] = []
    ahead = [root]
    while ahead:
        below = children.get(ahead.pop(), [])
        found += below
        ahead += [stat.pid for stat in below]
    return found


def marks(pid: int) -> tuple[str, str]:
    """Folder and task that a process was started for; empty where it carries no mark (or is not ours to read)."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            text = file.read()
    except OSError:
        return "", ""
    folder = task = ""
    for entry in text.split(b"\0"):
        if entry.startswith(FOLDER_MARK.encode() + b"="):
            folder = os.fsdecode(entry.split(b"=", 1)[1])
        elif entry.startswith(TASK_MARK.encode() + b"="):
            task = os.fsdecode(entry.split(b"=", 1)[1])
    return folder, task


def marked(folder: str, task: str = "") -> list[Stat]:
    """Processes started for this folder or below it; with ``task``: for that one alone. This process is left out."""
    below = folder.rstrip("/") + "/"
    found = []
    for stat in table().values():
        its_folder, its_task = marks(stat.pid)
        inside = its_folder == folder or its_folder.startswith(below)
        if inside and (not task or its_task == task) and stat.pid != os.getpid():
            found.append(stat)
    return found


def in_session(session: int) -> list[Stat]:
    return [stat for stat in table().values() if stat.session == session]


def send(processes: Iterable[Stat], number: int) -> int:
    """Signals exactly these processes; returns how many were still there."""
    boot = boot_id()
    return sum(Identity(stat.pid, stat.start_ticks, boot).send(number) for stat in processes)


def kill(find: Callable[[], list[Stat]], rounds: int = 20) -> list[Stat]:
    """Kills what ``find`` finds, again and again while it finds more (a process may fork meanwhile).

    Returns what is still there after the last round: dying, or stuck in the kernel. The caller looks again later.
    """
    for _ in range(rounds):
        found = find()
        if not found:
            return []
        send(found, signal.SIGKILL)
    return find()

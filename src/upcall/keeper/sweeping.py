"""Ending what is left of a node or of a whole data folder, and knowing that nothing is.

Bit by bit, from the supervisor's loop: each look ends what it finds; a look that finds nothing is the proof. Where
there is a grace, the commands of the tasks get SIGTERM first, and when they are gone their shims and launchers, which
write their records and end; when it is over, whatever still carries the mark is killed.
"""

from __future__ import annotations

import contextlib
import glob
import os
import signal
import time

from upcall.keeper import processes, records, shim
from upcall.keeper.identity import Stat

LOOK_EVERY_S = 0.05


class Sweep:
    """Everything that carries the mark of ``folder``, apart from ``spared`` pids."""

    def __init__(self, folder: str, grace_s: float, spared: frozenset[int] = frozenset()) -> None:
        self._folder = folder
        self._spared = spared | {os.getpid()}
        self._kill_at = time.monotonic() + grace_s
        self._asked: set[int] = set()
        self.killed: set[int] = set()
        self.tasks_killed: set[str] = set()

    def look(self) -> bool:
        """Kills what is due; True when nothing is left."""
        left = [stat for stat in processes.marked(self._folder) if stat.pid not in self._spared]
        if not left:
            self._remove_groups()
            return True
        if time.monotonic() < self._kill_at:
            commands = [stat for stat in left if _is_command(stat)]
            new = [stat for stat in commands or left if stat.pid not in self._asked]
            processes.send(new, signal.SIGTERM)
            self._asked |= {stat.pid for stat in new}
            return False
        # What wiped its mark is still below its shim, as long as that lives: it goes in the same look.
        everything = processes.table()
        found = {stat.pid: stat for one in left for stat in processes.descendants(one.pid, everything)}
        found |= {stat.pid: stat for stat in left}
        due = [stat for stat in found.values() if stat.pid not in self._spared]
        self.killed |= {stat.pid for stat in due}
        self.tasks_killed |= {task for stat in due if (task := processes.marks(stat.pid)[1])}
        processes.send(due, signal.SIGKILL)
        return False

    def _remove_groups(self) -> None:
        """Control groups of tasks whose agent could not remove them any more."""
        for pattern in (("nodes", "*", "tasks", "*"), ("tasks", "*")):
            for record in glob.iglob(os.path.join(glob.escape(self._folder), *pattern, records.RUNNING)):
                with contextlib.suppress(ValueError):
                    running = records.read(record)
                    shim.remove_groups(running.get("groups", []) if running else [])


def _is_command(stat: Stat) -> bool:
    """A task's process, not a launcher or a shim (which carry no task's name)."""
    return bool(processes.marks(stat.pid)[1])

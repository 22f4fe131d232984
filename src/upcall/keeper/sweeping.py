"""Ending what is left of a node or of a whole data folder, and knowing that nothing is.

Bit by bit, from the supervisor's loop: each look ends what it finds; a look that finds nothing is the proof. Where
there is a grace, the commands of the tasks get SIGTERM first, and when they are gone their shims and launchers, which
write their records and end; when it is over, whatever still carries the mark is killed.
"""

from __future__ import annotations

import os
import signal
import time

from upcall.keeper import processes
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

    def look(self) -> bool:
        """Kills what is due; True when nothing is left."""
        left = [stat for stat in processes.marked(self._folder) if stat.pid not in self._spared]
        if not left:
            return True
        if time.monotonic() < self._kill_at:
            commands = [stat for stat in left if _is_command(stat)]
            new = [stat for stat in commands or left if stat.pid not in self._asked]
            processes.send(new, signal.SIGTERM)
            self._asked |= {stat.pid for stat in new}
            return False
        self.killed |= {stat.pid for stat in left}
        processes.send(left, signal.SIGKILL)
        return False


def _is_command(stat: Stat) -> bool:
    """A task's process, not a launcher or a shim (which carry no task's name)."""
    return bool(processes.marks(stat.pid)[1])

"""Which process is meant: pid, start time and boot id together.

A pid alone names nobody for long: the kernel gives it out again, and after a reboot every number is somebody else's.
With the start time (clock ticks since boot) and the id of the boot, an identity written to disk years ago is either
exactly the process that wrote it, or dead. Signals go through a pidfd that is opened first and compared afterwards,
so there is no moment at which a stranger could be hit.
"""

from __future__ import annotations

import os
import signal
from typing import Any, NamedTuple

DEAD_STATES = "ZXx"
"""Zombies and dead: their exit code waits to be read, but nothing of them runs any more."""


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


class Stat(NamedTuple):
    """The part of ``/proc/<pid>/stat`` that tells one process from another."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    cpu_ticks: int
    """User and system time, its own and of the children that it waited for."""
    start_ticks: int
    resident_pages: int


def stat_of(pid: int) -> Stat | None:
    """None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in parentheses and may hold spaces and parentheses itself: the last one ends it.
    fields = text[text.rindex(b")") + 2 :].split()
    cpu_ticks = sum(int(field) for field in fields[11:15])
    return Stat(
        pid,
        fields[0].decode(),
        int(fields[1]),
        int(fields[2]),
        int(fields[3]),
        cpu_ticks,
        int(fields[19]),
        int(fields[21]),
    )


def name_of(pid: int) -> str:
    """What ``ps`` shows; empty when there is no such process."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""


class Identity(NamedTuple):
    pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        stat = stat_of(pid)
        return cls(pid, stat.start_ticks, boot_id()) if stat else None

    @classmethod
    def of_this_process(cls) -> Identity:
        identity = cls.of(os.getpid())
        assert identity is not None, "a running process has an entry in /proc"
        return identity

    @classmethod
    def from_json(cls, value: Any) -> Identity:
        return cls(int(value["pid"]), int(value["start_ticks"]), str(value["boot_id"]))

    def to_json(self) -> dict[str, Any]:
        return {"pid": self.pid, "start_ticks": self.start_ticks, "boot_id": self.boot_id}

    def alive(self) -> bool:
        """Still the same process, and not a zombie."""
        stat = stat_of(self.pid)
        return (
            stat is not None
            and stat.start_ticks == self.start_ticks
            and stat.state not in DEAD_STATES
            and self.boot_id == boot_id()
        )

    def open(self) -> int | None:
        """A pidfd of exactly this process (readable once it is dead); None when it is dead already."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        if self.alive():
            return pidfd
        os.close(pidfd)
        return None

    def send(self, number: int) -> bool:
        """Sends a signal; False when the process is dead already."""
        pidfd = self.open()
        if pidfd is None:
            return False
        try:
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(pidfd)
        return True

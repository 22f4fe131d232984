"""Whether a process of ours still turns. It says so, again and again; one that has not for long is ended.

Code in C that keeps a Python interpreter to itself stops all threads of its process, also the one that would notice it.
So the process writes a byte into a pipe every few seconds, and the keeper looks whether one has come. What counts as
standing still is time in which it could have turned: not while it was stopped (SIGSTOP), waits for a disk, or has no
processor; not while the machine sleeps; and not while two of its threads compute, for then the interpreter goes from
one to the other.

Before it is ended it is asked for the stacks of its threads: a signal, whose handler (``faulthandler``) needs no
interpreter. They are written down beside what each thread did meanwhile, for the process that is started next.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from typing import NamedTuple

from upcall.keeper import records

VARIABLE = "UPCALL_TURNS"
"""``{"turns": descriptor, "stacks": descriptor, "signal": number, "every_s", "seen": path}``: where it says that it
turns, where its stacks go at the signal, and where the next one reads what was seen of it."""
SIGNAL = signal.SIGUSR2

LOOKS = 4
"""So many times as long as it wants to say it: where the machine stood still, one look is lost and not all the time."""
ENOUGH = 0.9
"""Of that time: a processor is never had at once."""
STACKS_S = 1.0
"""For the stacks to be written; within it it may say that it turns after all."""
STACKS_BYTES_MAX = 1 << 20

WAITS_OFTEN = 5
"""Who waits for the interpreter looks for it 200 times a second. A thread that went to sleep so often between two looks
does not keep it."""
COMPUTES_S = 0.02
SLICE_S = 0.0001
"""Of a thread that computes, between two looks: at least so long altogether, and so long before each sleep."""
NOT_ITS_FAULT = "TtD"
"""States of a thread that is stopped, or waits for a disk."""


class Thread(NamedTuple):
    """What ``/proc`` says of one, since its start."""

    state: str
    ran_s: float
    waited_s: float
    """It could have run, and had no processor."""
    sleeps: int
    """How often it went to sleep by itself."""


class Turning:
    """Of one process, from its start to its end."""

    def __init__(self, every_s: float, seen: str) -> None:
        self._every_s, self._seen = every_s, seen
        self._turns, self.write = os.pipe()
        os.set_blocking(self._turns, False)
        os.set_blocking(self.write, False)
        self._stacks = os.memfd_create("stacks")
        self._said = False
        self._asked = False
        self._still_s = 0.0
        self._first: dict[int, Thread] = {}
        self._last: dict[int, Thread] = {}
        self._last_at = time.monotonic()
        self.next = self._last_at + every_s

    @property
    def descriptors(self) -> tuple[int, int]:
        """Those that the child gets."""
        return self.write, self._stacks

    def inherit(self) -> dict[str, str]:
        """Before the child becomes the process: its environment."""
        for descriptor in self.descriptors:
            os.set_inheritable(descriptor, True)
        said = {
            "turns": self.write,
            "stacks": self._stacks,
            "signal": int(SIGNAL),
            "every_s": self._every_s,
            "seen": self._seen,
        }
        return {VARIABLE: json.dumps(said, separators=(",", ":"))}

    def started(self) -> None:
        """The other end is the child's alone."""
        os.close(self.write)
        self.write = -1

    def close(self) -> None:
        if self.write >= 0:
            os.close(self.write)
        os.close(self._turns)
        os.close(self._stacks)

    def look(self, now: float, pid: int) -> int:
        """The signal that it is to get; 0: none. From the first time on that it said something."""
        passed_s, self._last_at = now - self._last_at, now
        self.next = now + self._every_s
        if self._heard():
            self._said = True
            self._still_s, self._asked, self._first = 0.0, False, {}
            return 0
        if not self._said:
            return 0
        threads = threads_of(pid)
        if self._asked:
            self._write_down(threads)
            return signal.SIGKILL
        if not self._first:
            self._first = threads
        else:
            self._still_s += still_s(self._last, threads, min(passed_s, self._every_s))
        self._last = threads
        if self._still_s < ENOUGH * (LOOKS - 1) * self._every_s:  # The first look that missed it counts as one.
            return 0
        self._asked = True
        self.next = now + STACKS_S
        os.ftruncate(self._stacks, 0)
        return SIGNAL

    def _heard(self) -> bool:
        heard = False
        with contextlib.suppress(BlockingIOError):
            while os.read(self._turns, 4096):
                heard = True
        return heard

    def _write_down(self, threads: dict[int, Thread]) -> None:
        """What it did since the first look at which it did not turn."""
        did = {
            str(number): {"ran_s": after.ran_s - before.ran_s, "sleeps": after.sleeps - before.sleeps}
            for number, after in threads.items()
            if (before := self._first.get(number)) is not None
        }
        stacks = os.pread(self._stacks, STACKS_BYTES_MAX, 0).decode(errors="replace")
        seen = {"version": 1, "at": time.time(), "still_s": LOOKS * self._every_s, "threads": did, "stacks": stacks}
        with contextlib.suppress(OSError):  # A full disk: it is ended all the same.
            records.write(self._seen, seen, durable=0)


def threads_of(pid: int) -> dict[int, Thread]:
    found = {}
    with contextlib.suppress(OSError):  # It has ended.
        for name in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                found[int(name)] = _thread(f"/proc/{pid}/task/{name}")
    return found


def _thread(folder: str) -> Thread:
    with open(f"{folder}/schedstat", encoding="ascii") as file:
        ran_ns, waited_ns, _ = file.read().split()
    state, sleeps = "", 0
    with open(f"{folder}/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name == "State":
                state = value.split()[0]
            elif name == "voluntary_ctxt_switches":
                sleeps = int(value)
    return Thread(state, int(ran_ns) / 1e9, int(waited_ns) / 1e9, sleeps)


def still_s(before: dict[int, Thread], after: dict[int, Thread], passed_s: float) -> float:
    """Of the time between two looks, that in which it could have turned and did not."""
    if any(thread.state in NOT_ITS_FAULT for thread in after.values()):
        return 0.0
    computing, starved_s = 0, 0.0
    for number, now in after.items():
        then = before.get(number)
        if then is None:
            continue
        ran_s, sleeps = now.ran_s - then.ran_s, now.sleeps - then.sleeps
        computing += ran_s >= COMPUTES_S and ran_s >= SLICE_S * sleeps
        if sleeps < WAITS_OFTEN:
            starved_s = max(starved_s, now.waited_s - then.waited_s)
    return 0.0 if computing > 1 else max(0.0, passed_s - starved_s)

"""One process of ours under supervision: started, watched, started again, stopped.

A child dies with its supervisor (the kernel sees to it), unless it stands by for it (:mod:`upcall.keeper.standing_by`):
then the next supervisor ends it. Either way that one starts the children anew, and there is never a second master
beside the first. Tasks are not children of ours and live on.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from typing import Any, NoReturn

from upcall.keeper import linux, processes, standing_by
from upcall.keeper.identity import Identity
from upcall.keeper.listening import Held
from upcall.keeper.logs import RotatingLog
from upcall.keeper.spec import Process
from upcall.keeper.turning import LOOKS, Turning

SETTLED_S = 60.0
"""Who ran for so long gets the shortest wait again."""
CHUNK_BYTES = 65536


class Child:
    def __init__(self, process: Process, data_folder: str, held: Held) -> None:
        self.process = process
        self._held = held
        self.identity: Identity | None = None
        self.output = -1
        """Its standard output and error; -1 when there is none."""
        self.wanted = True
        self.stands_by = False
        """It said that it does."""
        self.restarts = 0
        self._data = data_folder
        self._log = RotatingLog(os.path.join(data_folder, "logs", f"{process.name}.log"))
        self._backoff_s = process.backoff_first_s
        self._start_at = 0.0
        self._started_at = 0.0
        self._kill_at: float | None = None
        self._last_exit = ""
        self._killed = False
        """It did not end within its grace, the last time that it was to."""
        self._turning: Turning | None = None
        """Of one that says that it turns."""

    @property
    def runs(self) -> bool:
        return self.identity is not None

    def status(self) -> dict[str, Any]:
        state = "running" if self.runs else "waiting" if self.wanted else "stopped"
        return {
            "name": self.process.name,
            "node": self.process.node,
            "state": "stopping" if self.runs and not self.wanted else state,
            "identity": self.identity.to_json() if self.identity else None,
            "restarts": self.restarts,
            "last_exit": self._last_exit,
            "killed": self._killed,
            "stands_by": self.stands_by,
        }

    # -- time -----------------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """Monotonic time at which :meth:`tick` has something to do."""
        if not self.runs:
            return self._start_at if self.wanted else None
        if self._kill_at is None and self._turning is not None:
            return self._turning.next
        return self._kill_at

    def tick(self, now: float) -> bool:
        """Starts or kills what is due; whether something changed."""
        if self.runs and self._kill_at is not None and now >= self._kill_at:
            self._kill_at = now + 1.0
            self._killed = True
            self._signal(signal.SIGKILL)
        elif self.runs and self._kill_at is None and self._turning is not None and now >= self._turning.next:
            self._look(self._turning, now)
        elif not self.runs and self.wanted and now >= self._start_at:
            self._start()
            return True
        return False

    def _look(self, turning: Turning, now: float) -> None:
        assert self.identity is not None
        number = turning.look(now, self.identity.pid)
        if number == signal.SIGKILL:
            words = f"{self.process.name} has not turned for {LOOKS * self.process.turns_s:g} s, and is ended"
            self._log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} keeper: {words}\n".encode())
        if number:
            self._signal(number)

    # -- start ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Wanted from now on, at once."""
        self.wanted = True
        self._backoff_s = self.process.backoff_first_s
        self._start_at = 0.0
        if self.runs and self._kill_at is not None:
            return  # It is being stopped: started again when that is done.
        self._kill_at = None

    def adopt(self, identity: Identity) -> None:
        """It runs already: an earlier supervisor started it. Its output goes nowhere."""
        self.identity, self._started_at, self.stands_by = identity, time.monotonic(), True

    def replace(self) -> None:
        """Ended, and started anew."""
        self.stop()
        self.start()

    def _start(self) -> None:
        supervisor = os.getpid()
        self.output, write = os.pipe()
        os.set_blocking(self.output, False)
        if self.process.turns_s:
            seen = os.path.join(self._data, "keeper", f"{self.process.name}.still.json")
            self._turning = Turning(self.process.turns_s, seen)
        pid = os.fork()
        if pid == 0:
            _become(self.process, self._data, supervisor, write, self._held, self._turning)
        os.close(write)
        if self._turning is not None:
            self._turning.started()
        self.identity = Identity.of(pid)
        assert self.identity is not None, "a child that was not waited for has an entry in /proc"
        self._started_at = time.monotonic()
        self._killed = False

    # -- stop -----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Not wanted any more; SIGTERM now, SIGKILL after its grace."""
        self.wanted = False
        if self.runs and self._kill_at is None:
            self._killed = False
            self._kill_at = time.monotonic() + self.process.grace_s
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """At once."""
        if self.runs:
            self._kill_at = time.monotonic() + 1.0
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        assert self.identity is not None
        self.identity.send(number)

    def ended(self, status: int | None) -> None:
        """It was waited for; None: nobody knows how, since it was no child of this process."""
        if status is None:
            self._last_exit = "the last keeper"
        else:
            code = os.waitstatus_to_exitcode(status)
            self._last_exit = f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
            self.copy_output()
            os.close(self.output)
        if self._turning is not None:
            self._turning.close()
            self._turning = None
        assert self.identity is not None
        # What it forked and left in its session; launchers are in sessions of their own, with all tasks below them.
        processes.send(processes.in_session(self.identity.pid), signal.SIGKILL)
        now = time.monotonic()
        if now - self._started_at >= SETTLED_S:
            self._backoff_s = self.process.backoff_first_s
        self.identity, self.output, self._kill_at, self.stands_by = None, -1, None, False
        self._start_at = now + self._backoff_s
        self._backoff_s = min(self._backoff_s * 2, self.process.backoff_max_s)
        if self.wanted:
            self.restarts += 1

    def copy_output(self) -> bool:
        """What it said, into its log; False at the end of it."""
        while True:
            try:
                data = os.read(self.output, CHUNK_BYTES)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._log.write(data)


def _become(
    process: Process, data_folder: str, supervisor: int, output: int, held: Held, turning: Turning | None
) -> NoReturn:
    """The forked child becomes the process. Never returns."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        linux.die_with_parent(signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(127)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        folder = os.path.join(data_folder, "nodes", process.node) if process.node else data_folder
        env = {**os.environ, **process.env, **held.inherit(process), processes.FOLDER_MARK: folder}
        if turning is not None:
            env |= turning.inherit()
        if process.stands_by:
            stands_by = {"folder": data_folder, "name": process.name, "held": held.inherit_all()}
            env[standing_by.VARIABLE] = json.dumps(stands_by, separators=(",", ":"))
        os.execvpe(process.argv[0], list(process.argv), env)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(2, f"cannot execute {process.argv[0]}: {error}\n".encode())
    finally:
        os._exit(127)

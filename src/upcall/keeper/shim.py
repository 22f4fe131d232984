"""The shim: stands between one task and the rest of the world.

It is forked by the launcher, not executed, so it shares the launcher's memory (2 MiB of its own). It

* starts the command in a session of its own, in its cgroups, and only after ``running.json`` is on disk: there is
  never a task that runs unrecorded;
* owns the task's standard output and error, and keeps the logs bounded;
* is a subreaper: whatever the task forks stays below it, also what left the session;
* writes ``exit.json`` when the command has ended *and* nothing below it is left;
* takes the task with it when it dies itself (the kernel kills the command; the agent sees the missing exit record
  and ends what else is left);
* ends everything when the data folder is deleted.

It is told things by signals: SIGTERM means "kill all of it now". Ending a task kindly is the agent's: SIGTERM to the
command, then a grace. What the command leaves behind when it ends by itself gets SIGTERM and a short grace from here.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import select
import signal
import time
from typing import Any, NoReturn

from upcall.keeper import command, linux, processes, records
from upcall.keeper.identity import Identity
from upcall.keeper.logs import FILES, MAX_BYTES, OrderedLogs
from upcall.keeper.sockets import SHIM

LEFTOVER_GRACE_S = 5.0
"""For descendants that outlived the command; a command that is a shell script leaves the real process behind."""

KILL_AGAIN_S = 0.05
CHUNK_BYTES = 65536
DRAIN_BYTES_MAX = 4 * 1024 * 1024


class Shim:
    """One task's life. ``request`` is what the launcher was asked for (:mod:`upcall.keeper.launcher`)."""

    def __init__(self, request: dict[str, Any], report: int) -> None:
        self._request = request
        self._report = report
        self._folder: str = request["folder"]
        self._durable = int(request.get("durable", 1))
        self._guard = linux.FolderGuard(*request["homes"], self._folder)
        self._logs: OrderedLogs | None = None
        self._streams: dict[int, int] = {}
        """Descriptor -> which of the two."""
        self._task = 0
        self._status: int | None = None
        self._kill_at: float | None = None
        self._leftovers = 0
        self._gone = False
        self._started_at = time.time()

    def run(self) -> None:
        self._wakeup = _signals()
        failure = self._start()
        if failure:
            self._tell({"error": failure})
            return
        os.close(self._report)
        self._loop()
        self._drain()
        if self._gone:
            remove_groups(groups_of(self._request))  # Nobody is left who would.
        else:
            self._write_exit()

    # -- start ----------------------------------------------------------------------------------------------------

    def _start(self) -> str:
        """Empty when the command runs; else what is wrong."""
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        go_read, go_write = os.pipe()
        failed_read, failed_write = os.pipe()
        if user := self._request.get("box", {}).get("user"):
            for descriptor in (out_write, err_write):
                os.fchown(descriptor, int(user[0]), -1)  # So that it may open /dev/stdout as well.
        own = os.getpid()
        self._task = os.fork()
        if self._task == 0:
            os.close(go_write)
            command.become(self._request, own, (out_write, err_write), go_read, failed_write)
        for descriptor in (out_write, err_write, go_read, failed_write):
            os.close(descriptor)
        logs = os.path.join(self._folder, "logs")
        limits = (int(self._request.get("log_bytes", MAX_BYTES)), int(self._request.get("log_files", FILES)))
        self._logs, self._streams = OrderedLogs(logs, ("stdout", "stderr"), *limits), {out_read: 0, err_read: 1}
        for descriptor in self._streams:
            os.set_blocking(descriptor, False)
        identity = Identity.of(self._task)
        assert identity is not None, "a child that was not waited for has an entry in /proc"
        running = {
            "version": 1,
            "name": self._request["name"],
            "shim": Identity.of_this_process().to_json(),
            "task": identity.to_json(),
            "started_at": self._started_at,
            "groups": groups_of(self._request),
        }
        try:
            os.makedirs(logs, exist_ok=True)
            records.write(os.path.join(self._folder, records.RUNNING), running, self._durable)
        except OSError as error:
            os.kill(self._task, signal.SIGKILL)
            return f"cannot write to {self._folder}: {error.strerror}"
        os.write(go_write, b"g")
        os.close(go_write)
        failure = _read_all(failed_read).decode(errors="replace")
        os.close(failed_read)
        if failure:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self._folder, records.RUNNING))
            return failure
        self._tell({"ok": True, "running": running})
        return ""

    def _tell(self, answer: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # The launcher is gone: the record tells the same.
            os.write(self._report, json.dumps(answer).encode())

    # -- life -----------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        """Until the command has ended and nothing is left below."""
        poll = select.poll()
        for descriptor in (*self._streams, self._wakeup):
            poll.register(descriptor, select.POLLIN)
        if self._guard.descriptor is not None:
            poll.register(self._guard.descriptor, select.POLLIN)
        while True:
            if self._status is not None and not self._end_leftovers():
                return
            for descriptor, _event in poll.poll(self._wait_ms()):
                if descriptor in self._streams:
                    if not self._copy(descriptor):
                        poll.unregister(descriptor)
                elif descriptor == self._wakeup:
                    self._woken()
            if not self._gone and self._guard.gone():
                self._gone = True
                self._kill_at = 0.0
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                processes.send(self._below(), signal.SIGKILL)
            self._reap()

    def _wait_ms(self) -> float | None:
        waits = [self._guard.interval_s] if self._guard.interval_s else []
        if self._kill_at is not None:
            waits.append(max(KILL_AGAIN_S, self._kill_at - time.monotonic()))
        return min(waits) * 1000 if waits else None

    def _woken(self) -> None:
        numbers = os.read(self._wakeup, 4096)
        if signal.SIGTERM in numbers:
            self._kill_at = 0.0

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._task:
                self._status = status

    def _below(self) -> list[Any]:
        return processes.descendants(os.getpid(), processes.table())

    def _end_leftovers(self) -> bool:
        """Whether something is still there."""
        left = self._below()
        if left and self._kill_at is None:
            self._leftovers += processes.send(left, signal.SIGTERM)
            self._kill_at = time.monotonic() + LEFTOVER_GRACE_S
        return bool(left)

    def _copy(self, descriptor: int) -> bool:
        """One chunk of output into its log; False at its end."""
        try:
            data = os.read(descriptor, CHUNK_BYTES)
        except BlockingIOError:
            return True
        self._write(descriptor, data)
        return bool(data)

    def _write(self, descriptor: int, data: bytes) -> None:
        assert self._logs is not None, "the command runs"
        self._logs.write(self._streams[descriptor], data)

    def _drain(self) -> None:
        """What was written just before the end. Bounded: somebody outside may hold the pipe and go on writing."""
        for descriptor in self._streams:
            read_bytes = 0
            while read_bytes < DRAIN_BYTES_MAX:
                try:
                    data = os.read(descriptor, CHUNK_BYTES)
                except BlockingIOError:
                    break
                if not data:
                    break
                self._write(descriptor, data)
                read_bytes += len(data)

    def _write_exit(self) -> None:
        assert self._status is not None, "the command has ended"
        code = os.waitstatus_to_exitcode(self._status)
        record = {
            "version": 1,
            "name": self._request["name"],
            "code": code if code >= 0 else None,
            "signal": -code if code < 0 else None,
            "started_at": self._started_at,
            "ended_at": time.time(),
            "leftovers": self._leftovers,
            "log_bytes_dropped": self._logs.dropped_bytes if self._logs is not None else 0,
        }
        path = os.path.join(self._folder, records.EXIT)
        while True:
            try:
                records.write(path, record, self._durable)
                return
            except OSError as error:
                # A full disk has room again some day; the exit code must not be lost to it meanwhile.
                if error.errno not in (errno.ENOSPC, errno.EDQUOT) or self._guard.gone():
                    return
                time.sleep(1.0)


def groups_of(request: dict[str, Any]) -> list[str]:
    """Folders of the control groups that the command is in."""
    return [os.path.dirname(procs) for procs in request.get("cgroups", ())]


def remove_groups(groups: list[str]) -> None:
    """With the node's group around them, once that is empty. The kernel refuses while something runs in one."""
    for folder in [*groups, *map(os.path.dirname, groups)]:
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def run(request: dict[str, Any], report: int) -> NoReturn:
    """The launcher's forked child becomes the shim. Never returns."""
    gc.freeze()  # Keeps the memory shared with the launcher untouched, and so shared.
    code = 1
    try:
        os.setsid()
        linux.become_subreaper()
        linux.name_process(SHIM)
        Shim(request, report).run()
        code = 0
    except BaseException as error:  # whatever it is: said, and the task goes with us
        os.write(2, f"shim of {request.get('name')}: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def _signals() -> int:
    """SIGTERM and SIGCHLD wake the loop up; what a terminal sends is ignored."""
    wakeup, write = os.pipe()
    os.set_blocking(wakeup, False)
    os.set_blocking(write, False)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return wakeup


def _read_all(descriptor: int) -> bytes:
    data = b""
    while part := os.read(descriptor, 4096):
        data += part
    return data

"""A real cluster in a temporary data folder: keeper, master, agents, host, all of it, as `upcall up` starts it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from typer.testing import CliRunner

from upcall.cli import footprint
from upcall.cli.main import COMMANDS, application
from upcall.client.blocking import Client
from upcall.cluster.folder import DataFolder
from upcall.protocol.operator import TaskView

T = TypeVar("T")

WAIT_S = 300.0
"""Generous: a condition, not a speed."""
WEDGED_S = 900.0
"""No command takes so long on any machine, if what it waits for comes at all."""


class Cluster:
    def __init__(
        self, data: Path, *, nodes: int = 3, memory_mib_per_node: int = 512, env: Mapping[str, str] | None = None
    ) -> None:
        self.data = data
        self.env = dict(env or {})
        self.nodes = nodes
        self.memory_mib_per_node = memory_mib_per_node

    def up(self, *more: str) -> None:
        self.upcall("up", "--nodes", str(self.nodes), "--memory-mib-per-node", str(self.memory_mib_per_node), *more)

    def down(self) -> None:
        self.upcall("down")

    def upcall(self, *words: str, check: bool = True, timeout_s: float = WEDGED_S) -> subprocess.CompletedProcess[str]:
        """The command line; `up`, `down` and what a package brings in a process of their own, the others in ours, which
        is faster."""
        if words[0] in ("up", "down") or words[0] not in COMMANDS:
            process = self.begin(*words)
            out, errors = process.communicate(timeout=timeout_s)
            done = subprocess.CompletedProcess(list(words), process.returncode, out, errors)
        else:
            with _at_most(max(timeout_s, WEDGED_S)):
                found = CliRunner().invoke(application(words[0]), [*words, "--data", str(self.data)])
            raised = f"\n{found.exception!r}" if found.exception and not isinstance(found.exception, SystemExit) else ""
            done = subprocess.CompletedProcess(list(words), found.exit_code, found.stdout, found.stderr + raised)
        if check:
            assert done.returncode == 0, f"upcall {' '.join(words)}: {done.stdout}\n{done.stderr}"
        return done

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """The command line in a process of its own, in a group of its own, not waited for."""
        return subprocess.Popen(
            [sys.executable, "-m", "upcall.cli", *words],
            env={**os.environ, **self.env, "UPCALL_DATA": str(self.data), "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def refused(self, *words: str, code: int = 1) -> str:
        """What a command says that must fail: one error, no traceback."""
        done = self.upcall(*words, check=False)
        assert done.returncode == code, f"upcall {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        assert done.stderr.count("error: ") == 1, done.stderr
        return done.stderr

    def all_processes(self) -> list[int]:
        """Everything of this data folder: ours and tasks."""
        return footprint.processes(self.data.resolve())

    def kill_everything(self) -> None:
        """In any order, again and again until nothing is left: what a power cut does."""
        end = time.monotonic() + WAIT_S
        while pids := self.all_processes():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            assert time.monotonic() < end, "something starts again faster than it is killed"

    def until_no_process(self) -> None:
        end = time.monotonic() + WAIT_S
        while left := self.all_processes():
            assert time.monotonic() < end, [_command(pid) for pid in left]
            time.sleep(0.1)

    @property
    def client(self) -> Client:
        found = Client.of(DataFolder(self.data))
        found.patience_s = WAIT_S
        return found

    # -- waiting ----------------------------------------------------------------------------------------------------

    def until(self, what: str, look: Callable[[], T | None], wait_s: float = WAIT_S) -> T:
        """The first true value of ``look``; with what stood at last when it does not come."""
        end = time.monotonic() + wait_s
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() > end:
                events = "\n".join(f"{event.sequence} {event.text}" for event in self.client.events(limit=60))
                raise AssertionError(f"not within {wait_s} s: {what}; found {found!r}\n{events}")
            time.sleep(0.1)

    def task(self, member: str) -> TaskView:
        return next(task for task in self.client.tasks() if task.member == member)

    def until_ready(self, *members: str, wait_s: float = WAIT_S) -> list[TaskView]:
        def look() -> list[TaskView]:
            found = [task for task in self.client.tasks() if task.member in members and task.state == "ready"]
            return found if len(found) == len(members) else []

        return self.until(f"{', '.join(members)} ready", look, wait_s)

    # -- processes --------------------------------------------------------------------------------------------------

    def processes(self) -> dict[str, int]:
        """Name -> pid of our own processes, as the keeper's status file says."""
        status = json.loads((self.data / "keeper" / "status.json").read_bytes())
        return {each["name"]: each["pid"] for each in map(_flat, status["processes"]) if each.get("pid")}

    def keeper_pid(self) -> int:
        status = json.loads((self.data / "keeper" / "status.json").read_bytes())
        return int(status["supervisor"]["pid"])

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        pid = self.processes()[name]
        os.kill(pid, number)
        return pid

    def until_restarted(self, name: str, before: int) -> None:
        self.until(f"{name} runs again", lambda: self.processes().get(name, before) != before)


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """A command that waits for ever ends, and with it its test. The alarm is the main thread's alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(_number: int, _frame: object) -> None:
        raise TimeoutError(f"not over within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return f"{pid} (gone)"


def _flat(process: dict[str, Any]) -> dict[str, Any]:
    identity = process.get("identity") or {}
    return {"name": process["name"], "pid": identity.get("pid")}


def pids_of(needle: str) -> list[int]:
    """Processes whose command line holds ``needle``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(needle.encode() in word for word in words):
                found.append(int(entry.name))
    return found


def last_lines(paths: Sequence[Path], count: int = 30) -> str:
    return "\n".join(f"== {path.name}\n" + "\n".join(path.read_text().splitlines()[-count:]) for path in paths)


def interrupt(process: subprocess.Popen[str]) -> str:
    """Ctrl-C for a command that was begun; gives what it said to it. It had done its work already, or says 130, or the
    signal ended it before it could say anything. Until the interpreter is up it has a word of its own, with code 1:
    "Fatal Python error: init_...", or of the module that it begins with."""
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=WAIT_S)
    not_up = process.returncode == 1 and "Fatal Python error: init_" in errors
    assert not_up or process.returncode in (0, 130, -signal.SIGINT), out + errors
    return errors

"""Real processes: what a task leaves behind, and what outlives what."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from upcall.keeper import begin, command, processes, records, sockets
from upcall.keeper.identity import Identity

PATIENCE_S = 180.0


def eventually(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"never happened: {what}")


class Node:
    """A node's folder with its launcher."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.data = folder.parent.parent
        self.process = begin.start_launcher(str(folder), str(self.data))

    def ask(self, **request: Any) -> dict[str, Any]:
        return sockets.ask(begin.socket_of(str(self.folder)), request, PATIENCE_S)

    def task(self, name: str) -> Path:
        return self.folder / "tasks" / name

    def start(self, name: str, *argv: str, **more: Any) -> dict[str, Any]:
        folder = self.task(name)
        folder.mkdir(parents=True, exist_ok=True)
        env = {
            "PATH": os.environ["PATH"],
            processes.FOLDER_MARK: str(self.folder),
            processes.TASK_MARK: name,
        }
        return self.ask(do="start", folder=str(folder), name=name, argv=argv, env=env, cwd=str(folder), **more)

    def exit_of(self, name: str) -> dict[str, Any]:
        path = str(self.task(name) / records.EXIT)
        record: dict[str, Any] = eventually(lambda: records.read(path), f"{name} ended")
        return record

    def output(self, name: str, stream: str = "stdout") -> str:
        path = self.task(name) / "logs" / stream
        return path.read_text() if path.exists() else ""

    def restart_launcher(self) -> None:
        self.process.wait(PATIENCE_S)
        self.process = begin.start_launcher(str(self.folder), str(self.data))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path / "data with spaces" / ("long" * 30) / "node-1")
    yield node
    processes.kill(lambda: processes.marked(str(node.folder)))
    node.process.wait(PATIENCE_S)


def identities(answer: dict[str, Any]) -> tuple[Identity, Identity]:
    return Identity.from_json(answer["running"]["shim"]), Identity.from_json(answer["running"]["task"])


def test_exit_code_and_output_are_recorded(node: Node) -> None:
    node.start("a.b.1", "sh", "-c", "echo hello; echo sorry >&2; exit 7")
    record = node.exit_of("a.b.1")
    assert (record["code"], record["signal"]) == (7, None)
    assert node.output("a.b.1") == "hello\n"
    assert node.output("a.b.1", "stderr") == "sorry\n"


def test_death_by_a_signal_is_recorded_as_one(node: Node) -> None:
    answer = node.start("a.b.1", "sleep", "1000")
    assert node.ask(do="signal", folder=str(node.task("a.b.1")), signal=15)["sent"]
    record = node.exit_of("a.b.1")
    assert (record["code"], record["signal"]) == (None, 15)
    assert not identities(answer)[1].alive()


def test_a_command_that_cannot_be_executed_is_one_clear_error(node: Node) -> None:
    answer = node.start("a.b.1", "no-such-command")
    assert answer == {"error": "cannot execute no-such-command: No such file or directory"}
    assert records.read(str(node.task("a.b.1") / records.RUNNING)) is None
    assert node.ask(do="list")["running"] == []


@pytest.mark.parametrize(("there", "said"), [(False, "No such file or directory"), (True, "Permission denied")])
def test_a_program_is_looked_for_where_a_shell_would_and_missed_in_the_words_of_one(
    tmp_path: Path, there: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of PATH that may not be searched hides nothing that is there: `execve` is played, since root may all."""
    closed, program = tmp_path / "closed", tmp_path / "open" / "tool"
    program.parent.mkdir()
    if there:
        program.write_text("not executable")

    def refuse(path: str, *_: object) -> None:
        hidden = path.startswith(str(closed))
        raise PermissionError(13, "Permission denied") if hidden or there else FileNotFoundError(2, "No such file")

    monkeypatch.setattr(command.os, "execve", refuse)
    with pytest.raises(OSError) as caught:
        command.execute(["tool"], {"PATH": f"{closed}:{program.parent}"})
    assert caught.value.strerror.startswith(said[:12])  # type: ignore[union-attr]


def test_a_start_is_idempotent(node: Node) -> None:
    first = node.start("a.b.1", "sleep", "1000")
    assert node.start("a.b.1", "sleep", "1000") == first
    assert node.ask(do="list")["running"] == [str(node.task("a.b.1"))]


def test_input_is_given_and_ends(node: Node) -> None:
    node.start("a.b.1", "cat", input="one\ntwo\n")
    assert node.exit_of("a.b.1")["code"] == 0
    assert node.output("a.b.1") == "one\ntwo\n"


def test_logs_are_bounded(node: Node) -> None:
    node.start("a.b.1", sys.executable, "-c", "for i in range(40000): print(i)", log_bytes=50_000, log_files=2)
    assert node.exit_of("a.b.1")["code"] == 0
    files = sorted((node.task("a.b.1") / "logs").iterdir())
    assert {file.name for file in files} - {"stderr"} == {"order", "stdout", "stdout.1"}
    assert all(file.stat().st_size <= 50_000 + 65536 for file in files)
    assert node.output("a.b.1").endswith("39999\n")


def test_descendants_that_left_session_and_group_are_ended(node: Node) -> None:
    daemon = (
        "import os,sys,time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        os.environ.clear()\n"
        "        os.execve(sys.executable, [sys.executable, '-c', "
        "'import time,os;print(os.getpid(),flush=True);time.sleep(1000)'], {})\n"
        "    time.sleep(1000)\n"
        "time.sleep(1000)\n"
    )
    node.start("a.b.1", sys.executable, "-c", daemon)
    daemon_pid = int(eventually(lambda: node.output("a.b.1"), "the daemon spoke"))
    daemon_process = Identity.of(daemon_pid)
    assert daemon_process is not None
    assert daemon_process.alive()
    node.ask(do="signal", folder=str(node.task("a.b.1")), signal=15)
    record = node.exit_of("a.b.1")
    assert record["signal"] == 15
    assert record["leftovers"] >= 2
    assert not daemon_process.alive()


def test_sigterm_to_the_shim_kills_what_ignores_sigterm(node: Node) -> None:
    node.start("a.b.1", "sh", "-c", "trap '' TERM; echo on; while true; do sleep 1000; done")
    eventually(lambda: node.output("a.b.1"), "the trap is set")
    node.ask(do="signal", folder=str(node.task("a.b.1")), signal=15)
    node.ask(do="signal", folder=str(node.task("a.b.1")), signal=15, to="shim")
    assert node.exit_of("a.b.1")["signal"] == 9


def test_tasks_outlive_the_launcher_and_a_new_one_reaches_them(node: Node) -> None:
    _, task = identities(node.start("a.b.1", "sh", "-c", "sleep 1000 & wait; exit 3"))
    node.process.kill()
    node.restart_launcher()
    assert task.alive()
    assert node.ask(do="list")["running"] == [str(node.task("a.b.1"))]
    node.ask(do="signal", folder=str(node.task("a.b.1")), signal=15)
    assert node.exit_of("a.b.1")["signal"] == 15


def test_a_task_that_ends_while_no_launcher_runs_leaves_its_exit_code(node: Node) -> None:
    gate = node.folder / "gate"
    os.mkfifo(gate)
    node.start("a.b.1", "sh", "-c", f"read x < '{gate}'; exit 5")
    node.process.kill()
    node.process.wait(PATIENCE_S)
    gate.write_text("go\n")
    assert node.exit_of("a.b.1")["code"] == 5


def test_a_dead_shim_takes_its_task_with_it(node: Node) -> None:
    shim, task = identities(node.start("a.b.1", "sleep", "1000"))
    assert shim.send(signal.SIGKILL)
    eventually(lambda: not task.alive(), "the task died with its shim")
    assert records.read(str(node.task("a.b.1") / records.EXIT)) is None


def test_everything_ends_when_the_data_folder_is_deleted(node: Node) -> None:
    shim, task = identities(node.start("a.b.1", "sleep", "1000"))
    while node.data.exists():  # Somebody may be writing into it until he notices.
        shutil.rmtree(node.data, ignore_errors=True)
    eventually(lambda: not task.alive() and not shim.alive(), "task and shim ended")
    assert node.process.wait(PATIENCE_S) == 0


def test_everything_ends_when_the_data_folder_is_moved_away(node: Node) -> None:
    shim, task = identities(node.start("a.b.1", "sleep", "1000"))
    node.data.rename(node.data.with_name("elsewhere"))
    eventually(lambda: not task.alive() and not shim.alive(), "task and shim ended")
    assert node.process.wait(PATIENCE_S) == 0


def test_a_second_launcher_leaves_the_first_alone(node: Node) -> None:
    second = begin.start_launcher(str(node.folder), str(node.data))
    assert second.wait(PATIENCE_S) == 0
    assert node.ask(do="list") == {"ok": True, "running": []}


def test_malformed_requests_are_answered_or_dropped_and_harm_nobody(node: Node) -> None:
    assert "unknown request" in node.ask(do="dance")["error"]
    assert "malformed" in node.ask(do="start")["error"]
    assert "not a folder of a task" in node.ask(do="start", folder="/tmp", name="x")["error"]
    with sockets.connect(begin.socket_of(str(node.folder)), PATIENCE_S) as client:
        client.sendall(b"no json\n")
        assert client.recv(100) == b""
    assert node.ask(do="list")["ok"]


def test_the_socket_is_for_its_owner_only(node: Node) -> None:
    assert Path(begin.socket_of(str(node.folder))).stat().st_mode & 0o777 == 0o600


def test_a_shim_costs_little_memory(node: Node) -> None:
    for number in range(8):
        node.start(f"a.b.{number}", "sleep", "1000")
    shims = [json.loads((node.task(f"a.b.{n}") / records.RUNNING).read_text())["shim"]["pid"] for n in range(8)]
    totals = [pss_kib(pid) for pid in shims]
    assert sorted(totals)[4] < 4096, totals


def pss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise AssertionError("no Pss")


def test_quit_is_refused_while_tasks_run(node: Node) -> None:
    node.start("a.b.1", "sleep", "1000")
    assert node.ask(do="quit") == {"error": "1 tasks run"}
    node.ask(do="signal", folder=str(node.task("a.b.1")), signal=9)
    node.exit_of("a.b.1")
    eventually(lambda: node.ask(do="list")["running"] == [], "the shim is gone")
    assert node.ask(do="quit") == {"ok": True}
    assert node.process.wait(PATIENCE_S) == 0


def test_an_identity_is_not_its_successor() -> None:
    process = subprocess.Popen(["sleep", "1000"])
    identity = Identity.of(process.pid)
    assert identity is not None
    assert identity.alive()
    assert not identity._replace(start_ticks=identity.start_ticks + 1).alive()
    assert not identity._replace(boot_id="another").send(signal.SIGKILL)
    assert identity.send(signal.SIGKILL)
    process.wait()
    assert not identity.send(signal.SIGKILL)
    assert Identity.from_json(json.loads(json.dumps(identity.to_json()))) == identity

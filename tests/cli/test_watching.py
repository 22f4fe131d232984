"""``status --watch`` without a terminal: each change a line, or the whole status again, until Ctrl-C."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fake_master import FakeMaster
from upcall.cli.watching import AWAY, changes, facts
from upcall.protocol.operator import NodeView, OperationView, ServiceView, Status

WAIT_S = 120


def status(*, used: float = 1.0, waits: str = "", state: str = "up", ready: int = 2) -> Status:
    operation = OperationView(
        id="op-3", kind="stop", klass="windowed", state="open", target="node-1", member="hello.web-1", reason="",
        asked_by="ann", waits_for=waits,
    )  # fmt: skip
    service = ServiceView(
        name="hello", package="hello", version="1", revision=1, state="running", ready=ready, wanted=2
    )
    return Status(
        cluster="c", version="1", master_since=0.0, event_sequence=0, services=[service],
        nodes=[NodeView(name="node-1", state=state, memory_used_mib=used)], operations=[operation] if waits else [],
    )  # fmt: skip


def test_what_only_counts_is_no_change() -> None:
    before = facts(status(waits="deferred by hello for 3 s"))
    assert changes(before, facts(status(used=99.0, waits="deferred by hello for 77 s"))) == []


def test_each_change_is_a_line() -> None:
    before = facts(status())
    now = facts(status(state="draining", ready=1, waits="deferred by hello"))
    assert changes(before, now) == [
        "node node-1: draining",
        "service hello: running 1/2",
        "op-3 stop of hello.web-1: open: deferred by hello",
    ]
    assert changes(now, {}) == ["node node-1: gone", "service hello: gone", "op-3 stop of hello.web-1: over"]
    assert changes({AWAY: "does not answer"}, {}) == ["the master: answers again"]


@contextmanager
def watched(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "upcall.cli", "status", "--watch", "--data", str(folder), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=WAIT_S)
        assert process.returncode == 130


def line_with(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    return next(line for line in process.stdout if words in line)


def test_a_log_gets_a_line_for_each_change(folder: Path, master: FakeMaster) -> None:
    with watched(folder) as process:
        assert line_with(process, "no services; `upcall catalog`")
        master.add_service("hello", 2)
        master.happens("service", "hello", "wanted")
        assert line_with(process, "service hello: deploying 0/2")
        master.nodes["node-2"].state = "draining"
        master.happens("node", "node-2", "is drained")
        assert line_with(process, "node node-2: draining")


def test_a_program_gets_an_object_a_line_for_each_change(folder: Path, master: FakeMaster) -> None:
    with watched(folder, "--output", "json") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["services"] == []
        master.add_service("hello", 2)
        master.happens("service", "hello", "wanted")
        found = json.loads(process.stdout.readline())
        assert [one["name"] for one in found["services"]] == ["hello"]

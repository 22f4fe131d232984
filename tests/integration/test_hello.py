"""A service of one's own, end to end: the whole system with real processes."""

import os
import signal
import urllib.request
from pathlib import Path

import pytest
from real_cluster import Cluster

from upcall.protocol.operator import Ask, Drain, TaskView

pytestmark = pytest.mark.root

HELLO = str(Path(__file__).parents[2] / "examples" / "hello.py")
BROKEN = """    async def may_stop(self, member: up.Member, why: up.Operation) -> up.Verdict:
        raise RuntimeError("my may_stop is broken")
"""
MEMBERS = ("hello.web-0", "hello.web-1", "hello.web-2")


@pytest.fixture(scope="module")
def hello(cluster: Cluster) -> Cluster:
    cluster.upcall("install", HELLO, "--set", "count=3")
    return cluster


def says(cluster: Cluster, task: TaskView) -> str:
    with urllib.request.urlopen(f"http://{task.address}:{task.ports['http']}/") as response:
        return str(response.read().decode())


def test_hello_is_under_30_lines() -> None:
    assert len(Path(HELLO).read_text().splitlines()) < 30


def test_each_member_answers_on_another_node(hello: Cluster) -> None:
    tasks = hello.until_ready(*MEMBERS)
    assert len({task.node for task in tasks}) == 3
    assert says(hello, tasks[0]) == f"hello, world from {tasks[0].name}\n"


def test_it_scales_in_and_out_and_is_refused_where_there_is_no_room(hello: Cluster) -> None:
    launched = [task.task for task in hello.until_ready(*MEMBERS)]
    refused = hello.upcall("scale", "hello", "4", check=False)
    assert refused.returncode == 1
    assert "no place for web-3: needs a node" in refused.stderr
    would = hello.upcall("scale", "hello", "4", "--dry-run", check=False)
    assert "would be declined: no place for web-3" in would.stdout
    assert would.returncode == 1
    hello.upcall("scale", "hello", "2")
    assert [task.member for task in hello.client.service("hello").members] == ["hello.web-0", "hello.web-1"]
    hello.upcall("scale", "hello", "3", "--reason", "three after all")
    after = [task.task for task in hello.until_ready(*MEMBERS)]
    assert after[:2] == launched[:2], "nobody else was touched"
    assert hello.client.service("hello").options["count"] == 3


def test_a_process_that_dies_comes_back_in_place(hello: Cluster) -> None:
    before = hello.until_ready("hello.web-1")[0]
    (pid,) = [pid for pid in _pids(hello) if f"--bind\0{before.address}\0" in _words(pid)]
    os.kill(pid, signal.SIGKILL)
    after = hello.until(
        "the next incarnation is ready",
        lambda: next((t for t in hello.until_ready("hello.web-1") if t.incarnation > before.incarnation), None),
    )
    assert (after.node, after.address) == (before.node, before.address)
    assert "hello, world" in says(hello, after)


def test_a_drained_member_is_held_until_undrain(hello: Cluster) -> None:
    before = hello.until_ready("hello.web-0")[0]
    hello.until_ready(*MEMBERS)
    drain = hello.client.operation_of(f"/v1/nodes/{before.node}/drain", Drain(reason="new memory"))
    hello.until("the drain is done", lambda: hello.client.operation(drain.id).state == "done")
    held = hello.task("hello.web-0")
    assert (held.state, held.node) == ("held", before.node)
    text = [event.text for event in hello.client.events(limit=200)]
    assert any(line.startswith("hello on stop of hello.web-0.") and ": accept" in line for line in text)
    hello.client.operation_of(f"/v1/nodes/{before.node}/undrain", Ask())
    after = hello.until_ready("hello.web-0")[0]
    assert (after.node, after.address, after.incarnation) == (before.node, before.address, before.incarnation + 1)


@pytest.mark.parametrize("name", ["master", "host", "agent-node-2"])
def test_tasks_outlive_the_sigkill_of(hello: Cluster, name: str) -> None:
    before = {task.member: task.task for task in hello.until_ready(*MEMBERS)}
    pid = hello.kill(name)
    hello.until_restarted(name, pid)
    after = hello.until_ready(*MEMBERS)
    assert {task.member: task.task for task in after} == before
    assert all("hello, world" in says(hello, task) for task in after)
    hello.until("its code is connected", lambda: hello.client.service("hello").state == "running")


def test_a_restart_that_nobody_answers_waits_until_a_person_forces_it(hello: Cluster) -> None:
    before = hello.until_ready(*MEMBERS)[1]
    hello.kill("host", signal.SIGSTOP)
    try:
        asked = hello.client.operation_of(f"/v1/tasks/{before.member}/restart", Ask(reason="it leaks"))
        why = hello.client.why(asked.id)
        assert "waits for hello" in why.lines[0]
        assert hello.task(before.member).task == before.task
        hello.client.operation_of(f"/v1/operations/{asked.id}/force", Ask(reason="the host is stopped"))
        hello.until("it is restarted", lambda: hello.task(before.member).incarnation > before.incarnation)
        hello.until("it is done", lambda: hello.client.operation(asked.id).state == "done")
        assert hello.client.operation(asked.id).forced_reason == "the host is stopped"
    finally:
        hello.kill("host", signal.SIGCONT)


def test_why_says_what_broke_in_code_that_does_not_answer(hello: Cluster, tmp_path: Path) -> None:
    own = tmp_path / "broken.py"
    text = Path(HELLO).read_text().replace("class Hello(", "class Broken(")
    own.write_text(text.split("    async def may_stop")[0] + BROKEN)
    hello.upcall("install", str(own))
    asked = hello.client.operation_of("/v1/tasks/broken.web-0/restart", Ask(reason="it leaks"))
    hello.until(
        "why says it", lambda: any("my may_stop is broken" in line for line in hello.client.why(asked.id).lines)
    )
    assert hello.client.operation(asked.id).state == "open"
    hello.upcall("uninstall", "broken")


def test_logs_of_a_member_can_be_read(hello: Cluster) -> None:
    task = hello.until_ready("hello.web-2")[0]
    says(hello, task)
    assert '"GET / HTTP/1.1" 200' in hello.upcall("logs", "hello.web-2").stdout


def test_uninstall_leaves_nothing_behind(hello: Cluster) -> None:
    hello.upcall("uninstall", "hello")
    assert hello.client.services() == []
    assert [task for task in hello.client.tasks() if task.service == "hello"] == []
    hello.until("no process is left", lambda: not _pids(hello))


def _pids(cluster: Cluster) -> list[int]:
    """Processes of hello's members."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit()
        and "http.server" in (words := _words(int(entry.name)))
        and str(cluster.data) in _environ(entry) + words
    ]


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _environ(entry: Path) -> str:
    try:
        return (entry / "environ").read_bytes().decode(errors="replace") + str((entry / "cwd").readlink())
    except OSError:
        return ""

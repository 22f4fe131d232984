"""No other path reaches a running task, on real processes: drain, uninstall, recovery, health, ``task restart``, crash.

Everything that ends a task is done to one service; then the journal, and what the tasks themselves wrote down, are
compared. Every end names an operation that had begun before, unless nobody of ours ended it.
"""

import os
import signal
from pathlib import Path

import pytest
from real_cluster import Cluster, pids_of

from upcall.protocol.operator import Ask, Drain, Event, TaskView

WITNESS = str(Path(__file__).parent / "packages" / "witness.py")
MEMBERS = ("witness.w-0", "witness.w-1", "witness.w-2")
EVENTS_MAX = 10_000


@pytest.fixture
def witness(own_cluster: Cluster, tmp_path: Path) -> Cluster:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    own_cluster.up("--share", str(shared))
    book = f"book={shared / 'book'}"
    own_cluster.upcall("install", WITNESS, "--set", "count=3", "--set", book)
    return own_cluster


def test_every_end_in_the_journal_names_an_operation_that_had_begun(witness: Cluster, tmp_path: Path) -> None:
    crashed = crash(witness, "witness.w-0")
    restart(witness, "witness.w-1")
    fall_ill(witness, "witness.w-2")
    drained = drain(witness, "witness.w-0")
    lost = lose_its_node(witness, "witness.w-1")
    witness.until_ready(*MEMBERS)
    witness.upcall("uninstall", "witness")
    events = witness.client.events(since=0, limit=EVENTS_MAX, detail=True)
    assert events[0].sequence == 1, "the whole journal"

    begun = {e.data["operation"]: e for e in events if e.kind == "operation" and e.data.get("to") == "executing"}
    ends = [e for e in events if e.kind == "task" and e.data.get("state") == "ended"]
    for end in ends:
        if end.subject in (crashed, lost):
            continue
        named = begun.get(end.data.get("operation", ""))
        assert named is not None, f"{end.subject} ended ({end.text}) and no operation had begun"
        assert named.sequence < end.sequence

    # Nobody of ours ended the one that crashed; its loss was proposed afterwards.
    assert of(ends, crashed).data.get("operation", "") == ""
    # What was on the lost node was ended for the loss that waited for that proof, and only then was it replaced.
    proof = of(ends, lost)
    assert proof.data.get("operation", "") in begun
    assert proof.sequence < begun[proof.data.get("operation", "")].sequence
    assert why_ended(events, proof) == ("lost", "involuntary")

    causes = {why_ended(events, end) for end in ends if end.data.get("operation", "")}
    assert causes == {
        ("restart", "voluntary"),  # task restart
        ("restart", "cure"),  # health
        ("stop", "windowed"),  # drain
        ("lost", "involuntary"),  # recovery
        ("uninstall", "voluntary"),
    }
    assert why_ended(events, of(ends, drained)) == ("stop", "windowed")

    # As the tasks themselves saw it: whoever was told to end, was so by one of these; the others were killed.
    said = [line.partition(" ") for line in (tmp_path / "shared" / "book").read_text().splitlines()]
    assert {task for task, _, what in said if what == "begins"} == {end.subject for end in ends}
    assert {task for task, _, what in said if what == "told to end"} == {
        end.subject for end in ends if end.subject not in (crashed, lost)
    }


# -- what ends a task -----------------------------------------------------------------------------------------------


def crash(cluster: Cluster, member: str) -> str:
    task = one(cluster, member)
    os.kill(pid_of(task), signal.SIGKILL)
    until_newer(cluster, task)
    return task.task


def restart(cluster: Cluster, member: str) -> None:
    task = one(cluster, member)
    cluster.upcall("task", "restart", member)
    until_newer(cluster, task)


def fall_ill(cluster: Cluster, member: str) -> None:
    task = one(cluster, member)
    Path(f"/proc/{pid_of(task)}/cwd/well").unlink()
    until_newer(cluster, task)


def drain(cluster: Cluster, member: str) -> str:
    task = one(cluster, member)
    drain = cluster.client.operation_of(f"/v1/nodes/{task.node}/drain", Drain())
    cluster.until("the drain is done", lambda: cluster.client.operation(drain.id).state == "done")
    cluster.client.operation_of(f"/v1/nodes/{task.node}/undrain", Ask())
    until_newer(cluster, task)
    return task.task


def lose_its_node(cluster: Cluster, member: str) -> str:
    """Its agent hangs; the task itself runs on, until its node is given up."""
    task = one(cluster, member)
    pid = pid_of(task)
    cluster.kill(f"agent-{task.node}", signal.SIGSTOP)
    until_newer(cluster, task)
    assert not Path(f"/proc/{pid}").exists(), "never two"
    return task.task


# -- looking --------------------------------------------------------------------------------------------------------


def one(cluster: Cluster, member: str) -> TaskView:
    """The member's task, when all are ready: then its service accepts."""
    return next(task for task in cluster.until_ready(*MEMBERS) if task.member == member)


def until_newer(cluster: Cluster, before: TaskView) -> None:
    def newer() -> bool:
        task = cluster.task(before.member)
        return task.incarnation > before.incarnation and task.state == "ready"

    cluster.until(f"the next incarnation of {before.member} is ready", newer)


def pid_of(task: TaskView) -> int:
    """Of its command; the shim that watches it has another."""
    (pid,) = pids_of(f"witness.{task.name}.{task.incarnation}")
    return pid


def of(ends: list[Event], task: str) -> Event:
    (found,) = [end for end in ends if end.subject == task]
    return found


def why_ended(events: list[Event], end: Event) -> tuple[str, str]:
    proposed = next(
        e
        for e in events
        if e.kind == "operation" and e.data.get("to") == "open" and e.subject == end.data.get("operation", "")
    )
    return proposed.data["kind"], proposed.data["class"]

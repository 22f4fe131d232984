"""What tests of this folder do with members of a service: find their processes, drain their nodes, lose them."""

import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from real_cluster import Cluster

from upcall.protocol.errors import NotNow
from upcall.protocol.operator import ActionView, Ask, Drain, OperationView, TaskView, Why

Begin = Callable[..., Cluster]
"""``begin(*install, nodes=, memory_mib_per_node=)``: a cluster with one service installed."""

WAIT_S = 900.0
"""A condition, not a speed."""


def act(cluster: Cluster, service: str, action: str, **arguments: Any) -> Any:
    """Begun and waited for, as the command line does. A host that was killed before comes back first."""
    begun: list[str] = []

    def said() -> list[Any] | None:
        try:
            if not begun:
                begun.append(cluster.client.post(f"/v1/services/{service}/actions/{action}/begin", arguments)["id"])
            found = ActionView.model_validate(cluster.client.get(f"/v1/actions/{begun[0]}"))
        except NotNow:
            return None
        if found.state == "running":
            return None
        if found.state != "done" and found.waiting_helps:
            begun.clear()
            return None
        assert found.state == "done", f"{action} of {service}: {found.error}"
        return [found.result]

    return cluster.until(f"{service} does {action}", said, WAIT_S)[0]


def incarnations(cluster: Cluster, *members: str) -> list[int]:
    return [cluster.task(member).incarnation for member in members]


def jvm_of(cluster: Cluster, task: TaskView, main_class: str) -> int:
    """The process of a member: the one with its main class whose working folder is the member's sandbox."""
    sandbox = str(cluster.data / "nodes" / task.node / "tasks" / task.task / "sandbox")
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if main_class in words and str((entry / "cwd").readlink()) == sandbox:
                found.append(int(entry.name))
        except OSError:
            continue
    assert len(found) == 1, f"processes of {task.task} in {sandbox}: {found}"
    return found[0]


def kill(cluster: Cluster, task: TaskView, main_class: str) -> None:
    os.kill(jvm_of(cluster, task, main_class), signal.SIGKILL)


def lose_node(cluster: Cluster, task: TaskView, main_class: str) -> None:
    """Nothing is heard of the member's node any more, and nothing on it works: its agent stands still, its process
    is gone."""
    cluster.kill(f"agent-{task.node}", signal.SIGSTOP)
    kill(cluster, task, main_class)


def empty_volume(cluster: Cluster, task: TaskView, *, place: int = 1) -> None:
    """Somebody deletes all that a running member has in its volume."""
    volume = cluster.data / "nodes" / task.node / "volumes" / task.member / str(place) / "data"
    entries = list(volume.iterdir())
    assert entries, f"nothing lies in {volume}"
    for entry in entries:
        # What runs on may write meanwhile.
        shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)


def output(cluster: Cluster, task: TaskView) -> str:
    """What the task said, also when it has ended."""
    logs = cluster.data / "nodes" / task.node / "tasks" / task.task / "logs"
    return "".join(log.read_text(errors="replace") for log in logs.iterdir())


def tells_progress(cluster: Cluster, task: TaskView, expressions: tuple[str, ...]) -> bool:
    """Whether the task's output holds such a line."""
    said = output(cluster, task)
    return any(re.search(one, said) for one in expressions)


def drain(cluster: Cluster, node: str) -> OperationView:
    return cluster.client.operation_of(f"/v1/nodes/{node}/drain", Drain(reason="new memory"))


def undrain(cluster: Cluster, node: str) -> None:
    cluster.client.operation_of(f"/v1/nodes/{node}/undrain", Ask())


def until_done(cluster: Cluster, operation: OperationView) -> None:
    cluster.until(f"{operation.id} is done", lambda: cluster.client.operation(operation.id).state == "done", WAIT_S)


def until_why(cluster: Cluster, operation: OperationView, words: str) -> str:
    """Waits until ``upcall why`` says it; the whole of what it says."""

    def look() -> str:
        text = "\n".join(_lines(cluster.client.why(operation.id)))
        return text if words in text else ""

    return cluster.until(f"`why` says {words!r}", look, WAIT_S)


def _lines(why: Why) -> list[str]:
    return [*why.lines, *(line for child in why.children for line in _lines(child))]


def until_next_incarnation(cluster: Cluster, before: TaskView, *, elsewhere: bool = False) -> TaskView:
    """The member, ready again as a later incarnation; ``elsewhere``: on another node."""

    def look() -> TaskView | None:
        now = cluster.task(before.member)
        later = now.incarnation > before.incarnation and now.state == "ready"
        return now if later and (now.node != before.node or not elsewhere) else None

    found = cluster.until(f"{before.member} is ready again", look, WAIT_S)
    assert found is not None
    return found

"""What nobody asked for: a process is killed, a volume emptied, a node lost for good, records are deleted."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Final

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from benchmarks.cluster import Broken, OwnCluster
from benchmarks.load import KEY_BYTES, PAYLOAD, Client
from upcall.protocol.operator import TaskView

JAVA: Final = "java"
DELETED: Final = 10
"""Records of each partition."""
ASKED_S: Final = 60.0


def kill(cluster: OwnCluster, task: TaskView) -> None:
    """The member's own process, by SIGKILL: the Java one whose working folder is its sandbox."""
    sandbox = str(cluster.data / "nodes" / task.node / "tasks" / task.task / "sandbox")
    found = [process for process in _running() if _works_in(process, sandbox)]
    if not found:
        raise Broken(f"no process of {task.task} works in its sandbox")
    for process in found:
        os.kill(process, signal.SIGKILL)


def empty_volume(cluster: OwnCluster, task: TaskView) -> None:
    """Somebody deletes all that a running member has in its volume."""
    places = sorted((cluster.data / "nodes" / task.node / "volumes" / task.member).iterdir(), key=_number)
    for entry in (places[-1] / "data").iterdir():
        # What runs on may write meanwhile.
        shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)


def lose_node(cluster: OwnCluster, task: TaskView) -> None:
    """Nothing is heard of the member's node any more, and nothing on it works."""
    os.kill(process_of(cluster, f"agent-{task.node}"), signal.SIGSTOP)
    kill(cluster, task)


def process_of(cluster: OwnCluster, name: str) -> int:
    """One of ours (``master``, ``host``, ``agent-node-1``), as the keeper's status says."""
    status = json.loads((cluster.data / "keeper" / "status.json").read_bytes())
    for each in status["processes"]:
        if each["name"] == name and (identity := each.get("identity")):
            return int(identity["pid"])
    raise Broken(f"{name} does not run")


def delete_records(client: Client, topic: str, partitions: int) -> None:
    """The first ones, though they were acknowledged."""
    first = [TopicPartition(topic, number, DELETED) for number in range(partitions)]
    admin = AdminClient({**client, "log_level": 2})  # Held: without it nobody answers.
    for each in admin.delete_records(first).values():
        each.result(ASKED_S)


def write_again(client: Client, topic: str, number: int) -> None:
    """A write that stands there already."""
    producer = Producer({**client, "acks": "all", "log_level": 2})
    producer.produce(topic, PAYLOAD, number.to_bytes(KEY_BYTES, "big"))
    producer.flush(ASKED_S)


def _number(place: Path) -> int:
    return int(place.name) if place.name.isdigit() else 0


def _running() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _works_in(process: int, folder: str) -> bool:
    try:
        entry = Path("/proc") / str(process)
        return str((entry / "cwd").readlink()) == folder and (entry / "exe").readlink().name == JAVA
    except OSError:
        return False

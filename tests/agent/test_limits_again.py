"""A launch that is said again with other resources: what changes of a task that runs."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from upcall.agent.agent import Agent
from upcall.agent.checkpoint import Checkpoint, TaskRecord
from upcall.agent.connection import Connection
from upcall.agent.machine import Machine
from upcall.protocol.agent import Launch, Registered, TaskStatus
from upcall.protocol.declaration import Declaration, Resources

GROUPS = {"memory": "/sys/fs/cgroup/memory/x"}


class Limits:
    """Control groups that remember what they were told, and may refuse it."""

    features = ()
    count_processes = False

    def __init__(self) -> None:
        self.said: list[tuple[float, int]] = []
        self.refuses: OSError | None = None

    def limit(self, groups: Mapping[str, str], cpus: float, memory_mib: int) -> None:
        assert groups == GROUPS
        if self.refuses is not None:
            raise self.refuses
        self.said.append((cpus, memory_mib))


class Running:
    """An agent with one task that is ready, without its processes."""

    def __init__(self, folder: Path, memory_mib: int) -> None:
        self.limits = Limits()
        self.checkpoint = Checkpoint(folder / "checkpoint")
        machine = SimpleNamespace(groups=self.limits, checkpoint=self.checkpoint, over={}, node="node-1")
        connection = SimpleNamespace(send=lambda message: None)
        self.agent = Agent(cast(Machine, machine), cast(Connection, connection), cpus=1, memory_mib=4096)
        launch = _launch(1, memory_mib)
        self.record = TaskRecord(launch=launch, state="ready", groups=GROUPS, memory_mib=memory_mib)
        self.agent._add(self.record, {})
        self.agent.received(Registered(cluster="test"))

    def said(self) -> TaskStatus:
        return self.checkpoint.state.unacknowledged[-1].status


def _launch(generation: int, memory_mib: int, cpus: float = 0.5) -> Launch:
    resources = Resources(cpus=cpus, memory_mib=memory_mib)
    declaration = Declaration(command=("x",), resources=resources)
    return Launch(task="db.node-0.1", declaration=declaration, generation=generation, fence=1, address="127.0.0.1")


@pytest.fixture
async def running(tmp_path: Path) -> Any:
    await asyncio.sleep(0)
    return Running(tmp_path, 512)


async def test_more_memory_and_another_weight_count_at_once(running: Running) -> None:
    running.agent.received(_launch(2, 1024, cpus=2.0))
    assert running.limits.said == [(2.0, 1024)]
    assert (running.said().generation, running.said().reason) == (2, "")


async def test_less_memory_counts_from_the_next_start_on(running: Running) -> None:
    """A limit below what it holds would kill it, outside of any operation."""
    running.agent.received(_launch(2, 256))
    assert running.limits.said == [(0.5, 512)]
    assert running.said().reason == "keeps its 512 MiB until it is started anew"
    running.agent.received(_launch(3, 384))
    assert running.limits.said[-1] == (0.5, 512), "more than what was declared last, less than what it has"
    running.agent.received(_launch(4, 768))
    assert running.limits.said[-1] == (0.5, 768)


async def test_limits_that_the_kernel_refuses_are_told_and_break_nothing(running: Running) -> None:
    running.limits.refuses = OSError(16, "Device or resource busy")
    running.agent.received(_launch(2, 1024))
    assert (running.said().state, running.said().generation) == ("ready", 2)
    assert running.said().reason == "keeps its limits until it is started anew: Device or resource busy"
    running.limits.refuses = None
    running.agent.received(_launch(3, 700))
    assert running.limits.said == [(0.5, 700)], "what was refused does not count as given"


async def test_the_same_again_changes_nothing(running: Running) -> None:
    running.agent.received(_launch(1, 512))
    assert running.limits.said == []

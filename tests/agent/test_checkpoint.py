import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from upcall.agent.checkpoint import UNACKNOWLEDGED_MAX, Checkpoint, TaskRecord
from upcall.protocol import versions
from upcall.protocol.agent import Launch, TaskStatus
from upcall.protocol.declaration import Declaration
from upcall.protocol.errors import Conflict


@contextlib.asynccontextmanager
async def writing(checkpoint: Checkpoint) -> AsyncIterator[None]:
    writer = asyncio.create_task(checkpoint.keep_writing())
    try:
        yield
    finally:
        writer.cancel()


def status(state: str) -> TaskStatus:
    return TaskStatus(task="a.b.1", state=state)


async def test_what_is_durable_is_read_back(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint.json")
    launch = Launch(task="a.b.1", declaration=Declaration(command=("x",)), generation=1, fence=1, address="127.1.1.1")
    checkpoint.state.tasks["a.b.1"] = TaskRecord(launch=launch, state="running")
    said = checkpoint.say(status("running"))
    async with writing(checkpoint):
        await checkpoint.durable()
    again = Checkpoint(tmp_path / "checkpoint.json")
    assert again.state == checkpoint.state
    assert again.state.unacknowledged == [said]
    assert again.say(status("ready")).number == said.number + 1
    assert (tmp_path / "checkpoint.json").stat().st_mode & 0o777 == 0o600


async def test_acknowledged_is_forgotten_and_repeating_it_is_harmless(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint.json")
    said = checkpoint.say(status("ready"))
    assert checkpoint.acknowledge(said.number) == status("ready")
    assert checkpoint.acknowledge(said.number) is None
    assert checkpoint.state.unacknowledged == []


async def test_unacknowledged_statuses_are_bounded_and_the_last_is_kept(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint.json")
    for number in range(100):
        checkpoint.say(status("ready" if number % 2 else "unready"))
    numbers = [said.number for said in checkpoint.state.unacknowledged]
    assert len(numbers) == UNACKNOWLEDGED_MAX
    assert numbers[0] == 1
    assert numbers[-1] == 100


async def test_a_write_that_fails_is_told_and_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    checkpoint = Checkpoint(folder / "checkpoint.json")
    async with writing(checkpoint):
        with pytest.raises(OSError, match="No such file"):
            await checkpoint.durable()
        folder.mkdir()
        await checkpoint.durable()
    assert (folder / "checkpoint.json").exists()


def test_a_newer_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.json"
    path.write_text('{"version": 99, "tasks": {"what": "ever"}}')
    with pytest.raises(Conflict, match="version 99, which is newer than this program"):
        Checkpoint(path)


def test_what_an_older_agent_wrote_down_is_read(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.json"
    launch = {
        "type": "launch",
        "task": "a.b.2",
        "declaration": {"command": ["x"]},
        "generation": 1,
        "place": 3,
        "address": "127.1.1.1",
    }
    said = {"number": 4, "status": {"task": "a.b.2", "state": "ready", "place": 3}}
    tasks = {"a.b.2": {"launch": launch, "state": "ready"}}
    path.write_text(json.dumps({"version": 1, "next_number": 5, "tasks": tasks, "unacknowledged": [said]}))
    state = Checkpoint(path).state
    assert (state.version, state.next_number) == (versions.CHECKPOINT, 5)
    assert (state.tasks["a.b.2"].launch.fence, state.unacknowledged[0].status.fence) == (3, 3)


def test_a_broken_checkpoint_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.json"
    path.write_text('{"version": 1, "tasks": 7}')
    with pytest.raises(Conflict, match=r"the checkpoint cannot be read: .* at .*checkpoint\.json"):
        Checkpoint(path)

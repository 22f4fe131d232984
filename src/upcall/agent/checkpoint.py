"""What an agent must not forget: its tasks, and what it said about them that the master has not acknowledged.

One small file, written anew for each change (beside, synced, renamed): with some dozens of tasks that is a few
kilobytes, and there is no log to replay. Changes that come together share a write. Secrets are not in it: they are
files of the task's own, mode 0600, and come again with the next launch.

Volumes are not listed in it either: their folders are the record (:mod:`upcall.agent.volumes`).
"""

import asyncio
import contextlib
import os
import secrets
from pathlib import Path

import msgspec

from upcall.protocol import versions
from upcall.protocol.agent import Launch, Status, TaskExit, TaskStatus
from upcall.protocol.errors import Conflict

UNACKNOWLEDGED_MAX = 16
"""For each task. Beyond, the oldest but the first go: the last state is what counts."""


WRITE_AGAIN_S = 1.0


class TaskRecord(msgspec.Struct, kw_only=True):
    """One task as the agent knows it."""

    launch: Launch
    """Without its secrets."""
    state: str
    reason: str = ""
    exit: TaskExit | None = None
    was_ready: bool = False
    progress: int = 0
    """How often its start told that it goes on."""
    logged: dict[str, tuple[int, int]] = {}
    """Where its logs stood when it became ready: what a health check of the log looks at comes after."""
    end_reason: str = ""
    """Why it is being ended; part of its exit's reason when the agent decided it."""
    grace_s: float = 0.0
    names: dict[str, str] = {}
    """What its templates stood for, so that tools can run beside it after a restart of the agent."""
    env: dict[str, str] = {}
    groups: dict[str, str] = {}
    """Control group of each controller."""
    memory_mib: int = 0
    """The limit that it runs with: it was declared at its start, or more later. 0: not started yet."""

    def status(self) -> TaskStatus:
        return TaskStatus(
            task=self.launch.task,
            state=self.state,
            reason=self.reason,
            exit=self.exit,
            generation=self.launch.generation,
            fence=self.launch.fence,
            progress=self.progress,
        )


class State(msgspec.Struct, kw_only=True):
    version: int = versions.CHECKPOINT
    next_number: int = 1
    tasks: dict[str, TaskRecord] = {}
    unacknowledged: list[Status] = []


class Checkpoint:
    """The file, and the state that is written to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = _load(path)
        self._dirty = asyncio.Event()
        self._written: list[asyncio.Future[None]] = []

    def say(self, status: TaskStatus) -> Status:
        """A new status, kept until :meth:`acknowledge`."""
        said = Status(number=self.state.next_number, status=status)
        self.state.next_number += 1
        same = [entry for entry in self.state.unacknowledged if entry.status.task == status.task]
        if len(same) >= UNACKNOWLEDGED_MAX:
            self.state.unacknowledged.remove(same[1])
        self.state.unacknowledged.append(said)
        self.changed()
        return said

    def acknowledge(self, number: int) -> TaskStatus | None:
        """The status that is known to the master now; None for a repeated acknowledgement."""
        for entry in self.state.unacknowledged:
            if entry.number == number:
                self.state.unacknowledged.remove(entry)
                self.changed()
                return entry.status
        return None

    def changed(self) -> None:
        self._dirty.set()

    async def durable(self) -> None:
        """Returns once everything changed so far is on disk. ``OSError`` when it cannot be written now."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._written.append(written)
        self._dirty.set()
        await written

    async def keep_writing(self) -> None:
        """Runs for as long as the agent does. A write that fails (disk full) is told to who waits, and tried again."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            waiting, self._written = self._written, []
            data = msgspec.json.encode(self.state)
            try:
                await asyncio.to_thread(write_durably, self.path, data)
            except OSError as error:
                for written in waiting:
                    if not written.done():
                        written.set_exception(OSError(error.errno, error.strerror, str(self.path)))
                self._dirty.set()
                await asyncio.sleep(WRITE_AGAIN_S)
                continue
            for written in waiting:
                if not written.done():
                    written.set_result(None)


def _of_version_1(data: bytes) -> State:
    """A fence was called a place."""
    found = msgspec.json.decode(data)
    launches = [record["launch"] for record in found.get("tasks", {}).values()]
    for one in [*launches, *(said["status"] for said in found.get("unacknowledged", ()))]:
        one["fence"] = one.pop("place", 1)
    return msgspec.convert({**found, "version": versions.CHECKPOINT}, State)


class _Versioned(msgspec.Struct):
    version: int


def _load(path: Path) -> State:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return State()
    try:
        version = msgspec.json.decode(data, type=_Versioned).version
        if version > versions.CHECKPOINT:
            raise Conflict(
                f"the checkpoint has version {version}, which is newer than this program",
                where=str(path),
                expected=f"at most version {versions.CHECKPOINT}",
            )
        return msgspec.json.decode(data, type=State) if version == versions.CHECKPOINT else _of_version_1(data)
    except (msgspec.MsgspecError, AttributeError, LookupError, TypeError) as error:
        raise Conflict(f"the checkpoint cannot be read: {error}", where=str(path)) from None


def write_durably(path: Path, data: bytes, mode: int = 0o600) -> None:
    """The old content or the new, never half of one. Several agents, and several tasks of
    one, may write the same file at once."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with contextlib.closing(os.fdopen(descriptor, "wb", closefd=False)) as file:
            file.write(data)
            file.flush()
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

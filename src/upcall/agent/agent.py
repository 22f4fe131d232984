"""All tasks of one node, and the conversation about them.

Level-triggered: the agent registers with everything that it runs, the master repeats every launch that stands, says
``Synced``, and what was not named is ended. Between two registrations the agent changes nothing by itself; a silent
master is no reason to end a task.

A task's record stays until the master has acknowledged its end; its folder (logs, exit record) a little longer. A
launch that names an incarnation which ended already is answered with that end, and never started again.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import msgspec

from upcall.agent import disk, retention
from upcall.agent.bring_up import member_id
from upcall.agent.checkpoint import TaskRecord
from upcall.agent.connection import Connection, Unusable
from upcall.agent.disk import Disks, room_mib
from upcall.agent.launching import Started
from upcall.agent.machine import Machine
from upcall.agent.requests import Requests
from upcall.agent.task import Task
from upcall.agent.usage import EVERY_S, Usages
from upcall.protocol import versions
from upcall.protocol.agent import (
    Ack,
    DeleteVolumes,
    End,
    Launch,
    ReadLog,
    Register,
    RegisterAgain,
    Registered,
    Run,
    StopReading,
    Synced,
    Taken,
    TaskExit,
    TaskStatus,
    ToAgent,
)

log: Final = logging.getLogger(__name__)

TAKE_OVER_TIMEOUT_S = 10.0
"""For proving dead what ended while no agent ran, before the registration that tells of it."""


class Agent:
    def __init__(
        self,
        machine: Machine,
        connection: Connection,
        *,
        cpus: float,
        memory_mib: int,
        disk_mib: int = 0,
        changed: Callable[[Task], None] = lambda _: None,
    ) -> None:
        """``disk_mib`` 0: what is free now, and what our own volumes hold already. ``changed`` hears of each change of
        a task, as the master does."""
        self._machine = machine
        self._connection = connection
        self._cpus = cpus
        self._memory_mib = memory_mib
        self._disk_mib = disk_mib
        self._heard = changed
        self._boot = uuid.uuid4().hex
        self._tasks: dict[str, Task] = {}
        self._named: set[str] = set()
        """Tasks that the master launched since its last ``Registered``."""
        self._requests = Requests(machine, self._tasks, connection.send)
        self._deletions: list[DeleteVolumes] = []
        self._registered = False
        self._sent = 0
        """Number of the last status sent on this connection."""
        self._to_say = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()

    # -- life -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until it is cancelled. Tasks go on."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._machine.checkpoint.keep_writing())
            await self._take_over()
            group.create_task(self._keep_saying())
            disks = Disks(self._machine)
            group.create_task(self._keep_looking_at(disks))
            group.create_task(self._keep_measuring(disks))
            group.create_task(self._keep_tidy())
            group.create_task(self._connection.run())

    async def close(self) -> None:
        await self._requests.close()
        for task in list(self._tasks.values()):
            await task.let_go()

    async def _take_over(self) -> None:
        machine = self._machine
        if not self._disk_mib:
            self._disk_mib = await asyncio.to_thread(room_mib, machine.places.volumes)
        await machine.launching.ready()
        await machine.runs.end_leftovers()
        await asyncio.to_thread(machine.volumes.empty_removed)
        records = machine.checkpoint.state.tasks
        for folder in list(machine.places.tasks.iterdir()):
            started = Started.find(folder)
            if started and folder.name not in records and started.shim.alive():
                log.warning("%s runs here and nobody knows it: killed", folder.name)
                await machine.launching.kill(started)
                await started.over()
        proofs = []
        for name, record in list(records.items()):
            started = Started.find(machine.places.task(name))
            if record.state in ("placed", "fetching", "starting") and started is None:
                del records[name]  # It never ran; its launch comes again.
                continue
            task = self._add(record, {})
            if record.state != "ended" and (proof := task.take_over()):
                proofs.append(proof)
        if proofs:
            await asyncio.wait(proofs, timeout=TAKE_OVER_TIMEOUT_S)
        machine.checkpoint.changed()
        self._tidy()

    def _add(self, record: TaskRecord, secrets: Mapping[str, str]) -> Task:
        task = Task(self._machine, record, self._task_changed, secrets)
        self._tasks[task.id] = task
        self._machine.over[task.id] = task.over
        return task

    def _task_changed(self, task: Task) -> None:
        self._say(task.record.status())
        self._heard(task)
        if task.state == "ended":
            self._delete_volumes()

    # -- to the master --------------------------------------------------------------------------------------------

    def _say(self, status: TaskStatus) -> None:
        self._machine.checkpoint.say(status)
        self._to_say.set()

    async def _keep_saying(self) -> None:
        """Statuses in their order, each written down before it is sent."""
        checkpoint = self._machine.checkpoint
        while True:
            await self._to_say.wait()
            self._to_say.clear()
            written = checkpoint.state.next_number  # What is said while this is being written waits for the next turn.
            try:
                await checkpoint.durable()
            except OSError as error:
                log.error("cannot write the checkpoint: %s", error)
                self._to_say.set()
                await asyncio.sleep(1.0)
                continue
            for status in list(checkpoint.state.unacknowledged) if self._registered else ():
                if self._sent < status.number < written:
                    self._connection.send(status)
                    self._sent = status.number

    async def _keep_tidy(self) -> None:
        while True:
            await asyncio.sleep(retention.TIDY_EVERY_S)
            self._tidy()

    async def _keep_looking_at(self, disks: Disks) -> None:
        """Beside the measuring: a walk over many files may be long."""
        while True:
            await asyncio.to_thread(disks.look, list(self._tasks.values()))
            await asyncio.sleep(disk.EVERY_S)

    async def _keep_measuring(self, disks: Disks) -> None:
        usages = Usages(self._machine, disks)
        while True:
            await asyncio.sleep(EVERY_S)
            with contextlib.suppress(OSError):
                await self._machine.launching.keep()
            self._connection.send(await asyncio.to_thread(usages.measure, list(self._tasks.values())))

    def register(self) -> Register:
        """The first message of a connection."""
        self._registered = False
        self._requests.drop_readers()
        return Register(
            node=self._machine.node,
            wire=versions.WIRE,
            boot=self._boot,
            cpus=self._cpus,
            memory_mib=self._memory_mib,
            disk_mib=self._disk_mib,
            attributes=dict(self._machine.attributes),
            features=self._machine.features,
            tasks=tuple(task.record.status() for task in self._tasks.values()),
            volumes=self._machine.volumes.kept(),
        )

    # -- from the master ------------------------------------------------------------------------------------------

    def received(self, message: ToAgent | Unusable) -> None:
        match message:
            case Registered():
                self._named.clear()
                self._registered = True
                self._sent = 0
                self._to_say.set()
            case RegisterAgain():
                self._connection.send(self.register())
            case Launch():
                self._launch(message)
            case Unusable():
                self._refuse(message)
            case Synced():
                self._synced()
            case End():
                self._end(message)
            case DeleteVolumes():
                self._deletions.append(message)
                self._delete_volumes()
            case Run():
                self._requests.run(message)
            case ReadLog():
                self._requests.read_log(message)
            case Taken():
                self._requests.taken(message.request)
            case StopReading():
                self._requests.stop(message.request)
            case Ack():
                self._acknowledged(message)

    def _refuse(self, launch: Unusable) -> None:
        self._named.add(launch.task)
        if launch.task not in self._tasks:  # One that runs was launched by words that were understood.
            said = TaskExit(reason=f"this launch cannot be carried out: {launch.reason}", not_started=True)
            self._say(
                TaskStatus(task=launch.task, state="ended", exit=said, generation=launch.generation, fence=launch.fence)
            )

    def _launch(self, launch: Launch) -> None:
        self._named.add(launch.task)
        record_of = msgspec.structs.replace(launch, secrets={})
        if task := self._tasks.get(launch.task):
            self._launch_again(task, record_of)
            return
        if ended := self._ended_before(record_of):
            self._say(ended)
            return
        record = TaskRecord(launch=record_of, state="placed")
        self._machine.checkpoint.state.tasks[launch.task] = record
        self._add(record, launch.secrets).launch()
        self._tidy()

    def _launch_again(self, task: Task, launch: Launch) -> None:
        """The same incarnation: its state again, and what changed of it that can change while it runs."""
        before = task.record.launch
        task.record.launch = launch
        trouble = self._limit_again(task, before) if task.record.groups else ""
        if task.state == "ended" or launch.generation != before.generation:
            status = task.record.status()
            self._say(msgspec.structs.replace(status, reason=status.reason or trouble))
        self._machine.checkpoint.changed()

    def _limit_again(self, task: Task, before: Launch) -> str:
        """More memory counts at once, and another weight. Less counts from the next start on: a limit below what a
        running task holds would kill it, and what ends a task is an operation. Says what could not be done."""
        record, wanted = task.record, task.record.launch.declaration.resources
        if wanted == before.declaration.resources:
            return ""
        now_mib = record.memory_mib or before.declaration.resources.memory_mib
        record.memory_mib = max(now_mib, wanted.memory_mib)
        try:
            self._machine.groups.limit(record.groups, wanted.cpus, record.memory_mib)
        except OSError as error:
            log.error("%s keeps its limits: %s", task.id, error)
            record.memory_mib = now_mib
            return f"keeps its limits until it is started anew: {error.strerror or error}"
        if record.memory_mib > wanted.memory_mib:
            return f"keeps its {record.memory_mib} MiB until it is started anew"
        return ""

    def _ended_before(self, launch: Launch) -> TaskStatus | None:
        """The end of an incarnation whose record is gone but whose folder is not."""
        started = Started.find(self._machine.places.task(launch.task))
        if started is None:
            return None
        record = started.exit_record() or {"code": None, "signal": 9}
        end = TaskExit(code=record["code"], signal=record["signal"], reason="ended before")
        return TaskStatus(task=launch.task, state="ended", exit=end, generation=launch.generation, fence=launch.fence)

    def _synced(self) -> None:
        for task in list(self._tasks.values()):
            if task.id not in self._named:
                task.end(task.record.launch.declaration.grace_s, "the master does not want it any more")

    def _end(self, end: End) -> None:
        task = self._tasks.get(end.task)
        if task is None:
            self._say(TaskStatus(task=end.task, state="ended", exit=TaskExit(reason="it does not run here")))
        elif task.state == "ended":
            self._say(task.record.status())
        else:
            task.end(end.grace_s, end.reason)

    def _acknowledged(self, ack: Ack) -> None:
        status = self._machine.checkpoint.acknowledge(ack.number)
        if status is None or status.state != "ended":
            return
        task = self._tasks.get(status.task)
        if task is not None and task.state == "ended":
            del self._tasks[status.task], self._machine.over[status.task]
            del self._machine.checkpoint.state.tasks[status.task]
            self._tidy()

    def _delete_volumes(self) -> None:
        """Those that no task uses; the others when it has ended."""
        using = {
            (member_id(task.id), task.record.launch.fence) for task in self._tasks.values() if task.state != "ended"
        }
        for deletion in list(self._deletions):
            if (deletion.member_id, deletion.fence) not in using:
                self._deletions.remove(deletion)
                self._in_background(asyncio.to_thread(self._machine.volumes.delete, deletion.member_id, deletion.fence))

    def _tidy(self) -> None:
        """What ended tasks left. The tasks themselves are handed over, no copy: a launch may come meanwhile."""
        self._in_background(asyncio.to_thread(self._machine.groups.tidy, self._tasks))
        self._in_background(asyncio.to_thread(retention.tidy, self._machine.places.tasks, self._tasks))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        task.add_done_callback(_log_failure)


def _log_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("background work failed", exc_info=error)

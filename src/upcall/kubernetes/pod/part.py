"""One life of our part: it begins with the container, and ends when the task has ended.

Told to end (SIGTERM), it ends the task within the task's own grace; the pod's is a little longer, and in that time the
last word is written. The kubelet kills whoever takes longer. How the task ended stands in the last word before anything
else is tried, and is told to the master too, who may be away.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Coroutine
from typing import Any, Final

import msgspec

from upcall.agent import logs
from upcall.agent.agent import Agent
from upcall.agent.boxes import Boxes
from upcall.agent.checkpoint import Checkpoint
from upcall.agent.connection import Connection, Unusable
from upcall.agent.launching import Launching
from upcall.agent.machine import Machine
from upcall.agent.places import Places
from upcall.agent.runs import Runs
from upcall.agent.sealed import SealedArtifacts
from upcall.agent.sources import MasterBlobs, RegistryArtifacts
from upcall.agent.task import Task
from upcall.agent.watching import Watching
from upcall.keeper import landlock
from upcall.kubernetes.pod import last_word
from upcall.kubernetes.pod.given import Given
from upcall.kubernetes.pod.groups import ContainerGroup
from upcall.kubernetes.pod.readiness import answering
from upcall.kubernetes.pod.volumes import MountedVolumes
from upcall.protocol import last_words
from upcall.protocol.agent import End, Launch, Synced, TaskExit, ToAgent
from upcall.substrate.interface import Exit
from upcall.substrate.kubernetes.manifest import PORT
from upcall.transport.dialling import OverTls

log: Final = logging.getLogger(__name__)

DOOR: Final = "/v1/pod"
FOLDER: Final = "pod"
"""Of what is ours, in the sandbox that the pod has."""
HEARD_S: Final = 2.0
"""For the master to take note of the end; it reads it of the pod in any case."""
NAME_AGAIN_S: Final = 0.5
LOOK_AGAIN_S: Final = 0.2
NOT_BEGUN: Final = "it was told to end before anything of it ran"


class Part:
    def __init__(self, given: Given) -> None:
        self._given = given
        self._task: Task | None = None
        self._waits = "the master has not said yet what is to run"
        self._answered = self._waits
        """To the kubelet, of a task that had not ended."""
        self._launch: Launch | None = None
        self._begun = False
        """The agent has its launch."""
        self._refused: TaskExit | None = None
        self._over = asyncio.Event()
        self._beside: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """With what the container ends."""
        given = self._given
        places = Places(given.sandbox, FOLDER)
        places.make()
        launching = Launching(places.node, places.data)
        connection = Connection(
            OverTls(given.master, given.authorities), given.token, lambda: self._agent.register(), self.received, DOOR
        )
        blobs = MasterBlobs(OverTls(given.master, given.authorities), connection.token, given.cache / "blobs", DOOR)
        self._machine = Machine(
            node=given.node,
            attributes={},
            places=places,
            launching=launching,
            runs=Runs(places.runs, launching),
            volumes=MountedVolumes(given.volumes),
            groups=ContainerGroup(),
            # Of users there is one in a container. What the task may not see of us is closed where the kernel can.
            boxes=Boxes(places, None, landlock=landlock.abi() > 0),
            watching=Watching(),
            checkpoint=Checkpoint(places.checkpoint),
            artifacts=SealedArtifacts(RegistryArtifacts(given.cache, blobs)),
            blobs=blobs,
            progress=connection.send,
        )
        # What the node has is the kubelet's to say.
        self._agent = Agent(self._machine, connection, cpus=0.0, memory_mib=0, disk_mib=1, changed=self._changed)
        told = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told.set)
        async with answering(given.address, PORT, self._why_not):
            return await self._live(told)

    async def _live(self, told: asyncio.Event) -> int:
        running = asyncio.create_task(self._agent.run())
        over, stop = asyncio.create_task(self._over.wait()), asyncio.create_task(told.wait())
        try:
            await asyncio.wait({running, over, stop}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
            if stop.done() and self._begun:
                self._end()
                await asyncio.wait({running, over}, return_when=asyncio.FIRST_COMPLETED)
            ended = self._how_it_ended()
            if ended.code == 0 and not stop.done():
                ended = msgspec.structs.replace(ended, lines=await asyncio.to_thread(self._printed))
            await asyncio.to_thread(last_word.write, self._given.last_word, ended)
            await self._until_heard()
            return last_word.code_of(ended)
        finally:
            for task in (running, over, stop, *self._beside):
                task.cancel()
            await asyncio.gather(running, *self._beside, return_exceptions=True)
            await self._agent.close()

    # -- the task -----------------------------------------------------------------------------------------------------

    def received(self, message: ToAgent | Unusable) -> None:
        match message:
            case Launch() | Unusable() if message.task != self._given.task:
                log.error("this pod is of %s, and was asked for %s", self._given.task, message.task)
            case Launch() if not self._begun:
                first, self._launch = self._launch is None, message
                if first:
                    self._spawn(self._begin(message.address))
            case End() | Synced():
                pass  # Whether it is wanted is said to its pod.
            case _:
                self._begun |= isinstance(message, Unusable)
                self._agent.received(message)
                if isinstance(message, Unusable):
                    self._cannot_run(message.reason)

    async def _begin(self, name: str) -> None:
        """Its name is to stand for this pod before anything listens at it: names follow pods with a delay."""
        while not await self._is_called(name):
            self._waits = f"its name {name} does not stand for {self._given.address} yet"
            await asyncio.sleep(NAME_AGAIN_S)
        self._begun = True
        assert self._launch is not None, "it came first"
        self._agent.received(self._launch)
        self._spawn(self._say_output())

    async def _is_called(self, name: str) -> bool:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except OSError:
            return False
        return any(address[0] == self._given.address for *_, address in found)

    def _changed(self, task: Task) -> None:
        self._task = task
        if task.state == "ended":
            self._over.set()

    def _cannot_run(self, reason: str) -> None:
        self._refused = TaskExit(reason=f"this launch cannot be carried out: {reason}", not_started=True)
        self._over.set()

    def _end(self) -> None:
        if self._task is None:
            self._over.set()
            return
        grace_s = self._task.record.launch.declaration.grace_s
        self._agent.received(End(task=self._given.task, grace_s=grace_s))

    def _how_it_ended(self) -> Exit:
        said = self._refused or (self._task.record.exit if self._task is not None else None)
        return last_word.exit_of(said or TaskExit(reason=NOT_BEGUN))

    def _printed(self) -> tuple[str, ...]:
        """Blocking. Its log goes with its pod, and what a job has printed may be all that it was for."""
        folder = self._machine.places.logs(self._given.task)
        return last_words.kept([logs.last_words(folder / "stdout") or logs.last_words(folder / "stderr")])

    async def _until_heard(self) -> None:
        """By the master, and of what the task wrote by whoever collects it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARD_S):
                await asyncio.gather(*self._beside, return_exceptions=True)
                while self._machine.checkpoint.state.unacknowledged:  # noqa: ASYNC110 - the agent's own business
                    await asyncio.sleep(0.05)

    def _why_not(self) -> str:
        """That the task has ended the end of the container says: one that is done is not ill before that."""
        if self._task is None:
            self._answered = self._waits
        elif (state := self._task.state) != "ended":
            reason = self._task.record.reason
            self._answered = "" if state == "ready" else f"{state}: {reason}" if reason else state
        return self._answered

    # -- what it writes -----------------------------------------------------------------------------------------------

    async def _say_output(self) -> None:
        """On our own output as well: for ``kubectl logs``, and for whoever collects what containers write."""
        folder, machine = self._machine.places.logs(self._given.task), self._machine
        while not folder.is_dir():
            if self._over.is_set():
                return  # It never wrote anything.
            await asyncio.sleep(LOOK_AGAIN_S)
        await logs.read(folder, logs.Asked("both", logs.LINES_MAX, follow=True), machine.watching, self._over, _print)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)


async def _print(text: str) -> None:
    def write() -> None:
        with contextlib.suppress(OSError):
            sys.stdout.write(text)
            sys.stdout.flush()

    await asyncio.to_thread(write)

"""The pure core of the substrate, driven by a test against a real API server."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import msgspec

from upcall.protocol.declaration import Declaration, Resources, Volume
from upcall.substrate.interface import Disruption, Exit, Observed, Output, TaskId, Up, Wanted
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import POD
from upcall.substrate.kubernetes.manifest import Settings
from upcall.substrate.kubernetes.speaking import Speaker
from upcall.substrate.kubernetes.substrate import KubernetesSubstrate

LIMIT_S = 300.0
SETTINGS = Settings(image="example.invalid/upcall:1", master_url="https://master.example.invalid")
TASK = TaskId("store", "replica-1", 1)
"""What is wanted, where nothing else is said."""


class Driven:
    """The core with nothing above it: the test is the ledger."""

    def __init__(self, api: Api, namespace: str, settings: Settings = SETTINGS) -> None:
        self.api, self.namespace = api, namespace
        self.core = KubernetesSubstrate(msgspec.structs.replace(settings, namespace=namespace))
        self.speaker = Speaker(api, namespace, self.core, self.take)
        self.said: list[Up] = []
        self._more = asyncio.Event()

    def take(self, call: Callable[[float], Output]) -> None:
        out = call(time.monotonic())
        self.said += out.up
        for send in out.send:
            self.speaker.send(send)
        self._more.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.speaker.run())
            group.create_task(self._time())

    async def _time(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            if (due := self.core.deadline()) is not None and due <= time.monotonic():
                self.take(self.core.tick)

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not holds():
                self._more.clear()
                try:
                    await self._more.wait()
                except asyncio.CancelledError:
                    raise AssertionError(f"{what}: never; away: {self.speaker.away}; last: {self.said[-8:]}") from None

    def states(self, task: TaskId) -> list[str]:
        found = [up.state for up in self.said if isinstance(up, Observed) and up.task == task]
        return [state for before, state in zip(["", *found], found, strict=False) if state != before]

    def last(self, task: TaskId) -> Observed:
        return [up for up in self.said if isinstance(up, Observed) and up.task == task][-1]

    async def over(self) -> Exit:
        await self.until(lambda: self.states(TASK)[-1:] == ["ended"], "it has ended")
        ended = self.last(TASK).exit
        assert ended is not None
        return ended

    def told(self) -> list[tuple[str, str]]:
        """What others do, and how firmly it can be held."""
        return [(up.verb, up.firmness) for up in self.said if isinstance(up, Disruption)]


@contextlib.asynccontextmanager
async def driving(one: Driven) -> AsyncIterator[Driven]:
    running = asyncio.create_task(one.run())
    one.take(lambda now_s: one.core.wanted([], now_s))
    try:
        yield one
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        # What nobody takes off would keep the pods, and their namespace, for ever.
        for each in (await one.api.list(POD, one.namespace)).objects:
            with contextlib.suppress(NotFound):
                await one.api.merge(POD, each["metadata"]["name"], {"metadata": {"finalizers": None}}, one.namespace)


def wanted(incarnation: int = 1, cpus: float = 0.5, volumes: tuple[Volume, ...] = ()) -> Wanted:
    resources = Resources(cpus=cpus, memory_mib=256)
    declaration = Declaration(command=("serve",), resources=resources, grace_s=5, volumes=volumes)
    return Wanted(task=TaskId("store", "replica-1", incarnation), declaration=declaration)

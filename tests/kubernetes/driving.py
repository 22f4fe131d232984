"""The pure core of the substrate, driven by a test against a real API server."""

import asyncio
import time
from collections.abc import Callable

from upcall.protocol.declaration import Declaration, Resources
from upcall.substrate.interface import Observed, Output, TaskId, Up, Wanted
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.manifest import Settings
from upcall.substrate.kubernetes.speaking import Speaker
from upcall.substrate.kubernetes.substrate import KubernetesSubstrate

LIMIT_S = 300.0
SETTINGS = Settings(image="example.invalid/upcall:1", master_url="https://master.example.invalid")


class Driven:
    """The core with nothing above it: the test is the ledger."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.core = KubernetesSubstrate(SETTINGS)
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


def wanted(incarnation: int = 1, cpus: float = 0.5) -> Wanted:
    declaration = Declaration(command=("serve",), resources=Resources(cpus=cpus, memory_mib=256), grace_s=5)
    return Wanted(task=TaskId("store", "replica-1", incarnation), declaration=declaration)

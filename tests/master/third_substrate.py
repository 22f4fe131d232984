"""Machines of a third kind, as somebody else would write them: beside the two interfaces they need nothing of ours.

Two machines somewhere else, whose owner places tasks himself and keeps no volumes. What is launched runs at once.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter

from upcall.cluster.folder import Cluster, DataFolder
from upcall.protocol.declaration import Declaration, Resources
from upcall.protocol.errors import Conflict
from upcall.protocol.operator import AddNode
from upcall.protocol.service import RunTool, ToolResult
from upcall.substrate.interface import (
    Capabilities,
    Exit,
    Node,
    NodeObserved,
    Observed,
    Output,
    Promised,
    Resizing,
    Send,
    StillHeld,
    TaskId,
    VolumeSet,
    Wanted,
)
from upcall.substrate.machines import Machines, Master, Usage


@dataclass
class Running:
    wanted: Wanted
    node: str
    address: str


class ElsewhereSubstrate:
    capabilities = Capabilities(placement="delegated", firmness={"*": "notified"}, volumes_bound_to_node=False)

    def __init__(self, tasks: dict[TaskId, Running]) -> None:
        self._tasks = tasks
        self._closed: set[str] = set()

    def places(self) -> Mapping[str, str]:
        return {}

    def reserve(
        self, service: str, members: Mapping[str, Declaration], now_s: float, *, places: Mapping[str, int] | None = None
    ) -> Output:
        return Output()

    def fits(self, service: str, members: Mapping[str, Declaration]) -> str:
        return ""

    def hold_place(
        self,
        member_id: str,
        declaration: Declaration,
        place: int,
        now_s: float,
        *,
        same_node: bool = False,
        takes: int = 0,
    ) -> Output:
        return Output(up=[Promised(member_id=member_id, place=place)])

    def call_off_place(self, member_id: str, place: int, now_s: float) -> Output:
        return Output()

    def launch(self, wanted: Wanted, now_s: float) -> Output:
        if wanted.task not in self._tasks:
            node = next(name for name in ("there-1", "there-2") if name not in self._closed)
            self._tasks[wanted.task] = Running(wanted, node, f"10.1.1.{len(self._tasks) + 1}")
        return Output(up=[self._observed(wanted.task)])

    def end(self, task: TaskId, grace_s: float, now_s: float) -> Output:
        found = self._tasks.pop(task, None)
        node = found.node if found else ""
        return Output(up=[Observed(task=task, state="ended", node=node, exit=Exit(signal=15))])

    def resize(self, task: TaskId, resources: Resources, now_s: float) -> Output:
        return Output()

    def resizing(self, task: TaskId, resources: Resources) -> Resizing:
        return Resizing(state="refused", reason="not in place here")

    def let_go(self, task: TaskId, now_s: float) -> Output:
        return Output()  # nobody else's workloads are here

    def release(self, member_id: str, now_s: float, *, keep_volumes_s: float = 0.0) -> Output:
        return Output()

    def known(self, names: Iterable[str], now_s: float) -> Output:
        return Output()

    def prove_death(self, node: str, now_s: float) -> Output:
        return Output()

    def hold_disruption(self, disruption_id: str, now_s: float, *, held: StillHeld | None) -> Output:
        return Output()

    def cordon(self, node: str, now_s: float, *, closed: bool) -> Output:
        self._closed = self._closed | {node} if closed else self._closed - {node}
        return Output()

    def wanted(self, tasks: Sequence[Wanted], now_s: float) -> Output:
        out = Output()
        for name in ("there-1", "there-2"):
            node = Node(name=name, cpus=8, memory_mib=8192, disk_mib=8192)
            out.up.append(NodeObserved(node=name, state="up", description=node))
        for wanted in tasks:
            out.up += self.launch(wanted, now_s).up
        return out

    def tick(self, now_s: float) -> Output:
        return Output()

    def deadline(self) -> float | None:
        return None

    def _observed(self, task: TaskId) -> Observed:
        found = self._tasks[task]
        generation = found.wanted.generation
        return Observed(task=task, state="ready", node=found.node, address=found.address, generation=generation)


class Elsewhere:
    def __init__(self, folder: DataFolder, cluster: Cluster, master: Master) -> None:
        self._master = master
        self.tasks: dict[TaskId, Running] = {}

    def substrate(self, records: Mapping[tuple[str, str], Any]) -> ElsewhereSubstrate:
        return ElsewhereSubstrate(self.tasks)

    def crash(self, task: TaskId) -> None:
        """As its owner would tell of it."""
        node = self.tasks.pop(task).node
        ended = Observed(task=task, state="ended", node=node, exit=Exit(code=3, reason="the rack caught fire"))
        self._master.take(lambda now_s: Output(up=[ended]))

    def close_to_others(self, node: str, why: str) -> None:
        """Its owner wants nothing new there."""
        self._master.take(lambda now_s: Output(up=[NodeObserved(node=node, state="up", closed=why)]))

    def send(self, send: Send) -> None:
        raise AssertionError("the substrate sends nothing")

    def prove(self, node: str) -> None:
        raise AssertionError("the substrate asks for no proof")

    def say_again(self) -> None: ...

    def usage(self, task: str) -> Usage | None:
        return Usage(cpu_cores=0.5, memory_mib=12.0)

    def progress(self, task: str) -> str:
        return ""

    async def run(self, task: str, node: str, tool: RunTool) -> ToolResult:
        return ToolResult(code=0, output=f"{' '.join(tool.command)} beside {task} on {node}")

    async def read_log(
        self, task: str, node: str, stream: str, lines: int, *, follow: bool, after: str = ""
    ) -> AsyncIterator[str]:
        yield f"{stream} of {task} "
        yield f"on {node}\n"

    def features(self, node: str) -> Sequence[str]:
        return ("elsewhere",)

    def declared(self) -> Collection[str]:
        return ()

    async def add_node(self, wish: AddNode, before: Callable[[str], Awaitable[None]]) -> str:
        raise Conflict("these machines are somebody else's", where="node", expected="a wish to their owner")

    async def end_node(self, node: str) -> None: ...

    def forget_node(self, node: str, now_s: float) -> Output:
        return Output(up=[NodeObserved(node=node, state="gone", reason="removed")])

    def volumes(self) -> list[VolumeSet]:
        return []

    def drop_volumes(self, one: VolumeSet, now_s: float) -> Output:
        return Output()

    def start(self) -> None: ...

    def routers(self) -> Sequence[APIRouter]:
        return ()

    def close(self) -> None: ...


def make(folder: DataFolder, cluster: Cluster, master: Master) -> Machines:
    return Elsewhere(folder, cluster, master)

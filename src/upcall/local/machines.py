"""Implements :class:`upcall.substrate.machines.Machines` for the machines that we run ourselves."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from fastapi import APIRouter

from upcall.cluster import machine
from upcall.cluster.folder import Cluster, DataFolder
from upcall.local import door
from upcall.local.keeper import Keeper
from upcall.local.nodes import Nodes
from upcall.protocol.errors import NotNow
from upcall.protocol.operator import AddNode
from upcall.protocol.service import RunTool, ToolResult
from upcall.substrate.connections import Agents
from upcall.substrate.interface import Output, Send, VolumeSet
from upcall.substrate.local import LocalSubstrate
from upcall.substrate.machines import Master, Usage

log = logging.getLogger(__name__)


class LocalMachines:
    def __init__(
        self,
        folder: DataFolder,
        cluster: Cluster,
        master: Master,
        *,
        total_mib: Callable[[], int] = machine.memory_mib,
    ) -> None:
        self._cluster, self._master = cluster, master
        self._keeper = Keeper(folder.keeper_socket)
        self.agents = Agents()
        self.nodes = Nodes(folder, cluster, self._keeper, master, total_mib)
        self._proving: set[asyncio.Task[None]] = set()
        self.core: LocalSubstrate
        """What decides; there from the first call of :meth:`substrate` on."""

    def substrate(self, records: Mapping[tuple[str, str], Any]) -> LocalSubstrate:
        self.core = LocalSubstrate(
            records,
            prefix=self._cluster.prefix,
            cluster=self._cluster.cluster,
            wall=self._master.wall,
            context=self._master.context,
        )
        return self.core

    # -- after a commit ---------------------------------------------------------------------------------------------

    def send(self, send: Send) -> None:
        self.agents.send(send)

    def prove(self, node: str) -> None:
        task = asyncio.get_running_loop().create_task(self._prove(node))
        self._proving.add(task)
        task.add_done_callback(self._proving.discard)

    async def _prove(self, node: str) -> None:
        """The keeper ends what is left of the node's processes. What fails is asked for again by the substrate."""
        try:
            await self._keeper.prove_death(node)
        except NotNow as error:
            log.warning("no proof that %s is dead: %s", node, error)
            return
        self._master.take(lambda now_s: self.core.death_proven(node, now_s))

    def say_again(self) -> None:
        self.agents.ask_again()

    # -- tasks ------------------------------------------------------------------------------------------------------

    def usage(self, task: str) -> Usage | None:
        return self.agents.usage(task)

    def progress(self, task: str) -> str:
        return self.agents.progress.get(task, "")

    async def run(self, task: str, node: str, tool: RunTool) -> ToolResult:
        return await self.agents.run(task, node, tool)

    def read_log(
        self, task: str, node: str, stream: str, lines: int, *, follow: bool, after: str = ""
    ) -> AsyncIterator[str]:
        return self.agents.read_log(task, node, stream, lines, follow=follow, after=after)

    # -- nodes ------------------------------------------------------------------------------------------------------

    def features(self, node: str) -> Sequence[str]:
        return self.agents.features.get(node, ())

    def declared(self) -> Collection[str]:
        return self.nodes.names()

    async def add_node(self, wish: AddNode, before: Callable[[str], Awaitable[None]]) -> str:
        return await self.nodes.add(wish, before)

    async def end_node(self, node: str) -> None:
        await self.nodes.end(node)

    def forget_node(self, node: str, now_s: float) -> Output:
        gone = self.core.node_removed(node, now_s)
        forgotten = self.core.forget_node(node, now_s)
        return Output(
            up=gone.up + forgotten.up,
            records=gone.records + forgotten.records,
            send=gone.send + forgotten.send,
            prove=gone.prove + forgotten.prove,
        )

    # -- volumes ----------------------------------------------------------------------------------------------------

    def volumes(self) -> list[VolumeSet]:
        return self.core.volumes()

    def drop_volumes(self, one: VolumeSet, now_s: float) -> Output:
        return self.core.drop_volumes(one.member_id, one.fence, now_s, node=one.node)

    # -- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Agents dial in."""

    def routers(self) -> Sequence[APIRouter]:
        return (door.router(door.AgentDoor(self.agents, self._master, lambda: self.core, self.nodes.ending)),)

    def close(self) -> None:
        self.agents.close_all()


def make(folder: DataFolder, cluster: Cluster, master: Master) -> LocalMachines:
    return LocalMachines(folder, cluster, master)

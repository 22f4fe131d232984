"""Virtual nodes of this machine, which come and go: each is an agent that the keeper keeps, with a token of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import msgspec

from upcall.cluster import machine, processes
from upcall.cluster.folder import Cluster, DataFolder, Node
from upcall.local.keeper import Keeper
from upcall.protocol.errors import Conflict, Invalid
from upcall.protocol.operator import AddNode
from upcall.substrate.machines import Master

NODES_MAX: Final = 50
ZONES: Final = "abc"


class Nodes:
    def __init__(
        self, folder: DataFolder, cluster: Cluster, keeper: Keeper, master: Master, total_mib: Callable[[], int]
    ) -> None:
        self._folder, self._cluster = folder, cluster
        self._keeper, self._master = keeper, master
        self._total_mib = total_mib
        self._adding = asyncio.Lock()
        self._ending: set[str] = set()

    def names(self) -> Collection[str]:
        return [node.name for node in self._cluster.nodes]

    def ending(self, node: str) -> bool:
        """Whether its agent ends because the node is removed."""
        return node in self._ending

    async def add(self, wish: AddNode, before: Callable[[str], Awaitable[None]]) -> str:
        """Its token, its place in ``cluster.json``, its agent."""
        async with self._adding:  # two at once may want the same name, or the same memory
            node = self._node_of(wish)
            await before(node.name)
            party = processes.agent_name(node.name)
            self._master.admit(party)
            self._write(tuple(sorted((*self._cluster.nodes, node), key=lambda each: each.name)))
            try:
                await self._keeper.add(processes.agent(self._folder, self._cluster, node))
            except BaseException:
                self._forget(node.name)
                raise
        return node.name

    async def end(self, node: str) -> None:
        """Its agent first: one that ran on would be nobody's, without a token and with the node's folder."""
        self._ending.add(node)
        try:
            await self._keeper.remove(processes.agent_name(node))
        finally:
            self._ending.discard(node)
        self._forget(node)

    def _forget(self, node: str) -> None:
        self._write(tuple(each for each in self._cluster.nodes if each.name != node))
        self._master.dismiss(processes.agent_name(node))

    def _node_of(self, wish: AddNode) -> Node:
        """The node that is asked for, if it may be made."""
        taken = set(self.names())
        name = wish.name or next(f"node-{n}" for n in range(1, NODES_MAX + 2) if f"node-{n}" not in taken)
        if name in taken:
            raise Conflict(f"there is a node {name!r} already", where="name", expected="another name, or none")
        if len(taken) >= NODES_MAX:
            raise Conflict(f"{NODES_MAX} nodes are the most on one machine", where="nodes")
        example = self._cluster.nodes[0] if self._cluster.nodes else None
        if "zone" in wish.attributes:
            raise Invalid("the zone is no attribute", where="attributes.zone", expected="`zone` (--zone)")
        memory_mib = wish.memory_mib or self._cluster.memory_mib_per_node
        others_mib = [node.memory_mib for node in self._cluster.nodes]
        machine.check_part(memory_mib, others_mib, self._total_mib(), "memory_mib")
        return Node(
            name=name,
            zone=wish.zone or self._emptiest_zone(),
            memory_mib=memory_mib,
            cpus=example.cpus if example else 1.0,
            disk_mib=self._cluster.disk_mib_per_node,
            attributes=wish.attributes,
        )

    def _emptiest_zone(self) -> str:
        counts = dict.fromkeys(ZONES, 0)
        for node in self._cluster.nodes:
            counts[node.zone] = counts.get(node.zone, 0) + 1
        return min(sorted(counts), key=counts.__getitem__)

    def _write(self, nodes: tuple[Node, ...]) -> None:
        self._cluster = msgspec.structs.replace(self._cluster, nodes=nodes)
        self._folder.save_cluster(self._cluster)

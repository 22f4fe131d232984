"""The machines that we run ourselves: virtual nodes that come and go, and proof that a silent one is dead.

Nodes are agents that the keeper keeps; the master asks the keeper over its socket. Proof of death is asked for only
when a loss waits for it (after ``replace_after_s``): a silent agent is no reason to end what it watches.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, Protocol

import msgspec

from upcall.cluster import machine, processes
from upcall.cluster.folder import Cluster, DataFolder, Node
from upcall.master.changes import Changed
from upcall.master.driver import Driver
from upcall.master.keeper import Keeper
from upcall.master.tokens import Tokens
from upcall.master.transaction import Transaction
from upcall.operations import inputs as given
from upcall.protocol.errors import Conflict, Invalid, NotNow
from upcall.protocol.operator import AddNode
from upcall.substrate.interface import Output

log = logging.getLogger(__name__)

NODES_MAX: Final = 50
ZONES: Final = "abc"
REMOVE_RETRY_S: Final = 5.0
"""Between two tries to end the agent of a node that is removed, for as long as the keeper cannot."""


class MachineSubstrate(Protocol):
    """What is needed of a substrate whose machines are here."""

    def prove_death(self, node: str, now_s: float) -> Output: ...
    def death_proven(self, node: str, now_s: float) -> Output: ...
    def node_removed(self, node: str, now_s: float, reason: str = "removed") -> Output: ...
    def forget_node(self, node: str, now_s: float) -> Output: ...


class Machines:
    def __init__(
        self,
        folder: DataFolder,
        cluster: Cluster,
        tokens: Tokens,
        total_mib: Callable[[], int] = machine.memory_mib,
    ) -> None:
        self._total_mib = total_mib
        self.folder, self.cluster = folder, cluster
        self.since_wall_s = time.time()
        self._tokens = tokens
        self._keeper = Keeper(folder.keeper_socket)
        self._adding = asyncio.Lock()
        self._asked: set[asyncio.Task[None]] = set()
        self._removing: set[str] = set()

    async def add_node(self, request: AddNode, before: Callable[[str], Awaitable[None]]) -> str:
        """Another virtual node: its token, its place in ``cluster.json``, its agent. ``before`` is awaited when the
        name is known and may be used."""
        async with self._adding:  # two at once may want the same name, or the same memory
            node = self._node_of(request)
            await before(node.name)
            self._tokens.issue(processes.agent_name(node.name))
            self._write(tuple(sorted((*self.cluster.nodes, node), key=lambda each: each.name)))
            try:
                await self._keeper.add(processes.agent(self.folder, self.cluster, node))
            except BaseException:
                self._write(tuple(each for each in self.cluster.nodes if each.name != node.name))
                self._tokens.revoke(processes.agent_name(node.name))
                raise
        return node.name

    def _node_of(self, request: AddNode) -> Node:
        """The node that is asked for, if it may be made."""
        taken = {node.name for node in self.cluster.nodes}
        name = request.name or next(f"node-{n}" for n in range(1, NODES_MAX + 2) if f"node-{n}" not in taken)
        if name in taken:
            raise Conflict(f"there is a node {name!r} already", where="name", expected="another name, or none")
        if len(taken) >= NODES_MAX:
            raise Conflict(f"{NODES_MAX} nodes are the most on one machine", where="nodes")
        example = self.cluster.nodes[0] if self.cluster.nodes else None
        if "zone" in request.attributes:
            raise Invalid("the zone is no attribute", where="attributes.zone", expected="`zone` (--zone)")
        memory_mib = request.memory_mib or self.cluster.memory_mib_per_node
        others_mib = [node.memory_mib for node in self.cluster.nodes]
        machine.check_part(memory_mib, others_mib, self._total_mib(), "memory_mib")
        return Node(
            name=name,
            zone=request.zone or self._emptiest_zone(),
            memory_mib=memory_mib,
            cpus=example.cpus if example else 1.0,
            disk_mib=self.cluster.disk_mib_per_node,
            attributes=request.attributes,
        )

    def _emptiest_zone(self) -> str:
        counts = dict.fromkeys(ZONES, 0)
        for node in self.cluster.nodes:
            counts[node.zone] = counts.get(node.zone, 0) + 1
        return min(sorted(counts), key=counts.__getitem__)

    def _write(self, nodes: tuple[Node, ...]) -> None:
        self.cluster = msgspec.structs.replace(self.cluster, nodes=nodes)
        self.folder.save_cluster(self.cluster)

    # -- a rule of the core -----------------------------------------------------------------------------------------

    def follow(self, core: Driver, substrate: Callable[[], MachineSubstrate]) -> Callable[[Transaction, Changed], None]:
        """After each turn: a removed node whose members have left ends; a loss that waits for proof gets it."""

        def rule(tx: Transaction, changed: Changed) -> None:
            ledger = core.state.ledger
            touched = (ledger.operation(number) for number in changed.operations)
            nodes = {one.target.node: None for one in touched if one is not None and one.kind == "maintenance"}
            for node in nodes | changed.nodes:
                standing = ledger.maintenance(node)
                if standing is not None and standing.state == "done" and standing.removes_node:
                    if node in core.nodes or node in core.expected:
                        self._begin_removal(tx, core, substrate, node)
                    elif node not in self._removing:
                        _close(tx, node)  # of a life before: the node went, and its removal still stood
            for node in changed.proofs:
                tx.substrate(substrate().prove_death(node, tx.now_s))

        return rule

    def _begin_removal(
        self, tx: Transaction, core: Driver, substrate: Callable[[], MachineSubstrate], node: str
    ) -> None:
        if node in self._removing:
            return
        self._removing.add(node)
        tx.event("node", node, "empty, and is removed")
        tx.turn.after.append(lambda: self._background(self._remove(core, substrate, node)))

    async def _remove(self, core: Driver, substrate: Callable[[], MachineSubstrate], node: str) -> None:
        """Its agent ends first: one that ran on would be nobody's, without a token and with the node's folder."""
        try:
            told = ""
            while error := await self._not_ended(node):
                if error != told:
                    words = f"is not removed yet, because its agent cannot be ended: {error}; tried again"
                    core.post(lambda tx, words=words: tx.event("node", node, words))  # type: ignore[misc]
                    told = error
                await asyncio.sleep(REMOVE_RETRY_S)
                standing = core.state.ledger.maintenance(node)
                if standing is None or not standing.removes_node:
                    return  # Somebody changed their mind meanwhile.
            self._write(tuple(each for each in self.cluster.nodes if each.name != node))
            self._tokens.revoke(processes.agent_name(node))
            core.post(lambda tx: _forget(tx, substrate(), node))
        finally:
            self._removing.discard(node)

    async def _not_ended(self, node: str) -> str:
        """Ends the node's agent; why it could not be, if so."""
        try:
            await self._keeper.remove(processes.agent_name(node))
        except NotNow as error:
            log.warning("the agent of %s could not be ended: %s", node, error)
            return str(error)
        return ""

    def prove(self, core: Driver, substrate: Callable[[], MachineSubstrate], node: str) -> None:
        """The substrate wants certainty that nothing of a node runs any more."""
        self._background(self._prove(core, substrate, node))

    async def _prove(self, core: Driver, substrate: Callable[[], MachineSubstrate], node: str) -> None:
        try:
            await self._keeper.prove_death(node)
        except NotNow as error:
            log.warning("no proof that %s is dead: %s", node, error)
            return
        core.post(lambda tx: tx.substrate(substrate().death_proven(node, tx.now_s)))

    def _background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)


def _forget(tx: Transaction, substrate: MachineSubstrate, node: str) -> None:
    """One turn: a removal that outlived its node would stand for ever, with nothing that could end it."""
    tx.substrate(substrate.node_removed(node, tx.now_s))
    tx.substrate(substrate.forget_node(node, tx.now_s))
    _close(tx, node)


def _close(tx: Transaction, node: str) -> None:
    if tx.core.state.ledger.maintenance(node) is not None:
        tx.ledger(given.Undrain(node=node, who="upcall", why="the node is removed"))

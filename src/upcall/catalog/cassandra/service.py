"""Cassandra, as its operators run it."""

import asyncio

from upcall.catalog import losing
from upcall.catalog.cassandra import config
from upcall.catalog.cassandra.autoscale import ScalesItself
from upcall.catalog.cassandra.changing import Changing
from upcall.catalog.cassandra.keyspaces import Keyspaces
from upcall.catalog.cassandra.looking import Looking
from upcall.catalog.cassandra.ranges import missing_without
from upcall.catalog.cassandra.trial import Trials
from upcall.catalog.cassandra.upgrading import Upgrading
from upcall.service import Member, Operation, Verdict
from upcall.service.context import Context

LOOK_S = 1.0


class Cassandra(Looking, Upgrading, ScalesItself, Changing, Keyspaces, Trials):
    """Apache Cassandra: a ring whose racks are the zones."""

    before_stop_s = 120.0

    def __init__(self, context: Context | None = None) -> None:
        super().__init__(context)
        self._losses = losing.Losses()

    async def on_lost(self, node: Member, why: Operation) -> Verdict:
        """A process that died starts again where it was. A node that does not come back gives up its volume only when
        every range of it has a majority elsewhere, to fill the new one from."""
        loss = self._losses.of(node, why)
        tried = losing.after(loss, "", ())
        if tried.word == "restart":
            return tried
        others = ("the machines when they come back, its own or those of the other replicas",)
        return self._losses.note(node, losing.after(loss, await self._missing_without(node), others))

    async def _missing_without(self, node: Member) -> str:
        """What would be gone with a node's volume; empty: nothing."""
        if not self.members.without(node):
            return f"{node.name} is the only node: an empty one would have nothing to begin from"
        up = {member.address for member in self.members.without(node) if member.ready}
        if not up:
            return "no node is ready that could say what lies there alone"
        return await self.ask(lambda ring: missing_without(ring.ranges(), up, node.address))

    async def before_stop(self, node: Member, why: Operation) -> None:
        """It hands its clients and its share of writes to the others, and what is in its memory to its disk: the next
        start reads no commit log, and the grace of its end is not what bounds that. Drained it serves nobody until it
        is started anew, so what the ranges would lose is asked once more right before."""
        if why.kind == "scale_in":
            return  # It has left: nothing of the ring is there.
        while not await self._spared(node):  # noqa: ASYNC110 - Cassandra tells nobody
            await asyncio.sleep(LOOK_S)
        await node.run(config.nodetool_command("drain"), timeout_s=self.before_stop_s)

    async def _spared(self, node: Member) -> bool:
        """Whether all ranges keep their quorum without it now. A ring that gives no answer, because it has too much to
        do, is asked again: else the node would end undrained."""
        try:
            return not await self.costs_now(node)
        except Exception as error:
            self.log.warning("before the stop of %s: %s", node.name, error)
            return False

    async def after_ready(self, node: Member) -> None:
        self._losses.back(node)
        await self.set_again(node)
        await self.note_data(node)

"""Cassandra, as its operators run it."""

from upcall.catalog.cassandra import config
from upcall.catalog.cassandra.autoscale import ScalesItself
from upcall.catalog.cassandra.changing import Changing
from upcall.catalog.cassandra.keyspaces import Keyspaces
from upcall.catalog.cassandra.looking import Looking
from upcall.catalog.cassandra.ranges import missing_without
from upcall.catalog.cassandra.trial import Trials
from upcall.catalog.cassandra.upgrading import Upgrading
from upcall.catalog.losing import HoldsCopies
from upcall.service import Member, Operation, until


class Cassandra(Looking, Upgrading, ScalesItself, Changing, Keyspaces, Trials, HoldsCopies):
    """Apache Cassandra: a ring whose racks are the zones."""

    noun = "node"
    away = "the machines when they come back, its own or those of the other replicas"
    before_stop_s = 120.0

    async def missing_without(self, node: Member) -> str:
        """Every range of it has to have a majority elsewhere, to fill the new one from."""
        up = {member.address for member in self.members.without(node) if member.ready}
        return await self.ask(lambda ring: missing_without(ring.ranges(), up, node.address))

    async def before_stop(self, node: Member, why: Operation) -> None:
        """It hands its clients and its share of writes to the others, and what is in its memory to its disk: the next
        start reads no commit log, and the grace of its end is not what bounds that. Drained it serves nobody until it
        is started anew, so what the ranges would lose is asked once more right before."""
        if why.kind == "scale_in":
            return  # It has left: nothing of the ring is there.
        await until(lambda: self._spared(node))
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
        await super().after_ready(node)
        await self.set_again(node)
        await self.note_data(node)

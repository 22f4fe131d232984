"""Nodes come and leave: their ranges are streamed, and what was given away is cleaned up."""

import asyncio
from collections.abc import Set

from upcall.catalog import spreading
from upcall.catalog.cassandra import bounds, config, fitting
from upcall.catalog.cassandra.consent import Consent
from upcall.catalog.cassandra.nodes import last_line
from upcall.catalog.cassandra.options import CassandraOptions
from upcall.protocol.errors import NotNow
from upcall.service import Member, Operation, Update, Verdict, accept, decline, defer, until

GONE = {"LEFT", "removed"}
LEAVE_S = 120.0
REWRITE_S = 3600.0
"""Of a node's files; what is left then is left to the next one."""
LOOK_S = 1.0


class Scaling(Consent):
    """A node that comes takes its share of the ring; one that leaves leaves nothing behind."""

    async def may_update(self, update: Update, why: Operation) -> Verdict:
        wanted = update.options
        assert isinstance(wanted, CassandraOptions)
        names = {change.key if change.option == "settings" else change.option for change in update.changes}
        if names & {*bounds.SETTINGS, "memory_mib"} and (too_much := self.cannot_carry(wanted)):
            return decline(too_much)
        if wanted.nodes < self.options.nodes:
            members = self.members.of("node")
            leaving = self.who_leaves(tuple(members), max(len(members) - wanted.nodes, 0))
            return await self._may_shrink({member.name for member in leaving}, wanted.nodes)
        away = self.members.away("node")
        if wanted.nodes > self.options.nodes and away:
            return defer(f"{', '.join(away)} is away: who joins takes its ranges from every node", retry_after=5)
        return accept()

    async def may_scale_in(self, node: Member, why: Operation) -> Verdict:
        """While all are up and nothing is on its way, and the others can keep all copies and hold all data."""
        leaving = why.leaving or (node.name,)
        away = [each.name for each in self.members.values() if not each.ready]
        if away:
            return defer(f"{', '.join(away)} is away: ranges go from the node that leaves to the others", retry_after=5)
        said = await self._may_shrink({*leaving}, len(self.members) - len(leaving))
        if said.word != "accept":
            return said
        cost = await self.cost(node)
        return cost if isinstance(cost, Verdict) else accept()

    def who_leaves(self, members: tuple[Member, ...], count: int) -> list[Member]:
        """From the fullest racks: each range has a copy in as many as there are."""
        return spreading.from_the_fullest_rack(members, count, per_node=self.options.per_node)

    async def _may_shrink(self, leaving: Set[str], left: int) -> Verdict:
        if not any(node.ready for node in self.members.values()):
            return defer("no node is ready that could say what lies where", retry_after=5)
        copies, used_mib = await self.ask(lambda ring: (ring.copies(), ring.used_mib()))
        why = fitting.objection(left, copies, used_mib, self.options.disk_mib)
        if not why:
            nodes, per_node = self.members.values(), self.options.per_node
            after = spreading.racks((node for node in nodes if node.name not in leaving), per_node=per_node)
            why = spreading.objection(copies, spreading.racks(nodes, per_node=per_node), after)
        return decline(why) if why else accept()

    async def leave(self, node: Member | None, why: Operation) -> None:
        """Its ranges are streamed to who has them from now on (``decommission``). It has left when every other node
        says so and no range is its own. Wherever this was interrupted, the ring itself says how far it is."""
        if node is None or why.comes_back or len(self.members) == 1:
            await super().leave(node, why)
            return
        await until(lambda: self._has_left(node))
        await self.note_left(node)

    async def _has_left(self, node: Member) -> bool:
        """One look, and what it wants: a member of the ring is told to leave, one that failed to is told again."""
        said, owns = await self.ask(lambda ring: (ring.words_of(node.address), ring.owns(node.address)))
        if said and said <= GONE:
            self.progress(f"{node.name} has left the ring", 1.0)
            return not owns
        if not self.members[node.name].ready:
            self.progress(f"{node.name} is {self.members[node.name].state}: it leaves once it is up")
            return False
        failed, (sent, total) = await self.ask(
            lambda ring: (ring.has_failed_to_leave(node.address), ring.streamed(node.address))
        )
        if failed or "NORMAL" in said:
            done = await node.run(config.own_tool("Leave"), timeout_s=LEAVE_S, codes=(0, config.TOOL_REFUSED))
            if done.code:
                raise NotNow(f"it does not begin to leave: {last_line(done)}", where=node.name)
        self.progress(
            f"{node.name} leaves: {fitting.how_far(sent, total)} streamed to others", fitting.share(sent, total)
        )
        return False

    async def stay(self, node: Member, why: Operation) -> None:
        """Cassandra 5.0 takes no decommission back; but a node that leaves is a member again after a start, with all it
        has, for until it has left nothing of it is given up. One that has left comes back as a new one, empty."""
        while (said := await self.ask(lambda ring: ring.words_of(node.address))) != {"NORMAL"}:
            if said and said <= GONE:
                await self.note_left(node)
                self.refresh()
                reason = "it had left the ring already: it comes again as a new node"
                await self.propose("restart", node, reason=reason, key=f"stay/{why.id}")
                return
            if "LEAVING" in said and self.members[node.name].ready:
                reason = "it stays after all: with a start it is a member of the ring again"
                await self.propose("restart", node, reason=reason, key=f"stay/{why.id}")
            self.progress(f"{node.name} comes back into the ring by a start")
            await asyncio.sleep(LOOK_S)

    async def spread(self, came: tuple[Member, ...], why: Operation) -> None:
        """A node that joined has its share already; the others drop what they gave away (``cleanup``), one after the
        other, within their ``compaction_throughput``. Who came last gave nothing away."""
        nodes = [
            node for node in self.members.of("node") if node.ready and node.name not in [n.name for n in came[-1:]]
        ]
        for number, node in enumerate(nodes):
            await self.rewrite(node, "cleanup", "cleanup", "cleaned up", number, len(nodes))

    async def rewrite(self, node: Member, command: str, task: str, word: str, number: int, count: int) -> None:
        """Has a node go through all of its files, as the ``number``th of ``count``; ``task`` is what it calls that."""
        rewriting = asyncio.create_task(node.run(config.nodetool_command(command), timeout_s=REWRITE_S))
        try:
            while not rewriting.done():
                await asyncio.wait([rewriting], timeout=LOOK_S)
                done, total = await self.ask(lambda ring: ring.rewritten(node.address, task))
                part = fitting.share(done, total)
                self.progress(f"{node.name}: {fitting.how_far(done, total)} {word}", (number + part) / count)
            rewriting.result()
        finally:
            if not rewriting.done():
                rewriting.cancel()
                await node.run(config.nodetool_command("stop", task.upper()))

"""What its ranges say to the stop of a node."""

from upcall.catalog.beside import comes_back_with_it, held_with
from upcall.catalog.cassandra.nodes import Nodes
from upcall.catalog.cassandra.ranges import COPIES_THAT_SPARE_ONE, ROLES, Cost, at_risk, words
from upcall.service import Member, Operation, Verdict, Way, accept, defer, hopeless
from upcall.service.consent import WAYS_MAX


class Consent(Nodes):
    """A node may go while every range keeps a majority of its replicas."""

    async def may_stop(self, node: Member, why: Operation) -> Verdict:
        """While every range keeps a majority of its replicas, and nothing is on its way between nodes.

        It is drained then: it tells the others, flushes its memtables and closes its commit log.
        """
        return await self.may_stop_together((node,), why)

    async def may_stop_together(self, nodes: tuple[Member, ...], why: Operation) -> Verdict:
        """The same without all of them. With three copies in three racks each range has one in each: a rack may go."""
        cost = await self.cost(*nodes)
        if isinstance(cost, Verdict):
            return cost
        if cost.for_now:
            return await self._not_now(f"token ranges would lose their quorum: {words(cost.for_now)}", nodes, why)
        if cost.always:
            return self._too_few_copies(cost)
        return accept()

    async def _not_now(self, reason: str, nodes: tuple[Member, ...], why: Operation) -> Verdict:
        """Waiting helps where others come back; not where they are held by what waits."""
        held = held_with(self.members.of("node"), why)
        whole = await self.cost(*nodes, *held) if held else Cost()
        if isinstance(whole, Cost) and whole.always:
            return comes_back_with_it(reason, held)
        return defer(reason, retry_after=5)

    async def may_restart(self, node: Member, why: Operation) -> Verdict:
        """Like a stop, but for what has too few copies to spare a node ever: it is away for a start's time, whenever
        the restart is."""
        cost = await self.cost(node, taking_back=self._takes_back(node))
        if isinstance(cost, Verdict):
            return cost
        if cost.for_now:
            return defer(f"token ranges would lose their quorum: {words(cost.for_now)}", retry_after=5)
        if cost.always:
            return accept(f"with too few copies to spare a node, so away until it is back: {words(cost.always)}")
        return accept()

    async def may_replace(self, node: Member, why: Operation) -> Verdict:
        """Its volume is given up: every range has to have a majority elsewhere."""
        if why.takes_back and len(self.members.of("node")) > 1:
            return hopeless(
                "its volumes of before hold tokens that were taken over since: two nodes would answer for them",
                would_help="a new node fills itself from the others: `upcall task replace`",
            )
        if why.takes_back:
            return accept("it comes back with what it had before; what it has now is set aside")
        cost = await self.cost(node)
        if isinstance(cost, Verdict):
            return cost
        if len(self.members.of("node")) == 1:
            return hopeless("it is the only node: its data would be gone", would_help="more nodes, and copies on them")
        if cost.for_now or cost.always:
            return defer(f"what is written there alone would be gone: {words(cost.for_now + cost.always)}")
        return accept()

    async def may_go_on(self, canary: Member, why: Operation) -> Verdict:
        """Once every range has its quorum without another node, and nothing is on its way between nodes."""
        cost = await self.cost(canary)
        if isinstance(cost, Verdict):
            return cost
        if cost.for_now:
            return defer(f"token ranges would lose their quorum: {words(cost.for_now)}", retry_after=5)
        return accept()

    async def cost(self, *nodes: Member, taking_back: bool = False) -> Cost | Verdict:
        """What the ranges would lose, or why it cannot be said now."""
        if not any(member.ready for member in self.members.of("node")):
            return accept("no node is ready: there is nothing that its stop could take away")
        moving = await self.ask(lambda ring: ring.moving())
        if moving and not (taking_back and nodes[0].address in moving):
            first = ", ".join(f"{who} is {word}" for who, word in list(moving.items())[:2])
            return defer(f"data is on its way: {first}", retry_after=5)
        up = {member.address for member in self.members.values() if member.ready}
        return await self.ask(lambda ring: at_risk(ring.ranges(), up, {node.address for node in nodes}))

    async def costs_now(self, node: Member) -> bool:
        """Its stop would take a quorum now, and waiting may help."""
        cost = await self.cost(node, taking_back=self._takes_back(node))
        return cost.word == "defer" if isinstance(cost, Verdict) else bool(cost.for_now)

    def _takes_back(self, node: Member) -> bool:
        """If it leaves, nobody wants it to any more: a start is what ends that."""
        return not any(each.kind == "scale_in" and each.member == node.name for each in self.operations)

    def _too_few_copies(self, cost: Cost) -> Verdict:
        """No waiting helps. With enough nodes more copies do; a ring of one or two can only be away meanwhile."""
        reason = f"token ranges have too few copies to spare a node: {words(cost.always)}"
        if (there := len(self.members.there("node"))) < COPIES_THAT_SPARE_ONE:
            return hopeless(
                f"{reason}; a ring of {there} has no room for more copies, so they are away meanwhile",
                would_help="the stop goes over this answer at the end of its window: --on-deadline proceed",
            )
        keyspaces = [name for name in sorted(cost.always) if name != ROLES][:WAYS_MAX]
        return hopeless(
            reason,
            would_help=[
                Way(
                    f"give {name} a replication that spares one",
                    action="set-replication",
                    arguments={"keyspace": name, "replication": COPIES_THAT_SPARE_ONE},
                    costs="disk for the copies, and a repair that makes them",
                )
                for name in keyspaces
            ],
        )

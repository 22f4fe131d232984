"""Kafka, as its operators run it."""

import asyncio
from typing import Any

from upcall.catalog.beside import comes_back_with_it, held_with
from upcall.catalog.kafka import quorum
from upcall.catalog.kafka.autoscale import ScalesItself
from upcall.catalog.kafka.backup import Backups
from upcall.catalog.kafka.brokers import founded, node_id
from upcall.catalog.kafka.changing import Changing
from upcall.catalog.kafka.looking import Looking
from upcall.catalog.kafka.partitions import Cost, Partition, counted, missing_without, named, out_of_sync
from upcall.catalog.kafka.relieving import Relieving
from upcall.catalog.losing import HoldsCopies
from upcall.service import Member, Operation, Verdict, Way, accept, defer, hopeless
from upcall.service.consent import WAYS_MAX
from upcall.service.context import Context

LOOK_PART = 4.0
"""Between two looks at what is in sync passes so many times what one took."""


class Kafka(Relieving, ScalesItself, Changing, Looking, Backups, HoldsCopies):
    """Apache Kafka in KRaft mode: brokers that are controllers too, in a quorum that can change."""

    noun = "broker"
    away = "the brokers that are away, when they come back"

    def __init__(self, context: Context | None = None) -> None:
        super().__init__(context)
        self._behind: frozenset[Partition] = frozenset()
        self._look_again_s = 0.0

    # -- consent ----------------------------------------------------------------------------------------------------

    async def may_stop(self, broker: Member, why: Operation) -> Verdict:
        """While the controllers keep their majority, and every partition its ``min.insync.replicas``."""
        return await self.may_stop_together((broker,), why)

    async def may_stop_together(self, brokers: tuple[Member, ...], why: Operation) -> Verdict:
        """The same without all of them. With a copy of each partition in every zone, that is so of a zone's brokers."""
        cost = await self._cost(*brokers)
        if isinstance(cost, Verdict):
            held = held_with(self.members.of("broker"), why) if cost.word == "defer" else ()
            return await self._not_now(cost, brokers, held) if held else cost
        return self._too_few_replicas(cost) if cost.always else accept()

    async def _not_now(self, said: Verdict, brokers: tuple[Member, ...], held: tuple[Member, ...]) -> Verdict:
        """Waiting helps where others come back; not where they are held by what waits."""
        whole = await self.cost_of_stopping(*brokers, *held)
        everybody = set(map(node_id, self.members.of("broker")))
        short = quorum.short_of_majority(await self.voting(), everybody, set(map(node_id, (*brokers, *held))))
        return comes_back_with_it(said.reason, held) if whole.always or short else said

    async def may_restart(self, broker: Member, why: Operation) -> Verdict:
        """Like a stop, but for what has too few replicas to spare a broker ever: it is away for a start's time,
        whenever the restart is."""
        cost = await self._cost(broker)
        if isinstance(cost, Verdict):
            return cost
        if cost.always:
            return accept(f"with too few replicas to spare a broker, so away until it is back: {named(cost.always)}")
        return accept()

    async def may_replace(self, broker: Member, why: Operation) -> Verdict:
        """Its volume is given up: everything on it has to be in sync elsewhere."""
        alone = not self.members.without(broker)
        if alone and why.takes_back:
            return accept("it comes back with what it had before; what it has now is set aside")
        if alone:
            return hopeless("it is the only broker: its data would be gone", would_help="more brokers, and replicas")
        return await self.may_stop(broker, why)

    async def _cost(self, *brokers: Member) -> Cost | Verdict:
        """What the partitions would lose, or the answer that is clear already."""
        if not self.members.ready:
            return accept("no broker is ready: there is nothing that its stop could take away")
        cost = await self.cost_of_stopping(*brokers)
        if cost.for_now:
            what = f"{counted(cost.for_now)} would fall below min.insync.replicas ({named(cost.for_now)})"
            return defer(what, retry_after=5)
        if len(self.members) > len(brokers) and (short := await self.short_of_majority(*brokers)):
            return defer(short, retry_after=5)
        return cost

    def _too_few_replicas(self, cost: Cost) -> Verdict:
        """No waiting helps. With enough brokers another replica does; a lone one can only be away meanwhile."""
        reason = f"{counted(cost.always)} with too few replicas to spare a broker ({named(cost.always)})"
        if len(self.members) == 1:
            return hopeless(
                f"{reason}: there is one broker, so they are away while it is",
                would_help="the stop goes over this answer at the end of its window: --on-deadline proceed",
            )
        there = len(self.members.there("broker"))
        ways = [
            Way(
                f"give {topic} {copies} replicas",
                action="raise-replication",
                arguments={"topic": topic, "replicas": copies},
                costs="disk and traffic for the new replicas",
            )
            if copies <= there
            else Way(f"lower min.insync.replicas of {topic}, or add brokers: {copies} replicas would spare one")
            for topic, copies in sorted(cost.wanted.items())
        ]
        possible = {topic: copies for topic, copies in cost.wanted.items() if copies <= there}
        if self.options.few_replicas == "raise" and len(possible) == len(cost.wanted):
            self.raise_beside(possible)
            return defer(f"{reason}: they get another one first", retry_after=2)
        return hopeless(reason, would_help=ways[:WAYS_MAX])

    async def watched(self) -> Any:
        """What is not in sync. With many partitions a look takes its time, so that it is a small part of it."""
        clock = asyncio.get_running_loop().time
        began_s = clock()
        if began_s >= self._look_again_s:
            behind = out_of_sync(await self.partitions())
            self._behind = frozenset(behind)
            self._look_again_s = clock() + LOOK_PART * (clock() - began_s)
        return self._behind

    async def cost_of_stopping(self, *without: Member) -> Cost:
        return await self.ask(lambda admin: admin.cost_of_stopping(set(map(node_id, without))))

    # -- recovery ---------------------------------------------------------------------------------------------------

    async def missing_without(self, broker: Member) -> str:
        """The others have to have all that was on it, and to agree without it."""
        voting, partitions = await self.voting(), await self.partitions()
        ready = {node_id(other) for other in self.members.without(broker) if other.ready}
        return missing_without(node_id(broker), partitions, voting, self.alive(), ready)

    async def after_ready(self, broker: Member) -> None:
        """A broker that was replaced or came later fills its replicas by itself, but it has no vote until it is given
        one. What was changed while it ran stands in its file now."""
        await super().after_ready(broker)
        await self.forget_live(broker)
        seats = quorum.seats(len(self.members.there("broker")))
        if founded(broker) or node_id(broker) > seats or not self.members.without(broker):
            return
        beside = self.beside(broker)
        self.log.info("%s: %s", broker.name, await quorum.join(broker, node_id(broker), beside))
        self._voters = None

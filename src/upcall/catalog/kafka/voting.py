"""The quorum of controllers: who votes, who gets a vote, and who loses it."""

from typing import Any

from upcall.catalog.kafka import config, quorum
from upcall.catalog.kafka.brokers import Brokers, founded, node_id
from upcall.catalog.spreading import from_the_fullest_rack
from upcall.service import Member, action


class Voting(Brokers):
    """Brokers that are controllers too, in a quorum that can change."""

    _voters: tuple[Any, frozenset[int]] | None = None
    """Who votes, in a world of members."""

    async def short_of_majority(self, *brokers: Member) -> str:
        return quorum.short_of_majority(await self.voting(), self.alive(), set(map(node_id, brokers)))

    async def voting(self) -> frozenset[int]:
        """Node ids of all voters, of dead ones too. Those that founded the quorum are voters as long as they are where
        they were, and alone; else the quorum is asked, once for each change of who is where."""
        members = list(self.members.values())
        if len(members) <= config.FOUNDERS and all(founded(member) for member in members):
            return frozenset(map(node_id, members))
        world = tuple((member.name, member.place) for member in members)
        if self._voters is None or self._voters[0] != world:
            self._voters = world, frozenset(each.node_id for each in await quorum.voters(self.beside()))
        return self._voters[1]

    async def seat(self, *leaving: Member) -> None:
        """An odd number votes, in as many racks as there are, the first ones of these: who has no vote and should gets
        one, before others lose theirs."""
        brokers = self.but(*leaving)
        spare = len(brokers) - quorum.seats(len(brokers))
        without = {*map(node_id, from_the_fullest_rack(brokers, spare, per_node=self.options.per_node))}
        seats = {node_id(broker): broker for broker in brokers if node_id(broker) not in without}
        beside = self.beside(*leaving)
        standing = await quorum.voters(beside)
        self._voters = None
        for voter in seats.keys() - {each.node_id for each in standing}:
            if seats[voter].ready:
                self.log.info("%s: %s", seats[voter], await quorum.join(seats[voter], voter, self.beside(seats[voter])))
        for each in standing:
            if each.node_id not in seats:
                await quorum.part(each, beside)
        self._voters = None

    @action
    async def voters(self) -> list[dict[str, Any]]:
        """The controllers that vote."""
        found = await quorum.voters(self.beside())
        return [{"node_id": each.node_id, "directory_id": each.directory_id} for each in found]

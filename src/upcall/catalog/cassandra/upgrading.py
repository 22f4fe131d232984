"""From one version of Cassandra to the next: what can be gone back from, and what cannot.

Nodes go one by one to a newer version that still *writes as the older one does*: each reads what the other streams to
it, and ``rollback`` finds files that the old version knows. ``finalize`` ends that. It takes the whole ring through the
modes of :mod:`upcall.catalog.cassandra.releases`, each by a restart of every node that is asked about like any other,
and then has each node write its data anew in its own form (``nodetool upgradesstables``).
"""

from collections.abc import Iterable
from typing import Any

from upcall.catalog.cassandra.forms import NEWEST, Forms
from upcall.catalog.cassandra.releases import OLDEST, release
from upcall.catalog.cassandra.ring import NodeState
from upcall.catalog.cassandra.scaling import Scaling
from upcall.protocol.releases import version_key
from upcall.service import Member, Operation, Update, Verdict, accept, action, decline, defer


class Upgrading(Scaling, Forms):
    """The code of the version that would come says whether it may; that of the one that is there makes it final."""

    async def may_update(self, update: Update, why: Operation) -> Verdict:
        """Every node there and of one schema, nothing on its way, and what is written readable by what comes."""
        if update.upgrade:
            against = await self._objection(update)
            if against.word != "accept":
                return against
        return await super().may_update(update, why)

    async def _objection(self, update: Update) -> Verdict:
        back = version_key(self.version) < version_key(update.came_from)
        if back and self._mode != OLDEST:
            return decline(
                f"its nodes write as Cassandra {update.came_from} does since `upcall finalize` began: Cassandra"
                f" {self.version} cannot read that"
            )
        if back:
            return accept()  # Also what stands still in the middle of an upgrade goes back.
        away = self.members.away("node")
        if away:
            return defer(f"{', '.join(away)} is away: nodes of two versions need all of them", retry_after=5)
        cost = await self.cost(self.members.of("node")[0])
        if isinstance(cost, Verdict):
            return cost
        return await self._of_one_schema()

    async def may_go_on(self, canary: Member, why: Operation) -> Verdict:
        said = await super().may_go_on(canary, why)
        return said if said.word != "accept" else await self._of_one_schema()

    async def _of_one_schema(self) -> Verdict:
        """Nodes of one version agree on what tables there are; those of two need not, while both are there."""
        found = await self.ask(lambda ring: ring.node_states())
        if unheard := self._unheard(found):
            return defer(f"{unheard} has not said which schema it knows", retry_after=2)
        for version in sorted({each.version for each in found}):
            schemas = {each.schema for each in found if each.version == version}
            if len(schemas) > 1:
                return defer(f"nodes of version {version} have {len(schemas)} schemas", retry_after=2)
        return accept()

    def _unheard(self, found: Iterable[NodeState]) -> str:
        """Who is ready, and to whom nobody has a connection yet."""
        heard = {each.address for each in found}
        return ", ".join(node.name for node in self.members.of("node") if node.ready and node.address not in heard)

    async def may_finalize(self, why: Operation) -> Verdict:
        """Once every node is back in this version, and nothing is on its way between nodes."""
        if not release(self.version).modes:
            return decline(f"Cassandra {self.version} writes in one form: there is nothing to finalize")
        away = self.members.away("node")
        if away:
            return defer(f"{', '.join(away)} is not back", retry_after=5)
        found = await self.ask(lambda ring: ring.node_states())
        if unheard := self._unheard(found):
            return defer(f"{unheard} has not said in which form it writes", retry_after=2)
        older = sorted({each.version for each in found if each.version != self.version})
        if older:
            return defer(f"a node is of version {', '.join(older)} still", retry_after=5)
        if self._mode == NEWEST and all(each.mode == NEWEST for each in found):
            return decline(f"its nodes write as Cassandra {self.version} does already")
        cost = await self.cost(self.members.of("node")[0])
        return cost if isinstance(cost, Verdict) else accept()

    async def finalize(self, why: Operation) -> None:
        """Wherever this was interrupted, the nodes themselves say how far they are."""
        await self.write_in_newest_form(f"finalize/{why.id}")
        nodes = self.members.of("node")
        for number, node in enumerate(nodes):
            await self.rewrite(node, "upgradesstables", "upgrade_sstables", "written anew", number, len(nodes))

    @action
    async def versions_of_nodes(self) -> list[dict[str, Any]]:
        """Which version each node runs, in which form it writes, and which schema it knows."""
        found: list[NodeState] = await self.ask(lambda ring: ring.node_states())
        names = {member.address: member.name for member in self.members.values()}
        rows = [
            {"node": names.get(one.address, ""), "version": one.version, "writes_as": one.mode, "schema": one.schema}
            for one in found
        ]
        return sorted(rows, key=lambda row: str(row["node"]))

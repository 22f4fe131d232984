"""How the ring is, looked at with what the look before saw."""

from upcall.catalog.cassandra import health
from upcall.catalog.cassandra.nodes import Nodes
from upcall.protocol.errors import NotNow
from upcall.service import Degraded, filling_disks


class Looking(Nodes):
    _dropped: dict[str, int] | None = None

    async def health(self) -> list[Degraded]:
        members = {member.address: member for member in self.members.of("node") if member.address}
        disks = filling_disks(members.values(), health.MORE_ROOM)
        if not self.members.ready:
            return disks  # Nobody answers: the system tells that itself.
        try:
            signs = await self.ask(health.look)
        except Exception as error:
            from upcall.catalog.cassandra.ring import passes

            if said := passes(error):
                raise NotNow(said, where=self.name) from error
            raise
        before, self._dropped = self._dropped or {}, dict(signs.dropped)
        return health.told(signs, members, before) + disks

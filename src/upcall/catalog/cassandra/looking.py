"""How the ring is, looked at with what the look before saw."""

from upcall.catalog.cassandra import health
from upcall.catalog.cassandra.nodes import Nodes
from upcall.service import Degraded, filling_disks


class Looking(Nodes):
    _dropped: dict[str, int] | None = None

    async def health(self) -> list[Degraded]:
        members = {member.address: member for member in self.members.of("node") if member.address}
        disks = filling_disks(members.values(), health.MORE_ROOM)
        if not self.members.ready:
            return disks  # Nobody answers: the system tells that itself.
        signs = await self.ask(health.look)
        before, self._dropped = self._dropped or {}, dict(signs.dropped)
        return health.told(signs, members, before) + disks

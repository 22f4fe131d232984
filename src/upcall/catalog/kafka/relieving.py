"""Brokers whose disks fill: writers are slowed, nothing is deleted that a person wanted kept.

A broker with a full disk ends, and one that is started again is as full. Kafka refuses no write for lack of room, and
to shorten a topic's retention is to delete somebody's data. What is left is Kafka's quota on producers: the brokers
take less, until retention, a person or a larger disk has made room. A person's own quota is put back as it was.
"""

import asyncio
import re
from typing import Final

from upcall.catalog.kafka import config, health, quorum
from upcall.catalog.kafka.brokers import node_id
from upcall.catalog.kafka.voting import Voting
from upcall.service import Degraded, Member

SLOWED: Final = "slowed"
"""The quota that was there before, while another one stands; empty: none."""
NEAR_BYTES_S: Final = 1 << 20
OVER_BYTES_S: Final = 16 << 10
"""Of what is over its size already: hardly anything, and clients see it as a slow cluster, not as a dead one."""
LAG_EVERY_S: Final = 60.0
"""Kafka's tool is a JVM of its own: it is asked only while something is wrong, and seldom."""
_QUOTA: Final = re.compile(rf"{config.QUOTA}=([0-9.]+)")


class Relieving(Voting):
    """What is wrong, and what is done about it."""

    _slowed_to: int | None = None
    _lags: tuple[float, dict[int, int]] = (0.0, {})

    async def relieve(self, filling: tuple[Member, ...]) -> None:
        """Kept before it is set: a host that dies in between takes it back."""
        known = await self.state.get(SLOWED)
        if not filling:
            if known is not None:
                await self._limit(int(float(known)) if known else None)
                await self.state.delete(SLOWED)
            self._slowed_to = None
            return
        if known is None:
            found = _QUOTA.search((await self.beside().run(config.quota_query(), timeout_s=60.0)).output)
            known = found[1] if found else ""
            await self.state.set(SLOWED, known)
        to = OVER_BYTES_S if any(one.over for member in filling for one in member.filling) else NEAR_BYTES_S
        to = min(to, int(float(known))) if known else to
        await self._limit(to)
        self._slowed_to = to

    async def _limit(self, bytes_a_second: int | None) -> None:
        await self.beside().run(config.quota_command(bytes_a_second), timeout_s=60.0)

    async def health(self) -> list[Degraded]:
        members = list(self.members.values())
        slowed = self._slowed_to / (1 << 20) if self._slowed_to is not None else None
        disks = health.of_disks(members, slowed)
        voters = health.of_quorum(await self.voting(), self.alive()) if self.members.ready else []
        if not self.members.ready:
            return disks  # Nobody answers: the system tells that itself.
        served = await self.ask(lambda admin: admin.served())
        found = health.of_partitions(served, set(self.ready_ids())) + voters
        found += health.of_brokers(members, served.brokers)
        return found + await self._lagging(bool(found)) + disks

    async def _lagging(self, look: bool) -> list[Degraded]:
        """A voter that runs and lags is seldom the only thing that is wrong."""
        if not look:
            self._lags = (0.0, {})
            return []
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._lags[0]:
            late = await quorum.lags(self.beside())
            running = {node_id(member) for member in self.members.values() if member.ready}
            self._lags = (now_s + LAG_EVERY_S, {each: lag for each, lag in late.items() if each in running})
        return health.of_lag(self._lags[1])

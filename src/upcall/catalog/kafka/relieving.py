"""Brokers whose disks fill: writers are slowed, nothing is deleted that a person wanted kept.

A broker with a full disk ends, and one that is started again is as full. Kafka refuses no write for lack of room, and
to shorten a topic's retention is to delete somebody's data. What is left is Kafka's quota on producers: the brokers
take less, until retention, a person or a larger disk has made room. A person's own quota is put back as it was.
"""

import asyncio
import re
from collections.abc import Iterable, Set
from typing import Final

from upcall.catalog.kafka import config, health, quorum
from upcall.catalog.kafka.brokers import node_id
from upcall.catalog.kafka.voting import Voting
from upcall.protocol.errors import UpcallError
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
    _lags: dict[int, int] | None = None
    _look_at_s = 0.0
    _silent: Set[int] = frozenset()

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
        if not self.members.ready:
            return disks  # Nobody answers: the system tells that itself.
        voting, served = await self.voting(), await self.ask_now(lambda admin: admin.served())
        heard = await self._heard(members, served.brokers)
        running = set(self.ready_ids()) | heard
        found = health.of_partitions(served, running)
        found += health.of_quorum(voting, self.alive() | heard)
        found += health.of_brokers(members, served.brokers)
        # A voter that runs and lags is seldom the only thing that is wrong.
        if not found and not heard:
            self._look_at_s = 0.0  # What is wrong next is looked at when it is.
        late = (await self._late() if found else None) or {}
        found += health.of_lag({each: lag for each, lag in late.items() if each in running})
        return found + health.of_silent(heard) + disks

    async def _heard(self, members: Iterable[Member], let_in: Set[int]) -> set[int]:
        """Brokers whose nodes say nothing to us, and that run on: the controllers let them in, and they read what is
        agreed on. To be let in alone proves nothing, for without a quorum nobody can be put out."""
        silent = {node_id(member) for member in members if member.state == "lost"} & let_in
        if silent - self._silent:
            self._look_at_s = 0.0  # What was known of them is of before.
        self._silent = silent
        late = await self._late() if silent else None
        return silent - late.keys() if late is not None else set()

    async def _late(self) -> dict[int, int] | None:
        """The voters that are behind, as the quorum says; None: it does not answer."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._look_at_s:
            try:
                self._lags = await quorum.lags(self.beside())
            except UpcallError as error:
                self.log.info("the quorum does not answer: %s", error)
                self._lags = None
            self._look_at_s = now_s + LAG_EVERY_S
        return self._lags

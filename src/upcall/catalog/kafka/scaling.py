"""Brokers come and leave: their replicas are moved, and their votes."""

import asyncio

from upcall.catalog import spreading
from upcall.catalog.kafka import config, moves
from upcall.catalog.kafka.brokers import id_of, node_id
from upcall.catalog.kafka.moving import Moving
from upcall.catalog.kafka.partitions import counted, named, out_of_sync
from upcall.catalog.kafka.voting import Voting
from upcall.service import Member, Operation, Told, Verdict, accept, decline, defer, every
from upcall.service.consent import WAYS_MAX
from upcall.service.context import Context

FILLED_MAX = 0.85
"""Share of a broker's volume that may be full once others have left."""
GONE = "gone"
LEFT_S = 1.0


class Scaling(Voting):
    """A broker that comes gets its share; one that leaves leaves nothing behind."""

    def __init__(self, context: Context | None = None) -> None:
        super().__init__(context)
        self._moving = Moving(self)

    @every("never")
    async def spread(self, came: tuple[Member, ...], why: Operation) -> None:
        """Replicas move until all brokers have as many; called off, what moves stays where it was."""
        await self.seat()
        await self._unregister()
        ready = self.ready_ids()
        try:
            await self._moving.carry_out(lambda found: moves.evened(found, ready, self.zones()), "spread")
        except asyncio.CancelledError:
            await self._moving.call_off()
            raise

    def who_leaves(self, members: tuple[Member, ...], count: int) -> list[Member]:
        """From the fullest racks: replicas of a partition are in as many as there are."""
        return spreading.from_the_fullest_rack(members, count, per_node=self.options.per_node)

    async def may_scale_in(self, broker: Member, why: Operation) -> Verdict:
        """While those that stay have room for all replicas, and are enough for them and for a majority."""
        staying = self._staying(broker, why)
        if len(staying) < config.FOUNDERS:
            return decline(f"{len(staying)} brokers would be left: the quorum needs {config.FOUNDERS} to spare one")
        partitions = await self.partitions()
        if many := moves.too_many_replicas(await self._moving.arrived(partitions), len(staying)):
            said = ", ".join(f"{topic} has {copies} replicas" for topic, copies in sorted(many.items())[:WAYS_MAX])
            return decline(f"{said}, and {len(staying)} brokers would be left")
        if behind := out_of_sync(partitions):
            return defer(f"{counted(behind)} not in sync ({named(behind)})", retry_after=5)
        wanted = moves.away(partitions, {node_id(broker), *map(id_of, why.leaving)}, staying, self.zones())
        if closer := moves.in_fewer_zones(wanted, self.zones()):
            said = ", ".join(f"{each} is in {before} racks, and would be in {after}" for each, before, after in closer)
            return decline(
                f"{said}: {len(staying)} brokers would be left; fewer that leave, or others, keep them apart"
            )
        sizes, limit = await self._moving.sizes(self.ready_ids()), int((self.options.disk_mib << 20) * FILLED_MAX)
        if full := moves.without_room(wanted, sizes, limit):
            said = ", ".join(f"broker-{each - 1} {size >> 20} MiB" for each, size in sorted(full.items()))
            return decline(f"no room: with what {broker} has, {said} of {self.options.disk_mib} MiB of disk each")
        return accept()

    async def leave(self, broker: Member | None, why: Operation) -> None:
        """Its replicas go to those that stay; it ends once nothing of them is left on it, and it has no vote."""
        if broker is None or why.kind != "scale_in":
            await super().leave(broker, why)
            return
        own, staying = node_id(broker), self._staying(broker, why)
        await self._moving.carry_out(lambda found: moves.away(found, {own}, staying, self.zones()), f"{broker} leaves")
        # One that never came, or is away, has nothing to be asked for: all that it was to have is elsewhere by now.
        while broker.ready and (there := (await self._moving.sizes([own])).get(own)):
            self.progress(f"{broker} leaves: replicas still to be deleted there: {len(there)}")
            await asyncio.sleep(LEFT_S)
        await self.seat(broker)
        await self.state.update(GONE, lambda known: sorted({*(known or ()), own}))

    async def stay(self, broker: Member, why: Operation) -> None:
        """What moves stays, what has moved comes back, and it has its vote again."""
        await self._moving.call_off()
        await self.spread((broker,), why)

    async def on_told(self, told: Told) -> None:
        if told.operation.kind == "scale_in" and told.what == "done":
            await self._unregister()

    async def _unregister(self) -> None:
        """Kafka forgets those that have left; one that came again has its registration anew."""
        present = {node_id(member) for member in self.members.values()}
        gone = await self.state.get(GONE, [])
        for each in set(gone) - present:
            await self.beside().run(config.unregister_command(each), timeout_s=60.0)
        if gone:
            await self.state.update(GONE, lambda known: [each for each in known or () if each not in gone])

    def _staying(self, broker: Member, why: Operation) -> list[int]:
        """Who is left when this one and all that leave with it are gone."""
        leaving = {broker.name, *why.leaving}
        return [node_id(each) for each in self.members.there("broker") if each.name not in leaving]

"""Carries moves of replicas out: throttled, with progress, to their end or back.

A replica moves in three steps, so that no write waits for it: the partition gets the new one beside the old; when it is
in sync, the leader moves while the old one still serves; then the old one goes. What moves is written down before, with
what was before: a host that starts again in the middle goes on, or back.
"""

import asyncio
import json
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from upcall.catalog.kafka import config, moves
from upcall.catalog.kafka.moves import Sizes, Targets
from upcall.catalog.kafka.partitions import Partition, reassignment

if TYPE_CHECKING:
    from upcall.catalog.kafka.admin import Admin
    from upcall.catalog.kafka.brokers import Brokers

MOVING: Final = "moving"
AT_ONCE_MAX: Final = 100
"""Partitions; what is written down stays small, and so does what has to go back."""
LOOK_S: Final = 1.0
SIZES_AFTER_S: Final = 3.0
SIZES_EVERY_S: Final = 15.0
"""How much has arrived is asked by a tool of its own, which takes longer than few replicas take to move."""
TOOL_S: Final = 60.0
AGAIN_S: Final = 30.0
"""What is wanted is submitted again: a tool of a host that died meanwhile may have submitted something else later."""
MIB: Final = 1 << 20


class Moving:
    """The replicas of one service's brokers, on their way."""

    def __init__(self, kafka: "Brokers") -> None:
        self._kafka = kafka
        self._one = asyncio.Lock()
        """What comes, what leaves and what stays after all move replicas one after the other: there is one record."""

    async def carry_out(self, plan: Callable[[list[Partition]], Targets], what: str) -> None:
        """Until there is nothing left to move; what is under way already comes first."""
        async with self._one:
            await self._carry_out(plan, what)

    async def _carry_out(self, plan: Callable[[list[Partition]], Targets], what: str) -> None:
        while wanted := await self._under_way() or await self._begin(plan):
            beside = {each: [*to, *(old for old in each.replicas if old not in to)] for each, to in wanted.items()}
            await self._reassign(beside, what)
            await self._kafka.ask(lambda admin: admin.lead_by_the_first(wanted))
            await asyncio.sleep(LOOK_S)
            await self._reassign(wanted, what)
            await self._over(wanted)

    async def call_off(self) -> None:
        """What has moved stays there; of what is on its way, only the old replicas stay."""
        async with self._one:
            if wanted := await self._under_way():
                if left := await self._left(wanted):
                    await self._reassign({each: list(each.replicas) for each in left}, "put back")
                await self._over(wanted)

    async def arrived(self, partitions: Sequence[Partition]) -> list[Partition]:
        """As they are to be: one that is being moved has more replicas for a while than it keeps."""
        wanted = {str(each): tuple(to) for each, to in (await self._under_way()).items()}
        return [replace(each, replicas=wanted.get(str(each), each.replicas)) for each in partitions]

    async def sizes(self, brokers: Sequence[int]) -> Sizes:
        """What lies on these brokers."""
        return moves.parsed_sizes(await self._tool(config.log_dirs_command(brokers)))

    async def _under_way(self) -> Targets:
        """What was begun, each partition as it was before."""
        kept = await self._kafka.state.get(MOVING, [])
        return {Partition(topic, number, tuple(was), ()): to for topic, number, was, to in kept}

    async def _begin(self, plan: Callable[[list[Partition]], Targets]) -> Targets:
        kafka = self._kafka
        wanted = dict(islice(plan(await kafka.partitions()).items(), AT_ONCE_MAX))
        if wanted:
            rows: list[Any] = [[each.topic, each.number, list(each.replicas), to] for each, to in wanted.items()]
            await kafka.state.set(MOVING, rows)
        return wanted

    async def _left(self, wanted: Targets) -> Targets:
        """What is not as it is to be, of topics that are still there."""
        there = {str(each): set(each.replicas) for each in await self._kafka.partitions()}
        return {each: to for each, to in wanted.items() if there.get(str(each), set(to)) != set(to)}

    async def _reassign(self, wanted: Targets, what: str) -> None:
        rate = int(self._kafka.options.move_mib_s * MIB)
        await self._kafka.ask(lambda admin: admin.throttle(wanted, rate, self._kafka.ready_ids()))
        await self._submit(wanted)
        await self._until_there(wanted, what)

    async def _submit(self, wanted: Targets) -> None:
        await self._tool(config.reassign_command("--execute", "--additional"), reassignment(wanted))

    async def _until_there(self, wanted: Targets, what: str) -> None:
        now_s = asyncio.get_running_loop().time
        coming = [(each, broker) for each, to in wanted.items() for broker in set(to) - set(each.replicas)]
        total, arrived, done = 0.0, 0.0, 0
        next_s, again_s = now_s() + SIZES_AFTER_S, now_s() + AGAIN_S
        while done < len(wanted):
            now = {str(each): each for each in await self._kafka.partitions()}
            left = {each: to for each, to in wanted.items() if str(each) in now and not _has(now[str(each)], to)}
            if len(wanted) - len(left) > done:
                there = {each.topic for each in wanted.keys() - left.keys()}
                await self._kafka.ask(partial(_throttle_only, left, there))
            done = len(wanted) - len(left)
            if left and now_s() >= again_s:
                await self._submit(left)
                again_s = now_s() + AGAIN_S
            if coming and now_s() >= next_s:
                sizes = await self.sizes(self._kafka.ready_ids())
                total = sum(moves.bytes_of(each, sizes) for each, _ in coming) / MIB
                arrived = sum(sizes.get(broker, {}).get(str(each), 0) for each, broker in coming) / MIB
                next_s = now_s() + SIZES_EVERY_S
            arrived = total if done == len(wanted) else min(arrived, total)
            volume = f"{arrived:.1f} of {total:.1f} MiB, " if total else ""
            words = f"{what}: {volume}{done} of {len(wanted)} partitions"
            self._kafka.progress(words, arrived / total if total else done / len(wanted))
            await asyncio.sleep(LOOK_S if done < len(wanted) else 0)

    async def _over(self, wanted: Targets) -> None:
        topics = {each.topic for each in wanted}
        await self._kafka.ask(lambda admin: admin.unthrottle(topics, self._kafka.ready_ids()))
        await self._kafka.state.delete(MOVING)

    async def _tool(self, command: tuple[str, ...], given: object = None) -> str:
        """Called off or not, it runs to its end: what is submitted next must not be overtaken by it."""
        text = json.dumps(given) if given is not None else ""
        run = asyncio.ensure_future(self._kafka.beside().run(command, input=text, timeout_s=TOOL_S))
        try:
            return (await asyncio.shield(run)).output
        except asyncio.CancelledError:
            await asyncio.wait([run])
            raise


def _throttle_only(left: Targets, topics: Set[str], admin: "Admin") -> None:
    admin.throttle_only(left, topics)


def _has(each: Partition, to: Sequence[int]) -> bool:
    return set(each.replicas) == set(to) <= set(each.in_sync)

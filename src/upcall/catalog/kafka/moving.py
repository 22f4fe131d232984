"""Carries moves of replicas out: throttled, with progress, to their end or back.

Nothing of it is remembered but which topics are throttled: what moves is asked of Kafka, so a host that starts again in
the middle goes on with what it finds.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from upcall.catalog.kafka import config, moves
from upcall.catalog.kafka.moves import Sizes, Targets
from upcall.catalog.kafka.partitions import Partition, reassignment
from upcall.service import Member

if TYPE_CHECKING:
    from upcall.catalog.kafka.service import Kafka

THROTTLED: Final = "throttled"
LOOK_S: Final = 1.0
SIZES_EVERY_S: Final = 15.0
"""How much has arrived is asked by a tool of its own."""
TOOL_S: Final = 60.0
MIB: Final = 1 << 20


class Moving:
    """The replicas of one service's brokers, on their way."""

    def __init__(self, kafka: "Kafka") -> None:
        self._kafka = kafka

    async def carry_out(self, plan: Callable[[list[Partition]], Targets], what: str) -> None:
        """Until there is nothing left to move; what moves already is waited for first."""
        while going := await self._going() or await self._begin(plan):
            await self._until_there(going, what)
        await self._unthrottle()

    async def call_off(self) -> None:
        """What moves stays where it is."""
        if going := await self._going():
            await self._tool(config.reassign_command("--cancel", "--preserve-throttles"), reassignment(going))
        await self._unthrottle()

    async def sizes(self, brokers: Sequence[int]) -> Sizes:
        """What lies on these brokers."""
        return moves.parsed_sizes(await self._tool(config.log_dirs_command(brokers)))

    async def _going(self) -> Targets:
        return moves.listed(await self._tool(config.reassignments_command()))

    async def _begin(self, plan: Callable[[list[Partition]], Targets]) -> Targets:
        kafka = self._kafka
        wanted = plan(await kafka.partitions())
        if wanted:
            topics = sorted({each.topic for each in wanted})
            await kafka.state.update(THROTTLED, lambda known: sorted({*(known or ()), *topics}))
            rate = int(kafka.options.move_mib_s * MIB)
            await kafka.ask(lambda admin: admin.throttle(wanted, rate, self._brokers()))
            await self._tool(config.reassign_command("--execute", "--additional"), reassignment(wanted))
        return wanted

    async def _until_there(self, going: Targets, what: str) -> None:
        now_s = asyncio.get_running_loop().time
        targets = {str(each): set(to) for each, to in going.items()}
        coming = [(each, broker) for each, to in going.items() for broker in set(to) - set(each.in_sync)]
        total, arrived, next_s, done = 0.0, 0.0, 0.0, 0
        while done < len(going):
            found = await self._kafka.partitions()
            left = [each for each in found if targets.get(str(each), set(each.replicas)) != set(each.replicas)]
            done = len(going) - len(left)
            if now_s() >= next_s:
                sizes = await self.sizes(self._brokers())
                total = sum(moves.bytes_of(each, sizes) for each, _ in coming) / MIB
                arrived = sum(sizes.get(broker, {}).get(str(each), 0) for each, broker in coming) / MIB
                next_s = now_s() + SIZES_EVERY_S
            arrived = arrived if left else total
            words = f"{what}: {arrived:.1f} of {total:.1f} MiB, {done} of {len(going)} partitions"
            self._kafka.progress(words, arrived / total if total else done / len(going))
            await asyncio.sleep(LOOK_S if left else 0)

    async def _unthrottle(self) -> None:
        if topics := await self._kafka.state.get(THROTTLED, []):
            await self._kafka.ask(lambda admin: admin.unthrottle(topics, self._brokers()))
            await self._kafka.state.delete(THROTTLED)

    def _brokers(self) -> list[int]:
        return self._kafka.ready_ids()

    async def _tool(self, command: tuple[str, ...], given: object = None) -> str:
        beside: Member = self._kafka.beside()
        text = json.dumps(given) if given is not None else ""
        return (await beside.run(command, input=text, timeout_s=TOOL_S)).output

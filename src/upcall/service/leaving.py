"""Members that leave, and those that stay after all.

A removal that was agreed prepares: ``leave`` moves the member's data away, and once it has returned the member ends. As
long as it has not, a person may cancel it (or the update that it is a step of): the running ``leave`` is cancelled, and
``stay`` puts back what it had done. So that no death of the host forgets that, what has begun to leave is written down
before the first ``leave``, and struck out when the member has left, or ``stay`` has returned.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from upcall.protocol import service as wire
from upcall.service.link import Link
from upcall.service.repeating import until_done
from upcall.service.service import Service, overridden
from upcall.service.state import State
from upcall.service.telling import Words, percent

KEY: Final = "leaving"
HEARD_S: Final = 2.0
"""A removal that is gone from the set may have ended well or not: so long its member is looked at once more."""

Spawn = Callable[[Coroutine[Any, Any, object], str], "asyncio.Task[object]"]


class Leaver(msgspec.Struct, frozen=True):
    """A member that has begun to leave, as it is written down."""

    operation: wire.Operation
    place: int
    """That it leaves: at a higher one it has left."""


class Leaving:
    """``leave`` and ``stay`` of one service."""

    def __init__(self, service: Service, link: Link, memory: State, spawn: Spawn) -> None:
        self._service = service
        self._link = link
        self._memory = memory
        self._spawn = spawn
        self._leavers: dict[str, Leaver] = {}
        """By the id of the removal."""
        self._kept: dict[str, Leaver] = {}
        """As it is written down."""
        self._leaves: dict[str, asyncio.Task[object]] = {}
        self._ending: dict[str, asyncio.Task[object]] = {}
        """Leaves that were cancelled, and may still put their own things away."""
        self._stays: dict[str, asyncio.Task[object]] = {}
        self._over: dict[str, str] = {}
        """Removal -> how it ended, where that was told."""
        self._ends_with: set[str] = set()
        """Removals whose members are being ended: nothing of them is put back."""
        self._said: dict[str, str] = {}
        self._words = Words(self._say, spawn)

    async def load(self) -> None:
        kept = await self._memory.get(KEY, {})
        self._kept = {known: msgspec.convert(each, Leaver) for known, each in kept.items()}
        self._leavers = dict(self._kept)

    def hear(self, told: wire.Told) -> None:
        if told.operation.id in self._leavers:
            self._over[told.operation.id] = told.what

    def said(self, operation: str) -> str:
        """How far it is."""
        return self._said.get(operation, "")

    async def look(self, operations: tuple[wire.Operation, ...], members: Mapping[str, wire.Member]) -> None:
        """All operations, as they stand."""
        alive = {op.id: op for op in operations}
        prepares = {known for known, op in alive.items() if op.state == "preparing"}
        for known in prepares - self._leaves.keys():
            op = alive[known]
            if op.member:
                place = members[op.member].place if op.member in members else 0
                self._leavers.setdefault(known, Leaver(op, place))
        self._ends_with |= {known for known in self._leavers if known in alive and alive[known].state == "executing"}
        await self._write()  # before anything of it is done
        for known in self._leaves.keys() - prepares:
            leave = self._ending[known] = self._leaves.pop(known)
            leave.cancel()
        for known in prepares - self._leaves.keys():
            self._leaves[known] = self._spawn(self._leave(alive[known]), f"leave({alive[known].member})")
        for known in [each for each in self._leavers if each not in alive]:
            if known in self._stays:
                continue
            if self._has_left(known, members):
                self._forget(known)
            elif overridden(self._service, "stay"):
                self._stays[known] = self._spawn(self._stay(known), f"stay({self._leavers[known].operation.member})")
            else:
                self._forget(known)
        await self._write()

    def _has_left(self, known: str, members: Mapping[str, wire.Member]) -> bool:
        leaver = self._leavers[known]
        member = members.get(leaver.operation.member)
        ended_well = known in self._ends_with and self._over.get(known, "done") == "done"
        return member is None or member.place > leaver.place or ended_well or self._over.get(known) == "done"

    # -- leave --------------------------------------------------------------------------------------------------------

    async def _leave(self, op: wire.Operation) -> None:
        service = self._service

        def prepares() -> bool:
            return any(other.id == op.id and other.state == "preparing" for other in service.operations)

        async def go() -> None:
            await service.leave(service.members.get(op.member) if op.member else None, op)
            await self._link.confirm(op.id)

        async def failed(error: str) -> None:
            self._said[op.id] = error
            await self._link.working(op.id, wire.Working(error=error))

        await self._stays_no_more(op.member)
        tell = partial(self._tell, op.id)
        await until_done(service, f"leave({op.member or service.name})", go, prepares, failed=failed, tell=tell)

    def _tell(self, operation: str, text: str, share: float | None) -> None:
        self._said[operation] = percent(text, share)
        self._service.refresh()
        self._words.tell(operation, text, share)

    async def _say(self, operation: str, text: str, share: float | None) -> None:
        await self._link.working(operation, wire.Working(text=text, share=share))

    # -- stay ---------------------------------------------------------------------------------------------------------

    async def _stays_no_more(self, member: str) -> None:
        """It is to leave again: what puts back what an earlier ``leave`` did goes no further."""
        for known in [each for each, one in self._leavers.items() if one.operation.member == member]:
            if (stay := self._stays.pop(known, None)) is not None:
                stay.cancel()
                await asyncio.wait([stay])
                self._forget(known)

    async def _stay(self, known: str) -> None:
        service, op = self._service, self._leavers[known].operation

        def wanted() -> bool:
            return known in self._leavers and not self._has_left(known, service._context.members)

        async def go() -> None:
            await service.stay(service.members[op.member], op)
            service._context.note(op.id, f"{op.member} stays: what was begun for its leaving is put back")

        async def failed(error: str) -> None:
            service._context.note(op.id, f"stay({op.member}) raised, and is called again: {error}")

        if (leave := self._ending.get(known)) is not None:
            await asyncio.wait([leave])
        if known not in self._over:
            await asyncio.sleep(HEARD_S)
        try:
            await until_done(service, f"stay({op.member})", go, wanted, failed=failed)
            self._forget(known)
        finally:
            self._stays.pop(known, None)
            service.refresh()  # what is over is struck out

    def _forget(self, known: str) -> None:
        self._leavers.pop(known, None)
        self._over.pop(known, None)
        self._said.pop(known, None)
        self._ending.pop(known, None)
        self._ends_with.discard(known)

    async def _write(self) -> None:
        if self._leavers != self._kept:
            await self._memory.set(KEY, {known: msgspec.to_builtins(each) for known, each in self._leavers.items()})
            self._kept = dict(self._leavers)

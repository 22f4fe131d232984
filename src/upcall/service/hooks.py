"""Telling the expert: what happens after something happened.

Hooks run beside everything else, each until it returned once: one that raises or is late is called again, ever more
slowly. What must not be told twice for nothing is written down at the master (the incarnation whose ``after_ready``
returned: before that it counts nowhere), so a host that starts again tells only what was not told.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from upcall.protocol import service as wire
from upcall.protocol.errors import UpcallError
from upcall.service.blame import in_words_with_line
from upcall.service.link import Link
from upcall.service.repeating import until_done
from upcall.service.service import Service, overridden

TOLD_MAX: Final = 256
"""News of a service whose expert does not keep up; older ones are dropped (the whole set is always in sight)."""

NEVER_RUNS: Final = ("lost", "uninstall", "shutdown", "maintenance", "kill", "evict")
"""Kinds before whose end nothing is handed over: nothing runs any more, all of it goes, or the end is not ours."""

Spawn = Callable[[Coroutine[Any, Any, object], str], object]


class Hooks:
    """``after_ready``, ``before_stop`` and ``on_told`` of one service."""

    def __init__(self, service: Service, link: Link, spawn: Spawn, changed: Callable[[], None]) -> None:
        self._service = service
        self._link = link
        self._spawn = spawn
        self._changed = changed
        self._after_ready = overridden(service, "after_ready")
        self._returned: dict[str, int] = {}
        """Member -> incarnation whose ``after_ready`` returned here; the master knows of hosts before this one."""
        self._settling: dict[str, int] = {}
        self._handed: set[str] = set()
        """Operations whose ``before_stop`` was begun here."""
        self._told: asyncio.Queue[wire.Told] = asyncio.Queue(TOLD_MAX)

    # -- after_ready ------------------------------------------------------------------------------------------------

    def settling(self, members: Mapping[str, wire.Member]) -> frozenset[str]:
        """The ready members whose hook has not returned; begins the hooks that are missing."""
        if not self._after_ready:
            return frozenset()
        waiting = set()
        for name, member in members.items():
            if member.incarnation == 0:
                self._returned.pop(name, None)  # what is remembered is of an earlier life of the same name
            if member.state != "ready" or member.back or self._returned.get(name, 0) >= member.incarnation:
                continue
            waiting.add(name)
            if self._settling.get(name, 0) < member.incarnation:
                self._settling[name] = member.incarnation
                self._spawn(self._settle(name, member.incarnation), f"after_ready({name})")
        return frozenset(waiting)

    async def _settle(self, name: str, incarnation: int) -> None:
        def current() -> bool:
            seen = self._service.members.get(name)
            return seen is not None and seen.incarnation == incarnation and seen.ready

        async def tell() -> None:
            await self._service.after_ready(self._service.members[name])
            await self._link.back(wire.Back(member=name, incarnation=incarnation))
            self._returned = {other: at for other, at in self._returned.items() if other in self._service.members}
            self._returned[name] = incarnation

        async def failed(error: str) -> None:
            await self._link.back(wire.Back(member=name, incarnation=incarnation, error=error))

        try:
            await until_done(self._service, f"after_ready({name})", tell, current, failed=failed)
        finally:
            # Ready no more before it returned: the next time that it is ready, it is told again.
            if self._settling.get(name) == incarnation:
                del self._settling[name]
            self._changed()

    # -- before_stop ------------------------------------------------------------------------------------------------

    def ending(self, operations: tuple[wire.Operation, ...]) -> None:
        """Begins ``before_stop`` for what has begun to end a member that runs, and says when it returned."""
        if not overridden(self._service, "before_stop"):
            return
        begun = {op.id for op in operations if op.state == "executing"}
        self._handed &= begun
        for op in operations:
            member = self._service._context.members.get(op.member)
            if op.id not in begun or op.id in self._handed or op.kind in NEVER_RUNS or member is None:
                continue
            if member.state == "ready" and member.incarnation == (op.incarnation or member.incarnation):
                self._handed.add(op.id)
                self._spawn(self._hand_over(op), f"before_stop({op.member})")

    async def _hand_over(self, op: wire.Operation) -> None:
        """Once: its time is short, and one that raises holds the end up no longer."""
        service = self._service
        try:
            async with asyncio.timeout(service.before_stop_s):
                await service.before_stop(service.members[op.member], op)
        except Exception as error:
            words = in_words_with_line(error) if str(error) else f"not done within {service.before_stop_s:g} s"
            service.log.warning("before_stop(%s): %s; it ends all the same", op.member, words)
            service._context.note(op.id, f"before_stop did not return: {words}")
        with contextlib.suppress(UpcallError, ConnectionError):  # Unheard, the end comes when its time is over.
            await self._link.confirm(op.id)

    # -- on_told ----------------------------------------------------------------------------------------------------

    def tell(self, told: wire.Told) -> None:
        if self._told.full():
            self._told.get_nowait()
            self._service.log.warning("on_told does not keep up: the oldest of %d pieces of news was dropped", TOLD_MAX)
        self._told.put_nowait(told)

    async def telling(self) -> None:
        """For as long as the service runs. News is told once: whoever missed it sees the whole set."""
        while True:
            told = await self._told.get()
            try:
                async with asyncio.timeout(self._service.hook_timeout_s):
                    await self._service.on_told(told)
            except Exception as error:
                what = f"on_told({told.what} of {told.operation.id})"
                self._service.log.warning("%s: %s", what, self._service.raised(what, error))

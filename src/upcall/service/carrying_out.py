"""What the service itself carries out for an operation that has begun: the point of no return of an upgrade, and the
spreading of its load.

One hook for one operation, called until it has returned; then the operation is confirmed. What says that it cannot be
(``Invalid``) has failed. Nobody else brings it to an end: a host that starts again finds it begun, and begins it anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final

from upcall.protocol import service as wire
from upcall.protocol.errors import Invalid
from upcall.service.link import Link
from upcall.service.repeating import until_done
from upcall.service.service import Service
from upcall.service.steps import GaveUp
from upcall.service.telling import Words, percent

WORKS: Final[dict[str, Callable[[Service, wire.Operation], Awaitable[None]]]] = {
    "finalize": lambda service, why: service.finalize(why),
    "rebalance": lambda service, why: service.spread((), why),
}
"""Kind -> the hook that carries it out; what goes in steps is a plan's to do."""

Spawn = Callable[[Coroutine[Any, Any, object], str], "asyncio.Task[object]"]


class CarryingOut:
    """Of one service."""

    def __init__(self, service: Service, link: Link, spawn: Spawn) -> None:
        self._service = service
        self._link = link
        self._spawn = spawn
        self._works: dict[str, asyncio.Task[object]] = {}
        """By the id of the operation, until that is over for the master."""
        self._said: dict[str, str] = {}
        self._words = Words(self._say, spawn)

    def look(self, operations: tuple[wire.Operation, ...]) -> None:
        """All operations, as they stand."""
        begun = {op.id: op for op in operations if op.kind in WORKS and op.state == "executing"}
        for known in self._works.keys() - begun.keys():
            self._works.pop(known).cancel()
            self._said.pop(known, None)
        for known, op in begun.items():
            if known not in self._works and not op.paused:
                self._works[known] = self._spawn(self._work(op), op.kind)

    async def _work(self, op: wire.Operation) -> None:
        service = self._service

        def goes_on() -> bool:
            return any(other.id == op.id and other.state == "executing" for other in service.operations)

        async def go() -> None:
            try:
                await WORKS[op.kind](service, op)
            except (GaveUp, Invalid) as final:
                await self._link.fail(op.id, str(final))
            else:
                await self._link.confirm(op.id)

        async def failed(error: str) -> None:
            self._said[op.id] = error
            await self._link.working(op.id, wire.Working(error=error))

        await until_done(service, op.kind, go, goes_on, failed=failed, tell=partial(self._tell, op.id))

    def plans(self, operations: tuple[wire.Operation, ...]) -> list[wire.PlanView]:
        """As they are shown."""
        found = []
        for op in operations:
            if op.kind in WORKS:
                step = wire.StepView(name=op.id, state="waiting", reason=f"answered: {op.answer}" if op.answer else "")
                if op.id in self._works:
                    step = wire.StepView(name=op.id, state="running", reason=self._said.get(op.id, ""))
                phase = wire.PhaseView(name="service", strategy="serial", state=step.state, steps=(step,))
                found.append(wire.PlanView(name=op.kind, state=step.state, reason=step.reason, phases=(phase,)))
        return found

    def _tell(self, operation: str, text: str, share: float | None) -> None:
        self._said[operation] = percent(text, share)
        self._service.refresh()
        self._words.tell(operation, text, share)

    async def _say(self, operation: str, text: str, share: float | None) -> None:
        await self._link.working(operation, wire.Working(text=text, share=share))

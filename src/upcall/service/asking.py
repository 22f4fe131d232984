"""Asking the expert, and answering the master.

The docket is pure: it knows which pending operations want an answer now. One does when it was never answered in this
epoch, when the master asks again, when its deferral is due for renewal, or when the world that the deferral spoke of
has changed. What the expert does not answer stays silent, and is asked again later.

The clerk drives it: one round at a time, with the whole set before the expert's eyes, and never an answer about a
world that passed while the expert was thinking.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Final

from upcall.protocol import service as wire
from upcall.protocol.errors import NotNow, Stale, UpcallError
from upcall.service.consent import Verdict, wait
from upcall.service.link import Fenced, Link
from upcall.service.service import Service, overridden
from upcall.service.stranger import TOLD

RENEW_AT: Final = 0.8
"""Of a deferral's time: early enough that the renewal is there before it lapses."""

ROUND_PAUSE_S: Final = 0.5
"""Between two rounds about the same operation, however fast the world changes."""

SILENCE_PAUSE_S: Final = 5.0
"""After a question that was not answered."""


@dataclass(frozen=True)
class Answered:
    """What was last said about an operation, and in which world."""

    epoch: str
    version: int
    at_s: float
    again_at_s: float | None
    """When it is to be asked anew by itself; None: not unless the master asks."""
    world: Hashable


class Docket:
    """Which operations want an answer now."""

    def __init__(self) -> None:
        self._answered: dict[str, Answered] = {}

    def due(self, pending: wire.Operations, world: Hashable, now_s: float) -> tuple[wire.Operation, ...]:
        # What has begun or is over needs no further look.
        still = [op.id for op in pending.operations if op.state == "open" and op.id in self._answered]
        self._answered = {op: self._answered[op] for op in still}
        return tuple(op for op in pending.operations if self._is_due(op, pending, world, now_s))

    def _is_due(self, op: wire.Operation, pending: wire.Operations, world: Hashable, now_s: float) -> bool:
        if op.state != "open" or op.kind in TOLD:
            return False
        last = self._answered.get(op.id)
        if last is None or last.epoch != pending.epoch:
            # An acceptance that stands (given by a host before this one, or together with what began) is not asked
            # about again.
            return op.answer != "accept"
        if now_s < last.at_s + ROUND_PAUSE_S:
            return False
        if not op.answer and pending.version > last.version:
            return True
        return last.again_at_s is not None and (now_s >= last.again_at_s or world != last.world)

    def next_s(self, now_s: float) -> float | None:
        """When to look again although nothing was heard."""
        times = [max(a.again_at_s, a.at_s + ROUND_PAUSE_S) for a in self._answered.values() if a.again_at_s is not None]
        soon = [a.at_s + ROUND_PAUSE_S for a in self._answered.values() if a.at_s + ROUND_PAUSE_S > now_s]
        return min(times + soon, default=None)

    def note(self, op: str, verdict: Verdict | None, pending: wire.Operations, world: Hashable, now_s: float) -> None:
        if verdict is None:
            again_at_s: float | None = now_s + SILENCE_PAUSE_S
        elif verdict.word in ("defer", "wait"):
            again_at_s = now_s + verdict.retry_after_s * RENEW_AT
        else:
            again_at_s = None
        self._answered[op] = Answered(pending.epoch, pending.version, now_s, again_at_s, world)

    def recall(self, op: str) -> None:
        """Ask about it at the next round."""
        last = self._answered.get(op)
        if last is not None:
            self._answered[op] = Answered(last.epoch, last.version, last.at_s, last.at_s, last.world)


class Clerk:
    """Asks the expert round by round, and sends what was answered."""

    def __init__(
        self, service: Service, link: Link, spawn: Callable[[Coroutine[Any, Any, object], str], object]
    ) -> None:
        self._service = service
        self._link = link
        self._spawn = spawn
        self._docket = Docket()
        self._pending: wire.Operations | None = None
        self._news = asyncio.Event()
        self._prepared: dict[str, str] = {}
        """Operation -> ``running``, ``done`` or the error, of ``before_replace`` before a loss is answered so."""

    def show(self, pending: wire.Operations) -> None:
        self._pending = pending
        self._prepared = {op.id: self._prepared[op.id] for op in pending.operations if op.id in self._prepared}
        self._news.set()

    def wake(self) -> None:
        """The world changed: what was deferred may go now."""
        self._news.set()

    async def run(self) -> None:
        """For as long as the subscription lasts."""
        clock = asyncio.get_running_loop().time
        while True:
            now_s = clock()
            next_s = self._docket.next_s(now_s) if self._pending else None
            timeout_s = max(next_s - now_s, 0.01) if next_s is not None else None
            try:
                async with asyncio.timeout(timeout_s):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()
            await self._round(clock)

    async def _round(self, clock: Callable[[], float]) -> None:
        pending = self._pending
        world = self._world()
        due = self._docket.due(pending, world, clock()) if pending else ()
        if not due or pending is None:
            return
        verdicts = await self._verdicts(due)
        if self._pending is None or self._pending.epoch != pending.epoch:
            self._news.set()  # the world moved on meanwhile: ask about the new one
            return
        now_s = clock()
        for op in due:
            self._docket.note(op.id, verdicts.get(op.id), pending, world, now_s)
        answers = tuple(verdict.answer_to(op) for op, verdict in verdicts.items())
        if not answers:
            return
        try:
            await self._link.answer(wire.Answers(epoch=pending.epoch, answers=answers))
        except Fenced:
            raise
        except Stale as error:
            # With the refusal comes the current set, and it is asked about as such.
            self._service.log.info("answers of epoch %s came late: %s", pending.epoch, error)
        except NotNow:
            raise
        except UpcallError as error:
            self._service.log.warning("answers were refused: %s", error)

    async def _verdicts(self, due: tuple[wire.Operation, ...]) -> dict[str, Verdict]:
        service = self._service
        budget_s = service.answer_timeout_s * (len(due) + 1)
        try:
            async with asyncio.timeout(budget_s):
                given = await service.answer_set(due)
        except TimeoutError:
            service.log.warning("no answer to %d operations within %g s", len(due), budget_s)
            return {}
        except Exception:
            service.log.exception("no answer to %d operations", len(due))
            return {}
        asked = {op.id: op for op in due}
        return {op: self._ready_for(asked[op], verdict) for op, verdict in given.items() if op in asked}

    def _ready_for(self, op: wire.Operation, verdict: Verdict) -> Verdict:
        """A loss that is answered by ``replace`` has no phase of preparing: what comes before it, comes before it."""
        if op.kind != "lost" or verdict.word != "replace" or not overridden(self._service, "before_replace"):
            return verdict
        progress = self._prepared.get(op.id, "")
        if progress == "done":
            return verdict
        if progress != "running":
            self._prepared[op.id] = "running"
            self._spawn(self._prepare(op), f"before_replace {op.member}")
        return wait(f"prepares the replacement of {op.member}", retry_after=5)

    async def _prepare(self, op: wire.Operation) -> None:
        service = self._service
        try:
            async with asyncio.timeout(service.hook_timeout_s):
                await service.before_replace(service.members[op.member])
            self._prepared[op.id] = "done"
        except Exception as error:
            self._prepared[op.id] = "failed"
            service.log.warning("before_replace(%s): %s; it is tried again", op.member, error or type(error).__name__)
            await asyncio.sleep(SILENCE_PAUSE_S)
        self._docket.recall(op.id)
        self._news.set()

    def _world(self) -> Hashable:
        """All that a deferral may have spoken of. Not our own answers: or each would make the next question."""
        members = tuple(
            (m.name, m.incarnation, m.state, m.back) for m in (member.seen for member in self._service.members.values())
        )
        operations = self._pending.operations if self._pending else ()
        return members, tuple((op.id, op.state, op.answer == "accept") for op in operations)

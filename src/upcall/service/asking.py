"""Asking the expert, and answering the master.

The clerk drives the docket (:mod:`upcall.service.docket`): one round at a time, with the whole set before the expert's
eyes, and never an answer about a world that passed while the expert was thinking. Each answer is sent when it is there:
what takes long to be answered keeps no other from being heard in time.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from typing import Any, Final

from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict, NotFound, NotNow, Stale, UpcallError
from upcall.service import stranger
from upcall.service.attempts import as_an_error
from upcall.service.blame import method_at
from upcall.service.consent import Verdict, wait
from upcall.service.docket import SILENCE_PAUSE_S, Docket
from upcall.service.link import Fenced, Link, MasterAway
from upcall.service.questions import NoAnswer, checked
from upcall.service.service import Service, overridden

GATHER_S: Final = 0.05
"""Answers that come so close together travel together; one that is there is not held up by the next question."""

DECLINED_MAX: Final = 100

Said = tuple[wire.Operation, Verdict | None]
"""An operation and what was answered; None is silence."""


class Clerk:
    """Asks the expert round by round, and sends what was answered."""

    def __init__(
        self, service: Service, link: Link, spawn: Callable[[Coroutine[Any, Any, object], str], object]
    ) -> None:
        self._service = service
        self._link = link
        self._spawn = spawn
        self._docket = Docket()
        self._last_world: Hashable = None
        self._pending: wire.Operations | None = None
        self._news = asyncio.Event()
        self._recalls = 0
        """How often the service said "ask me again now": also while it is being asked."""
        self.puts_off = asyncio.Event()
        """Something is deferred."""
        self._prepared: dict[str, str] = {}
        """Operation -> ``running``, ``done`` or the error, of ``before_replace`` before a loss is answered so."""

    def show(self, pending: wire.Operations) -> None:
        self._pending = pending
        self._prepared = {op.id: self._prepared[op.id] for op in pending.operations if op.id in self._prepared}
        self._news.set()

    def ask_again(self) -> None:
        """What is put off may be answered otherwise now."""
        self._recalls += 1
        self._docket.recall_all()
        self._news.set()

    def _say_what_is_put_off(self) -> None:
        (self.puts_off.set if self._docket.puts_off else self.puts_off.clear)()

    def wake(self) -> None:
        """The world changed: what was deferred may go now."""
        self._news.set()

    async def run(self) -> None:
        """For as long as the subscription lasts. Before the code has started nothing is asked of it, for it knows
        nothing yet; but for the change that may be what mends it, and for the end of all of it."""
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
        started = self._service._context.started
        if not started:
            due = tuple(op for op in due if op.revision is not None or op.kind == "uninstall")
        if not due or pending is None:
            self._say_what_is_put_off()
            return
        recalls = self._recalls
        if started and overridden(self._service, "answer_set"):
            await self._send(await self._whole(due), pending, world, clock)
        else:
            await self._in_turn(due, pending, world, clock)
        if self._recalls != recalls:
            self._docket.recall_all()
        self._say_what_is_put_off()

    async def _whole(self, due: tuple[wire.Operation, ...]) -> list[Said]:
        """An expert who answers for sets."""
        service, owner = self._service, type(self._service)
        budget_s = service.answer_timeout_s * (len(due) + 1)
        error: Exception | None = None
        why = f"within {budget_s:g} s"
        given: Mapping[str, Any] = {}
        try:
            async with asyncio.timeout(budget_s):
                with as_an_error():
                    given = await service.answer_set(due)
            if not isinstance(given, Mapping):
                raise NoAnswer(
                    f"{method_at(owner, 'answer_set')} returned a {type(given).__name__}; expected a mapping"
                )
        except TimeoutError:
            pass
        except Exception as raised:
            error, why, given = raised, f"because: {service.raised('answer_set', raised)}", {}
        if not given:
            for op in due:
                stranger.say(service, op, why, error)
        found: list[Said] = []
        for op in due:
            verdict: Verdict | None = None
            if op.id in given:
                try:
                    verdict = self._ready_for(op, checked(owner, op.kind, "answer_set", given[op.id]))
                except NoAnswer as wrong:
                    stranger.say(service, op, f"because: {service.raised('answer_set', wrong)}", None)
            found.append((op, verdict))
        return found

    async def _in_turn(
        self, due: tuple[wire.Operation, ...], pending: wire.Operations, world: Hashable, clock: Callable[[], float]
    ) -> None:
        """One question after the other; what was answered meanwhile is sent while the next one is thought about."""
        there: list[Said] = []
        news = asyncio.Event()

        async def asking() -> None:
            async for op, verdict in stranger.in_turn(self._service, due):
                there.append((op, self._ready_for(op, verdict) if verdict is not None else None))
                news.set()

        asker = asyncio.create_task(asking())
        asker.add_done_callback(lambda _: news.set())
        try:
            while not asker.done() or there:
                await news.wait()
                if not asker.done():
                    await asyncio.sleep(0 if asker.done() else GATHER_S)
                news.clear()
                batch, there[:] = list(there), []
                if not await self._send(batch, pending, world, clock):
                    return
            asker.result()
        finally:
            asker.cancel()
            await asyncio.wait([asker])

    async def _send(
        self, said: Sequence[Said], pending: wire.Operations, world: Hashable, clock: Callable[[], float]
    ) -> bool:
        """Whether the world that was asked about is there still."""
        if self._pending is None or self._pending.epoch != pending.epoch:
            self._news.set()  # the world moved on meanwhile: ask about the new one
            return False
        now_s, answers = clock(), []
        for op, verdict in said:
            if verdict is not None and self._docket.stands(op, verdict, pending, now_s):
                self._docket.kept(op.id, pending, world, now_s)
                continue
            self._docket.note(op.id, verdict, pending, world, now_s)
            if verdict is not None:
                answers.append(verdict.answer_to(op.id))
                self._note_declined(op, verdict)
        if not answers:
            return True
        try:
            await self._link.answer(wire.Answers(epoch=pending.epoch, answers=tuple(answers)))
        except (Fenced, NotNow, MasterAway, asyncio.CancelledError):
            # Cancelled: something else ended the subscription while the answer was on its way.
            self._docket.unheard(answer.operation for answer in answers)
            raise
        except Stale as error:
            # With the refusal comes the current set, and it is asked about as such.
            self._service.log.info("answers of epoch %s came late: %s", pending.epoch, error)
            return False
        except UpcallError as error:
            self._refused([op for op, verdict in said if verdict is not None], error)
        return True

    def _refused(self, answered: Sequence[wire.Operation], error: UpcallError) -> None:
        """One answer that is not taken refuses all in its call: the others are given again. That its operation had
        ended by then is nobody's fault."""
        name = error.problem.where.partition(".")[0]
        refused = [op for op in answered if op.id == name] or list(answered)
        if not isinstance(error, Conflict | NotFound):
            for op in refused:
                stranger.say(self._service, op, f"that the ledger takes: {error}", None)
        if others := [op.id for op in answered if op not in refused]:
            self._docket.unheard(others)
            self._news.set()

    def _note_declined(self, op: wire.Operation, verdict: Verdict) -> None:
        declined = self._service._context.declined
        if verdict.word == "decline":
            declined[op.id] = verdict.reason
        while len(declined) > DECLINED_MAX:
            del declined[next(iter(declined))]

    def _ready_for(self, op: wire.Operation, verdict: Verdict) -> Verdict:
        """A loss that is answered by ``replace`` has no phase of preparing: what comes before it, comes before it."""
        gives_up = op.kind == "lost" and verdict.word in ("replace", "renew")
        if not gives_up or not overridden(self._service, "before_replace"):
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
            what = f"before_replace({op.member})"
            service.log.warning("%s: %s; it is tried again", what, service.raised(what, error))
            await asyncio.sleep(SILENCE_PAUSE_S)
        self._docket.recall(op.id)
        self._news.set()

    def _world(self) -> Hashable:
        """All that a deferral may have spoken of. Not our own answers: or each would make the next question."""
        operations = self._pending.operations if self._pending else ()
        world = (
            tuple((m.name, m.incarnation, m.state, m.back) for m in self._service._context.members.values()),
            tuple((op.id, op.state, op.answer == "accept") for op in operations),
        )
        # The same object while nothing changed: fifty operations compare it.
        self._last_world = self._last_world if self._last_world == world else world
        return self._last_world

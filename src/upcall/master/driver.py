"""One thread drives the cores: input -> record changes, effects, next deadline.

Turns run one after the other, each to its end (:mod:`~upcall.master.transaction`). After each, the rules look at what
it changed, until nothing follows any more; then it is handed to the committer. Sends, answers and notifications are
released after the commit, in order. A turn that failed, or a commit that did, leaves memory and records apart: then the
cores are thrown away and loaded again from what is durable. A timer runs a turn when the earliest deadline comes.

Where a newer start of the master has opened the store, nothing of this one becomes durable any more, so nothing of it
is told or done either: it takes nothing in from then on and ends. One that writes nothing is told by the store to look.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

from upcall.master.commit import Committer, Turn
from upcall.master.core import Core, Listener
from upcall.master.events import Event, Journal, durable_events
from upcall.master.transaction import Transaction
from upcall.master.turning import Turning
from upcall.protocol.errors import NotNow, UpcallError
from upcall.store.interface import Store, StoreError, Superseded
from upcall.substrate import interface as sub

log = logging.getLogger(__name__)
T = TypeVar("T")

RELOAD_AGAIN_S: Final = 10.0
RELOAD_PAUSE_S: Final = 1.0
"""Before the second of two reloads within :data:`RELOAD_AGAIN_S`: the disk may be full for long."""
LOOK_S: Final = 5.0
"""How long a master that writes nothing may go on to answer from what it read before a newer one began, where nobody
tells it."""
LOOK_SELDOM_S: Final = 60.0
"""Where somebody does: what tells of a start is no promise."""


class Driver(Turning):
    """The cores, and the turns on them, in real time."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        make_substrate: Callable[[Core], sub.Substrate],
        listener: Listener,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(store, journal, make_substrate, listener, monotonic=monotonic, wall=wall)
        self._committer = Committer(store, lambda: self.state.versions, self._release, self._commit_failed)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_s = 0.0
        self._reloads = 0
        self._closed = False
        self.superseded = ""
        """Why this master ends, once a newer one has begun."""
        self.on_superseded: Callable[[], None] = lambda: None
        self.on_reload: Callable[[], None] = lambda: None
        """The substrate was made anew: whoever is connected has to say again what runs."""
        self._recovering = False
        """Read anew, and not started: nothing is taken in, for its deadlines are not yet of this clock."""
        self._reloaded_s = -RELOAD_AGAIN_S

    def start(self) -> None:
        """The first turn: repeats what still stands."""

        def first(tx: Transaction) -> None:
            tx.event("master", "master", f"started (start {self.state.start} of this cluster)")
            self.repeat_what_stands(tx)

        self._run(first)

    # -- turns ------------------------------------------------------------------------------------------------------

    def turn(self, work: Callable[[Transaction], T]) -> "Awaitable[T]":
        done = asyncio.get_running_loop().create_future()
        result = self._run(work, done)

        async def wait() -> T:
            await asyncio.shield(done)
            return result

        return wait()

    def post(self, work: Callable[[Transaction], object]) -> None:
        if not (self._closed or self._recovering):
            self._run(work)

    async def durable(self) -> None:
        self._refuse_when_superseded()
        await self._committer.submit(Turn())

    def _run(self, work: Callable[[Transaction], T], done: "asyncio.Future[None] | None" = None) -> T:
        """``done``: for who waits until all of it is durable."""
        self._refuse_when_superseded()
        if self._closed:
            raise NotNow("the master is going down", expected="the same call after its return")
        if self._recovering:
            raise NotNow("the master reads its records anew", expected="the same call in a moment")
        tx = Transaction(self)
        refused: UpcallError | None = None
        try:
            try:
                result = work(tx)
            except UpcallError as error:
                refused = error
            self.follow(tx)
        except Exception:
            # A mistake of ours in the middle of a turn: what is in memory may be half of it, what is durable is not.
            log.exception("a turn failed; its changes are thrown away")
            self._committer.abandon("a turn failed")
            raise
        if refused is not None:
            if not tx.turn.empty:
                # Something was changed before the refusal: what is in memory is true, so it is recorded.
                self._committer.queue(tx.finish())
            raise refused
        turn = tx.finish()
        turn.done = done
        self._committer.queue(turn)
        self._schedule()
        return result

    def _release(self, events: list[Event]) -> None:
        self.journal.release(events)

    def _commit_failed(self, error: StoreError) -> None:
        """The last turns are not durable, or not wholly: forget them all and begin again from the records."""
        if isinstance(error, Superseded):
            self._give_way(str(error))
            return
        log.error("a commit failed, reloading from the store: %s", error)
        self._reloads += 1
        self.journal.forget_unreleased(durable_events(self.store, self.journal.cluster, self.journal.last))
        try:
            start = self.store.begin()
        except Superseded as newer:
            self._give_way(str(newer))
            return
        except Exception:
            # Even this cannot be written. The number must differ all the same: answers to the old world are void.
            start = self.state.start + self._reloads * 1_000_000
        self.load_again(start)
        self._recovering = True
        if self._timer:
            self._timer.cancel()
            self._timer = None
        now_s = self.monotonic()
        wait_s = 0.0 if now_s - self._reloaded_s >= RELOAD_AGAIN_S else RELOAD_PAUSE_S
        self._reloaded_s = now_s
        asyncio.get_running_loop().call_later(wait_s, self._restart_after_failure)

    def _restart_after_failure(self) -> None:
        self._recovering = False
        try:
            self.start()
        except NotNow:  # it is going down
            return
        self.on_reload()

    # -- one master -------------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Ends this master when a newer one has begun, also while nothing is to be written. Until it is cancelled."""
        starts, told = self.store.starts(), asyncio.Event()
        if starts is None:
            await self._look_for_a_newer(told, LOOK_S)
            return
        loop = asyncio.get_running_loop()

        def hear() -> None:
            starts.heard()
            told.set()

        loop.add_reader(starts.descriptor, hear)
        try:
            await self._look_for_a_newer(told, LOOK_SELDOM_S)
        finally:
            loop.remove_reader(starts.descriptor)
            starts.close()

    async def _look_for_a_newer(self, told: asyncio.Event, at_least_every_s: float) -> None:
        while not self.superseded:
            told.clear()
            try:
                newest = await asyncio.to_thread(self.store.newest_start)
            except StoreError as error:  # The next write, or the next look, finds the same.
                log.warning("cannot see whether a newer master has begun: %s", error)
                newest = 0
            if newest > self.store.start:
                self._give_way(f"start {newest} of the master has opened the store; this is start {self.store.start}")
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(at_least_every_s):
                    await told.wait()

    def _give_way(self, reason: str) -> None:
        if self.superseded:
            return
        log.error("another master has taken over, this one ends: %s", reason)
        self.superseded = reason
        self._closed = True
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self.on_superseded()

    def _refuse_when_superseded(self) -> None:
        if self.superseded:
            raise NotNow(f"another master has taken over: {self.superseded}", expected="the same call to that one")

    # -- time -------------------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        due_s = self.deadline()
        if due_s is None or (self._timer and self._timer_due_s <= due_s):
            return  # Most turns move a deadline further away, if any: the timer looks when it comes.
        if self._timer:
            self._timer.cancel()
        # What was due before now is late by nobody's sleep.
        now_s = self.monotonic()
        self._timer_due_s = max(now_s, due_s)
        self._timer = asyncio.get_running_loop().call_later(self._timer_due_s - now_s, self._tick)

    def _tick(self) -> None:
        late_s, self._timer = self.monotonic() - self._timer_due_s, None
        due_s = self.deadline()
        if due_s is not None and due_s <= self.monotonic():
            self._run(lambda tx: self.tick(tx, late_s))
        else:
            self._schedule()

    async def close(self) -> None:
        """Nothing is taken in any more; what was taken in becomes durable."""
        self._closed = True
        if self._timer:
            self._timer.cancel()
        await self._committer.drain()
        self._committer.close()

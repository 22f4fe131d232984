"""Group commit: many turns, one transaction, effects released afterwards in order.

A turn is what one input caused. While one transaction is being written, the turns that arrive wait together for the
next. When a commit fails, nothing of its turns is told: their callers hear "not now", the cores are thrown away and
loaded again from what is durable.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import msgspec

from upcall.master.events import Event
from upcall.master.versions import Versions
from upcall.master.writer import Writer
from upcall.protocol.errors import NotNow
from upcall.store.interface import Append, Change, Delete, Put, Store, StoreError

BATCH_TURNS_MAX: Final = 512
"""Turns in one transaction: bounds what one failure throws away."""


@dataclass(slots=True, eq=False)
class Turn:
    """What one input caused: durable first, visible afterwards."""

    changes: list[Put | Delete] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    after: list[Callable[[], None]] = field(default_factory=list)
    """Sends, notifications: released in order once the changes are durable."""
    done: "asyncio.Future[None] | None" = None
    """For whoever waits for it; nobody waits for a heartbeat."""

    def put(self, kind: str, key: str, value: Any) -> None:
        self.changes.append(Put(kind, key, value if isinstance(value, bytes) else msgspec.json.encode(value)))

    def delete(self, kind: str, key: str) -> None:
        self.changes.append(Delete(kind, key))

    @property
    def empty(self) -> bool:
        return not (self.changes or self.events)


class Committer:
    """Writes turns in groups on a thread of its own; everything else happens on the loop's thread."""

    def __init__(
        self,
        store: Store,
        versions: Callable[[], Versions],
        release: Callable[[list[Event]], None],
        failed: Callable[[StoreError], None],
    ) -> None:
        self._versions = versions
        self._release = release
        self._failed = failed
        self._waiting: list[Turn] = []
        self._writing = False
        self._poisoned = ""
        self._store = store
        self._writer = Writer(store)

    def submit(self, turn: Turn) -> "asyncio.Future[None]":
        """The future is done when the turn is durable, or fails with :class:`NotNow`."""
        turn.done = asyncio.get_running_loop().create_future()
        self.queue(turn)
        return turn.done

    def queue(self, turn: Turn) -> None:
        """The same, when nobody waits for it but ``turn.done``, if that is there."""
        self._waiting.append(turn)
        if not self._writing:
            self._begin()

    def _begin(self) -> None:
        if self._poisoned:
            self._finish([], None)
            return
        batch, self._waiting = self._waiting[:BATCH_TURNS_MAX], self._waiting[BATCH_TURNS_MAX:]
        self._writing = True
        versions, changes = self._versions(), list[Change]()
        for turn in batch:
            changes += versions.expecting(turn.changes)
        for turn in batch:
            for event in turn.events:
                changes.append(Append(event.cluster, event.sequence, msgspec.json.encode(event)))
        if not changes:
            self._finish(batch, None)
            return
        self._writer.write(changes, partial(self._written, batch, changes))

    def _written(
        self, batch: list[Turn], changes: list[Change], versions: list[int], error: BaseException | None
    ) -> None:
        if error is None and not self._store.leads():
            # As after a commit that failed: who may do what follows from it finds it in the records.
            error = StoreError("this process was away for so long that another may have taken over")
        if error is None:
            self._versions().written(changes, versions)
        self._finish(batch, error)

    def _finish(self, batch: list[Turn], error: BaseException | None) -> None:
        self._writing = False
        if self._poisoned:
            # What was just written is durable and may be told; all that came after it was built on sand.
            reason, self._poisoned = self._poisoned, ""
            if error is None:
                self._tell(batch)
                batch = []
            error = error or StoreError(reason)
        if error is not None:
            self._abandon(batch, error)
        else:
            self._tell(batch)
        if self._waiting and not self._writing:
            self._begin()

    def _tell(self, batch: list[Turn]) -> None:
        for turn in batch:
            self._release(turn.events)
            for effect in turn.after:
                effect()
            if turn.done and not turn.done.done():
                turn.done.set_result(None)

    def _abandon(self, batch: list[Turn], error: BaseException) -> None:
        if not isinstance(error, StoreError):
            raise error
        lost, self._waiting = batch + self._waiting, []
        self._failed(error)
        for turn in lost:
            if turn.done and not turn.done.done():
                turn.done.set_exception(NotNow(f"could not be recorded: {error}", expected="the same call later"))
                turn.done.exception()  # Nobody may wait for it: not an error of the loop.

    def abandon(self, reason: str) -> None:
        """Throws away what waits; what is being written right now is awaited first."""
        self._poisoned = reason
        if not self._writing:
            self._begin()

    async def drain(self) -> None:
        """Returns once nothing waits to be written."""
        while self._writing or self._waiting:
            with suppress(NotNow):  # who waited for it has heard
                await self.submit(Turn())

    def close(self) -> None:
        self._writer.close()

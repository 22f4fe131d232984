"""The journal: bounded, numbered, resumable.

An event is (cluster, sequence). It gets its number in the turn that caused it, becomes durable with that turn's
commit, and only then reaches readers. Who resumes from before the oldest kept event gets a ``gap`` event that says
how many are missing, and reads a fresh snapshot.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable
from itertools import islice
from typing import Any, Final

import msgspec

from upcall.store.interface import Store

KEPT: Final = 20_000
"""Events kept on disk and in memory: some hours of a busy cluster in a few MiB."""
READ_AT_ONCE: Final = 500


class Event(msgspec.Struct, frozen=True, kw_only=True):
    sequence: int
    cluster: str
    at: float
    """Wall clock, seconds since 1970."""
    kind: str
    subject: str
    text: str
    data: dict[str, Any] = {}
    detail: bool = False
    """On the way to what the next events say; a person reads it only when asked for."""


class Journal:
    """Numbers events, keeps the newest, wakes readers."""

    def __init__(self, cluster: str, events: Iterable[Event] = (), *, kept: int = KEPT) -> None:
        self.cluster = cluster
        self._events: deque[Event] = deque(events, maxlen=kept)
        self._next = self._events[-1].sequence + 1 if self._events else 1
        self._news = asyncio.Event()

    @property
    def last(self) -> int:
        """Number of the newest released event."""
        return self._events[-1].sequence if self._events else 0

    def make(
        self,
        kind: str,
        subject: str,
        text: str,
        at: float,
        data: dict[str, Any] | None = None,
        *,
        detail: bool = False,
    ) -> Event:
        """A new event; it is not visible before :meth:`release`."""
        event = Event(
            sequence=self._next,
            cluster=self.cluster,
            at=at,
            kind=kind,
            subject=subject,
            text=text,
            data=data or {},
            detail=detail,
        )
        self._next += 1
        return event

    def release(self, events: Collection[Event]) -> None:
        if not events:
            return  # Most turns are heartbeats: no reader is woken for nothing.
        self._events.extend(events)
        self._news.set()
        self._news = asyncio.Event()

    def forget_unreleased(self, durable: Collection[Event] = ()) -> None:
        """After a failed commit: the numbers of what was never seen are free again, but for those events that are
        durable all the same."""
        self.release(durable)
        self._next = self.last + 1

    def since(self, sequence: int, limit: int = READ_AT_ONCE, *, detail: bool = True) -> list[Event]:
        """Events after ``sequence``, oldest first, details only if wanted; begins with a gap where some are missing."""
        if not self._events or sequence >= self.last:
            return []
        first = self._events[0].sequence
        found: list[Event] = []
        if sequence + 1 < first:
            missing = first - sequence - 1
            found.append(
                Event(
                    sequence=first - 1,
                    cluster=self.cluster,
                    at=self._events[0].at,
                    kind="gap",
                    subject="events",
                    text=f"{missing} older events are no longer kept; read a fresh snapshot",
                    data={"missing": missing},
                )
            )
            sequence = first - 1
        start = sequence + 1 - first
        if not detail:
            told = (event for event in islice(self._events, start, None) if not event.detail)
            return found + list(islice(told, limit))
        stop = min(len(self._events), start + limit)
        # A deque indexes slowly in its middle; readers are nearly always at its end.
        if stop == len(self._events):
            newest = [self._events[-number] for number in range(1, stop - start + 1)]
            return found + newest[::-1]
        return found + [self._events[index] for index in range(start, stop)]

    def newest(self, count: int, *, detail: bool = True) -> list[Event]:
        if not detail:
            told = (event for event in reversed(self._events) if not event.detail)
            return list(islice(told, count))[::-1]
        return self.since(max(0, self.last - count), limit=count) if count else []

    async def follow(self, sequence: int, *, detail: bool = True) -> AsyncIterator[list[Event]]:
        """Batches of events after ``sequence``, for ever. A cluster that began anew (its numbers are lower than what
        the reader has seen) is read from its beginning."""
        if sequence > self.last:
            sequence = 0
        while True:
            news = self._news
            last = self.last
            if batch := self.since(sequence, detail=detail):
                sequence = batch[-1].sequence
                yield batch
            else:
                sequence = max(sequence, last)  # what is left are details, which are not looked at again
                await news.wait()


def kept_events(store: Store, cluster: str) -> list[Event]:
    """The newest that are durable."""
    _, last = store.events_bounds(cluster)
    return durable_events(store, cluster, max(0, last - KEPT))


def durable_events(store: Store, cluster: str, sequence: int) -> list[Event]:
    """Those after ``sequence``."""
    found = store.events_after(cluster, sequence, limit=KEPT)
    return [msgspec.json.decode(event.value, type=Event) for event in found]

"""One start of a master: what it took over, and each write that it makes.

All of it runs in one event loop, and one thing after the other (:mod:`~upcall.kubernetes.records.store` sees to both).
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from upcall import __version__
from upcall.kubernetes.records import events as pages
from upcall.kubernetes.records import head as heads
from upcall.kubernetes.records import objects
from upcall.kubernetes.records.calls import Calls, Elsewise, Unknown, Waiting
from upcall.kubernetes.records.head import Head
from upcall.kubernetes.records.objects import GRAVE_S, RECORD, WRITES_MAX, Stored, Value
from upcall.store.interface import Append, Change, CommitFailed, Delete, Event, Put, Superseded, VersionConflict
from upcall.substrate.kubernetes.client.kinds import CONFIG_MAP

log = logging.getLogger(__name__)

OWN: Final = "store/"
"""Kinds of records that are ours, and that no reader is shown."""
STARTS_MAX: Final = 500
"""Of so many starts the head says what counts; what older ones wrote is written anew."""
AT_ONCE_MAX: Final = 16
"""Deletions under way."""


class Writing:
    def __init__(
        self,
        calls: Calls,
        held: Callable[[], Awaitable[None]],
        *,
        wall: Callable[[], float],
        events_max: int = pages.EVENTS_MAX,
    ) -> None:
        """``held``: returns once this process may write, as far as it can know without asking; or raises."""
        self._calls, self._held, self._wall, self._events_max = calls, held, wall, events_max
        self.start = 0
        self._by = uuid.uuid4().hex
        self._head: Head
        self._writes = 0
        self._broken = "nothing was begun"
        """Why nothing is written before the next start: it is not known what stands there."""
        self._over: Superseded | None = None
        self.known: dict[tuple[str, str], Stored] = {}
        """What counts and is acknowledged, and graves."""
        self.pages: pages.Pages

    # -- beginning --------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Takes the next start number, and everything over."""
        self._broken = "its beginning failed"
        if self._over is not None:
            raise self._over
        await self._held()
        head = await self._take()
        self.start, self._writes = head.start, 0
        records, found = await self._records(), await self._pages()
        last = [(page.start, page.cluster, page.last) for page in found]
        self._head = await self._seal(head, head.sealing(records, last))
        self.known, settled = {}, list[Stored]()
        for one in records:
            stands = self._head.stands(one)
            if one.own != stands or (one.value is None and self._grave_is_old(one)):
                settled.append(one)
            self._know(one)
        self.pages = pages.Pages(self._calls, self.start, found, self._head, self._events_max)
        self._broken = ""
        await self._settle(settled + self._of_oldest_starts())
        await self._confirm(_Pending())
        await self.remove(self.pages.needless)

    async def _take(self) -> Head:
        waiting = Waiting(self._calls, "the next start cannot be taken")
        asked: set[int] = set()
        while True:
            there = await self._read_head()
            if there is not None and there.by == self._by and there.start in asked:
                return there
            if there is None:
                # The first; or somebody has deleted it: no number is given twice.
                start = max((one.start for one in await self._records()), default=0) + 1
                wanted = Head(start, self._by, 0, {}, release=__version__)
            elif self.start and (there.start, there.by) != (self.start, self._by):
                raise self.superseded(there.start)
            else:
                heads.refuse_newer(there, self._calls.namespace)
                wanted = replace(there, start=there.start + 1, by=self._by, release=__version__)
            asked.add(wanted.start)
            try:
                return heads.read(await self._calls.write(RECORD, wanted.object()))
            except (Elsewise, Unknown) as error:
                await waiting.pause(error)

    async def _seal(self, taken: Head, sealed: Head) -> Head:
        """Nothing is written before this is."""
        waiting = Waiting(self._calls, "what counts of earlier starts cannot be noted")
        while True:
            try:
                return heads.read(await self._calls.write(RECORD, sealed.object()))
            except (Elsewise, Unknown) as error:
                now = await self._read_head()
                if now is None or (now.start, now.by) != (taken.start, self._by):
                    raise self.superseded(now.start if now is not None else 0) from None
                if now.sealed == sealed.sealed:
                    return now
                sealed = replace(sealed, resource=now.resource)
                await waiting.pause(error)

    async def _read_head(self) -> Head | None:
        there = await self._calls.get(RECORD, heads.NAME)
        return heads.read(there) if there is not None else None

    async def _records(self) -> list[Stored]:
        found = (await self._calls.list(RECORD)).objects
        return [objects.stored(one) for one in found if one["metadata"]["name"] != heads.NAME]

    async def _pages(self) -> list[pages.Page]:
        return [pages.read(one) for one in (await self._calls.list(CONFIG_MAP, pages.EVENTS)).objects]

    def _of_oldest_starts(self) -> list[Stored]:
        beyond = set(sorted(self._head.ended)[: max(0, len(self._head.ended) - STARTS_MAX)])
        return [one for one in self.known.values() if one.start in beyond]

    async def _settle(self, found: Sequence[Stored]) -> None:
        """What is void becomes what stands there, so that it may be forgotten what counts of old starts."""
        for one in found:
            stands = self._head.stands(one)
            if stands is not None:
                change = Put(one.kind, one.key, stands.value)
                self._know(await self._write(change, compare=False, stays=stands.version))
            elif one.value is not None or self._grave_is_old(one):
                # Void, or long gone; the one that was found, and no other.
                name = objects.name(one.kind, one.key)
                if await self._calls.delete(RECORD, name, uid=one.uid, version=one.resource):
                    del self.known[one.kind, one.key]

    def _grave_is_old(self, one: Stored) -> bool:
        return one.value is None and self._wall() - one.at_wall_s > GRAVE_S

    async def sweep(self) -> None:
        """Old graves go."""
        if not self._broken:
            await self._settle([one for one in self.known.values() if self._grave_is_old(one)])

    def superseded(self, newest: int) -> Superseded:
        where = f"the store in namespace {self._calls.namespace}"
        if newest > self.start or not newest:
            taken = f"start {newest}" if newest else "somebody"
            said = f"{where} was opened by {taken}, and start {self.start} writes to it no more"
        else:
            said = f"{where} was opened as start {newest} by another process too"
        self._over = Superseded(f"{said}; expected one master for each namespace")
        return self._over

    # -- reading ----------------------------------------------------------------------------------------------------

    def stands(self, kind: str, key: str) -> Value | None:
        one = self.known.get((kind, key))
        return self._head.stands(one) if one is not None else None

    async def newest(self) -> int:
        there = await self._read_head()
        return there.start if there is not None else 0

    async def events(self, cluster: str) -> list[Event]:
        return pages.of_cluster(await self._pages(), self._head, cluster, self._events_max)

    # -- writing ----------------------------------------------------------------------------------------------------

    async def commit(self, changes: Sequence[Change]) -> list[int]:
        """In order. All of ``changes`` counts once this has returned."""
        if self._over is not None:
            raise self._over
        if self._broken:
            raise CommitFailed(f"nothing is written before a new start: {self._broken}")
        compared: set[tuple[str, str]] = set()
        pending = _Pending()
        versions = [0] * len(changes)
        try:
            for number, change in enumerate(changes):
                if isinstance(change, Append):
                    after = changes[number + 1] if number + 1 < len(changes) else None
                    self._queue(pending, change)
                    if not isinstance(after, Append) or after.cluster != change.cluster:
                        await self._append(pending)
                    continue
                record = change.kind, change.key
                if record in pending.written:
                    # What stood before a write is in it; so that has to count before it is written over.
                    await self._confirm(pending)
                written = await self._write(change, compare=record not in compared)
                compared.add(record)
                if written is not _NOTHING:
                    pending.written[record] = written
                if isinstance(change, Put):
                    versions[number] = written.version
        except VersionConflict:
            await self._confirm(pending)
            raise
        except BaseException:
            self._broken = "what became of the last commit is not known"
            raise
        await self._confirm(pending)
        await self.remove(pending.old)
        return versions

    async def _confirm(self, pending: "_Pending") -> None:
        """What was written counts, for there was no other start before now. Who had to wait for an API server holds the
        Lease again before it is told: else it would have to find all anew."""
        await self._held()
        there = await self._read_head()
        if there is None or (there.start, there.by) != (self.start, self._by):
            raise self.superseded(there.start if there is not None else 0)
        for one in pending.written.values():
            self._know(one)
        for cluster, (first, last) in pending.appended.items():
            pending.old += self.pages.acknowledged(cluster, first, last)
        pending.written.clear()
        pending.appended.clear()

    def _know(self, one: Stored) -> None:
        # What stood before is not needed where the record itself counts.
        counts = self._head.counts(one.start, one.write)
        self.known[one.kind, one.key] = replace(one, before=None) if counts else one

    def _queue(self, pending: "_Pending", event: Append) -> None:
        last = self.pages.last(event.cluster)
        if event.cluster in pending.appended:
            last = pending.appended[event.cluster][1]
        if pending.queued:
            last = pending.queued[-1].sequence
        if event.sequence <= last:
            raise VersionConflict(
                f"event {event.sequence} of {event.cluster} comes after event {last}; expected a higher sequence"
            )
        pending.queued.append(event)

    async def _append(self, pending: "_Pending") -> None:
        events, pending.queued = pending.queued, []
        await self._held()
        await self.pages.append(events[0].cluster, events)
        first = pending.appended.get(events[0].cluster, (events[0].sequence, 0))[0]
        pending.appended[events[0].cluster] = first, events[-1].sequence

    async def _write(self, change: Put | Delete, *, compare: bool, stays: int = 0) -> Stored:
        """One record, until it is known what became of it. :data:`_NOTHING` where there is nothing to delete."""
        what = f"record {change.kind}/{change.key}"
        value = change.value if isinstance(change, Put) else None
        known = self.known.get((change.kind, change.key))
        mine: set[int] = set()
        looked = False
        waiting = Waiting(self._calls, f"{what} cannot be written")
        while True:
            stands = self._head.stands(known) if known is not None else None
            found = stands.version if stands is not None else 0
            if compare and change.expected_version not in (None, found):
                if looked:
                    raise VersionConflict(f"{what} has version {found}; expected {change.expected_version}")
                known, looked = await self._look(change), True
                continue
            if value is None and stands is None:
                return _NOTHING
            await self._held()
            self._writes += 1
            assert self._writes < WRITES_MAX
            mine.add(self._writes)
            obj = objects.record(
                *(change.kind, change.key, value),
                start=self.start,
                write=self._writes,
                at_wall_s=self._wall(),
                before=stands,
                over=known,
                stays=stays,
            )
            try:
                return objects.stored(await self._calls.write(RECORD, obj))
            except (Elsewise, Unknown) as error:
                known, looked = await self._look(change), True
                if known is not None and known.start == self.start and known.write in mine:
                    return known
                await waiting.pause(error)

    async def _look(self, change: Put | Delete) -> Stored | None:
        """As it stands there now."""
        there = await self._calls.get(RECORD, objects.name(change.kind, change.key))
        known = objects.stored(there) if there is not None else None
        if known is not None and known.start > self.start:
            raise self.superseded(known.start)
        return known

    def next_number(self) -> int:
        """Which the next write has: a name for what is written below it, that no other has."""
        return self._writes + 1

    async def remove(self, config_maps: Sequence[str]) -> None:
        """Best effort: what is left is of no harm."""
        limit = asyncio.Semaphore(AT_ONCE_MAX)

        async def one(name: str) -> None:
            async with limit:
                await self._calls.delete(CONFIG_MAP, name)

        if config_maps:
            await asyncio.gather(*(one(name) for name in config_maps))


class _Pending:
    """Written, and not yet known to count."""

    def __init__(self) -> None:
        self.written: dict[tuple[str, str], Stored] = {}
        self.queued: list[Append] = []
        self.appended: dict[str, tuple[int, int]] = {}
        """Cluster -> first and last sequence."""
        self.old: list[str] = []


_NOTHING: Final = Stored("", "", "", "", 0, 0, None, None, 0.0)

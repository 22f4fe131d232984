"""Events in pages: ConfigMaps, each of one start and one cluster, so that all events of a commit are one write.

A page is written over as it grows, by its start alone, until it is full. Which events of an earlier start count stands
in the head, as with records. A start goes on with what the last page before it has, so that starts that say little do
not leave a page each; of an event that is in two pages, the one of the later start is read.
"""

import base64
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from upcall.kubernetes.records.calls import Calls, Elsewise, Unknown, Waiting
from upcall.kubernetes.records.head import Head
from upcall.store.interface import Append, Corrupt, Event, TooLarge
from upcall.substrate.kubernetes.client.kinds import CONFIG_MAP, Object
from upcall.substrate.kubernetes.evictions.objects import GROUP

EVENTS: Final = f"{GROUP}/events"
"""The label of a page: of which cluster it is."""
START: Final = f"{GROUP}/start"
CLUSTER: Final = f"{GROUP}/cluster"
EVENTS_MAX: Final = 20_000
"""Kept of a cluster: as many as the master keeps in memory."""
PAGE_EVENTS_MAX: Final = 200
PAGE_BYTES_MAX: Final = 48 << 10
"""A page is written whole with each commit, and etcd keeps every version of it for some minutes."""
EVENT_BYTES_MAX: Final = 512 << 10
"""A page holds at least one."""

_Entries = tuple[tuple[int, bytes], ...]


@dataclass(frozen=True)
class Page:
    cluster: str
    start: int
    name: str
    resource: str
    entries: _Entries
    """Sequence and value, rising."""

    @property
    def last(self) -> int:
        return self.entries[-1][0] if self.entries else 0

    @property
    def full(self) -> bool:
        return len(self.entries) >= PAGE_EVENTS_MAX or sum(len(v) for _, v in self.entries) >= PAGE_BYTES_MAX

    def takes(self, value: bytes) -> bool:
        size = sum(len(v) for _, v in self.entries) + len(value)
        return not self.entries or (len(self.entries) < PAGE_EVENTS_MAX and size <= PAGE_BYTES_MAX)

    def object(self) -> Object:
        data = zlib.compress(msgspec.msgpack.encode(self.entries), 1)
        meta: Object = {
            "name": self.name,
            "labels": {EVENTS: digest(self.cluster), START: str(self.start)},
            "annotations": {CLUSTER: self.cluster},
        }
        if self.resource:
            meta["resourceVersion"] = self.resource
        return {"metadata": meta, "binaryData": {"page": base64.b64encode(data).decode()}}


def digest(cluster: str) -> str:
    return hashlib.sha256(cluster.encode()).hexdigest()[:16]


def read(obj: Object) -> Page:
    meta = obj["metadata"]
    try:
        data = zlib.decompress(base64.b64decode(obj["binaryData"]["page"]))
        entries = msgspec.msgpack.decode(data, type=_Entries)
        start = int(meta["labels"][START])
        return Page(meta["annotations"][CLUSTER], start, meta["name"], meta["resourceVersion"], entries)
    except (KeyError, TypeError, ValueError, zlib.error, msgspec.MsgspecError) as error:
        raise Corrupt(f"ConfigMap {meta['name']}, a page of events, is not as it was written: {error}") from None


def counted(page: Page, head: Head) -> Page:
    entries = tuple(one for one in page.entries if head.counts_event(page.start, page.cluster, one[0]))
    return replace(page, entries=entries)


class Pages:
    """Those of one start; made anew with the next."""

    def __init__(
        self, calls: Calls, start: int, found: Sequence[Page], head: Head, events_max: int = EVENTS_MAX
    ) -> None:
        """``found``: all that are there."""
        self._calls, self._start, self._max = calls, start, events_max
        self._number = 0
        self._open: dict[str, Page] = {}
        self._there: dict[str, list[tuple[int, str]]] = {}
        """Cluster -> last sequence and name of each page, the oldest first."""
        self._last: dict[str, int] = {}
        self._first: dict[str, int] = {}
        pages = [counted(page, head) for page in found]
        self.needless = [page.name for page in pages if _needless(page, pages)]
        """Pages of which every event is in one of a later start as well."""
        pages = [page for page in pages if page.name not in self.needless]
        for cluster in {page.cluster for page in pages}:
            of_cluster = sorted((page for page in pages if page.cluster == cluster), key=lambda p: (p.last, p.start))
            self._there[cluster] = [(page.last, page.name) for page in of_cluster]
            events = merged(of_cluster)
            if not events:
                continue
            self._last[cluster] = events[-1][0]
            self._first[cluster] = max(events[0][0], self._last[cluster] - events_max + 1)
            last = of_cluster[-1]
            if not last.full:
                self._open[cluster] = self._new(cluster, last.entries)

    def _new(self, cluster: str, entries: _Entries = ()) -> Page:
        self._number += 1
        return Page(cluster, self._start, f"events-{digest(cluster)}-{self._start}-{self._number}", "", entries)

    def last(self, cluster: str) -> int:
        return self._last.get(cluster, 0)

    def bounds(self, cluster: str) -> tuple[int, int]:
        last = self._last.get(cluster, 0)
        return (self._first[cluster], last) if last else (0, 0)

    async def append(self, cluster: str, events: Sequence[Append]) -> None:
        """They are above all before them. One write, or some where a page is full."""
        page = self._open.get(cluster) or self._new(cluster)
        for event in events:
            if not page.takes(event.value):
                await self._write(page)
                page = self._new(cluster)
            page = replace(page, entries=(*page.entries, (event.sequence, event.value)))
        await self._write(page)

    async def _write(self, page: Page) -> None:
        waiting = Waiting(self._calls, f"events of {page.cluster} cannot be written")
        while True:
            try:
                written = read(await self._calls.write(CONFIG_MAP, page.object()))
                break
            except (Elsewise, Unknown) as error:
                there = await self._calls.get(CONFIG_MAP, page.name)
                if there is not None and (found := read(there)).entries == page.entries:
                    written = found
                    break
                # Nobody else writes it: it was labelled, taken away by hand, or the answer to an earlier try was lost.
                page = replace(page, resource=there["metadata"]["resourceVersion"] if there is not None else "")
                await waiting.pause(error)
        self._open[page.cluster] = written
        there_before = self._there.setdefault(page.cluster, [])
        if there_before and there_before[-1][1] == page.name:
            there_before.pop()
        there_before.append((written.last, page.name))

    def acknowledged(self, cluster: str, first: int, last: int) -> list[str]:
        """They count. Gives the pages of which nothing is kept any more."""
        self._first.setdefault(cluster, first)
        self._last[cluster] = last
        oldest = last - self._max
        self._first[cluster] = max(self._first[cluster], oldest + 1)
        pages = self._there[cluster]
        old = [name for last, name in pages[:-1] if last <= oldest]
        self._there[cluster] = [one for one in pages if one[1] not in old]
        return old


def _needless(page: Page, pages: Sequence[Page]) -> bool:
    return all(
        any(other.start > page.start and other.cluster == page.cluster and one in other.entries for other in pages)
        for one in page.entries
    )


def merged(pages: Sequence[Page]) -> list[tuple[int, bytes]]:
    """Of all pages of a cluster that count."""
    found: dict[int, bytes] = {}
    for page in sorted(pages, key=lambda p: p.start):
        found.update(page.entries)
    return sorted(found.items())


def check(event: Append) -> None:
    if len(event.value) > EVENT_BYTES_MAX:
        size = len(event.value)
        raise TooLarge(
            f"event {event.sequence} of {event.cluster} has {size} bytes; at most {EVENT_BYTES_MAX} are stored"
        )


def of_cluster(found: Sequence[Page], head: Head, cluster: str, events_max: int) -> list[Event]:
    entries = merged([counted(page, head) for page in found if page.cluster == cluster])
    oldest = entries[-1][0] - events_max if entries else 0
    return [Event(cluster, sequence, value) for sequence, value in entries if sequence > oldest]

"""Which start is the last, and what counts of those before it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from upcall import __version__
from upcall.kubernetes.records.objects import Stored, Value
from upcall.protocol.releases import newer
from upcall.store.interface import Corrupt, FutureVersion
from upcall.substrate.kubernetes.client.kinds import Object
from upcall.substrate.kubernetes.evictions.objects import GROUP

NAME: Final = "start"
"""No record has this name: each has a digest in it."""
KIND: Final = "store/start"
"""A name of ours, among those of records."""


RELEASE: Final = f"{GROUP}/release"
"""An annotation of the head."""


@dataclass(frozen=True)
class Ended:
    """The last that counts of a start."""

    write: int = 0
    events: Mapping[str, int] = field(default_factory=dict)
    """Cluster -> sequence."""


@dataclass(frozen=True)
class Head:
    start: int
    by: str
    """Which process took it: two that lost the answer can tell whose it became."""
    sealed: int
    """Of the starts up to this one, what is not in :attr:`ended` does not count at all. Of those between it and
    :attr:`start` all counts that is there: nobody has acted on its absence yet."""
    ended: Mapping[int, Ended]
    resource: str = ""
    release: str = ""
    """Of upcall, that began it: an older one does not know what it writes."""

    def counts(self, start: int, write: int) -> bool:
        if start > self.sealed:
            return True
        ended = self.ended.get(start)
        return ended is not None and write <= ended.write

    def counts_event(self, start: int, cluster: str, sequence: int) -> bool:
        if start > self.sealed:
            return True
        ended = self.ended.get(start)
        return ended is not None and sequence <= ended.events.get(cluster, 0)

    def stands(self, one: Stored) -> Value | None:
        """What a reader finds; None: nothing is there."""
        return one.own if self.counts(one.start, one.write) else one.before

    def sealing(self, records: Iterable[Stored], events: Iterable[tuple[int, str, int]]) -> "Head":
        """With all that was found after it was taken. Starts of which nothing is left are forgotten: what still comes
        of them is void by that. ``events``: start, cluster and last sequence of each page."""
        writes: dict[int, int] = {}
        last: dict[int, dict[str, int]] = {}
        for one in records:
            if self.counts(one.start, one.write) and one.start < self.start:
                writes[one.start] = max(writes.get(one.start, 0), one.write)
        for start, cluster, sequence in events:
            if start < self.start:
                of_start = last.setdefault(start, {})
                of_start[cluster] = max(of_start.get(cluster, 0), sequence)
        ended: dict[int, Ended] = {}
        for start in sorted(writes.keys() | last.keys()):
            if start > self.sealed:
                ended[start] = Ended(writes.get(start, 0), last.get(start, {}))
            elif start in self.ended:
                # What was said of it once is never said otherwise.
                ended[start] = self.ended[start]
        return replace(self, sealed=self.start - 1, ended=ended)

    def object(self) -> Object:
        meta: Object = {"name": NAME, "annotations": {RELEASE: self.release}}
        if self.resource:
            meta["resourceVersion"] = self.resource
        ended = {str(s): {"write": one.write, "events": dict(one.events)} for s, one in self.ended.items()}
        spec = {"kind": KIND, "key": "", "start": self.start, "by": self.by, "sealed": self.sealed, "ended": ended}
        return {"metadata": meta, "spec": spec}


def read(obj: Object) -> Head:
    spec = obj["spec"]
    try:
        ended = {
            int(start): Ended(int(one.get("write", 0)), {c: int(s) for c, s in (one.get("events") or {}).items()})
            for start, one in (spec.get("ended") or {}).items()
        }
        meta = obj["metadata"]
        release = str((meta.get("annotations") or {}).get(RELEASE, ""))
        return Head(
            int(spec["start"]), str(spec["by"]), int(spec["sealed"]), ended, str(meta["resourceVersion"]), release
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Corrupt(f"record {NAME}, which says who may write, is not as it was written: {error}") from None


def refuse_newer(head: Head | None, namespace: str) -> None:
    """An older program must not guess at what a newer one wrote, and changes nothing of it."""
    if head is not None and newer(head.release, __version__):
        raise FutureVersion(
            f"the records in namespace {namespace} are upcall {head.release}'s, and this is upcall {__version__}, which"
            f" does not know what a newer one writes; nothing was touched; expected upcall {head.release} or newer"
        )

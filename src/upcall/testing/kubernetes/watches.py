"""How the substrate hears the played API server: a list, then what changes, one stream for each kind.

Streams may break, and then be taken up again later from where they were, or be told that the server has forgotten that
(410) and list everything anew; what was said may be said again, also what is of the past. Nothing is ever lost for
good: that is what the real protocol promises, and all of it.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from upcall.substrate.interface import Output
from upcall.substrate.kubernetes.objects import KINDS, Kind
from upcall.substrate.kubernetes.requests import Changed, Listed, Removed
from upcall.substrate.kubernetes.requests import Event as Heard
from upcall.testing.kubernetes.api import ApiServer, Event, Refusal

RESYNC_S: Final = 5.0
"""A stream that broke is taken up again at the next of these."""
FORGOTTEN: Final = 0.5
"""Of streams that broke: so many begin anew."""


@dataclass
class Watches:
    api: ApiServer
    seed: int = 0
    loss: float = 0.0
    """So many events break their stream."""
    repeat: float = 0.0
    cursors: dict[Kind, int | None] = field(default_factory=lambda: dict.fromkeys(KINDS))
    """Version to go on from; None: not listed yet."""
    broken: dict[Kind, float] = field(default_factory=dict)
    """Until when."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def begin(self) -> None:
        """A new life of whoever listens."""
        self.cursors = dict.fromkeys(KINDS)
        self.broken = {}

    def is_due(self, now_s: float) -> bool:
        return any(self._waits(kind) for kind in KINDS if self.broken.get(kind, now_s) <= now_s)

    def due(self, now_s: float) -> float | None:
        """When there is something to hear."""
        waits = [max(self.broken.get(kind, now_s), now_s) for kind in KINDS if self._waits(kind)]
        return min(waits, default=None)

    def _waits(self, kind: Kind) -> bool:
        cursor = self.cursors[kind]
        return cursor is None or self.api.newest(kind) > cursor

    def hear(self, take: Callable[[Heard], Output], now_s: float, out: Output) -> None:
        for kind in KINDS:
            if self.broken.get(kind, now_s) > now_s or not self._waits(kind):
                continue
            self.broken.pop(kind, None)
            self._hear(kind, take, now_s, out)

    def _hear(self, kind: Kind, take: Callable[[Heard], Output], now_s: float, out: Output) -> None:
        cursor = self.cursors[kind]
        events: list[Event] = []
        if cursor is not None:
            try:
                events = self.api.since(kind, cursor)
            except Refusal:
                cursor = None
        if cursor is None:
            self.cursors[kind] = self.api.version
            add(out, take(Listed(kind, tuple(self.api.all(kind)), self.api.version)))
            if self._chance(self.repeat) and self.api.logged(kind):
                # By a server that lags behind: what is of the past is said once more.
                add(out, take(_heard(kind, self._random.choice(self.api.logged(kind)))))
            return
        for event in events:
            if self._chance(self.loss):
                self.broken[kind] = (now_s // RESYNC_S + 1) * RESYNC_S
                if self._chance(FORGOTTEN):
                    self.cursors[kind] = None
                return
            self.cursors[kind] = event.version
            add(out, take(_heard(kind, event)))
            if self._chance(self.repeat):
                add(out, take(_heard(kind, event)))

    def _chance(self, share: float) -> bool:
        return bool(share) and self._random.random() < share


def _heard(kind: Kind, event: Event) -> Heard:
    return Removed(kind, event.object) if event.type == "DELETED" else Changed(kind, event.object)


def add(out: Output, more: Output) -> None:
    out.up.extend(more.up)
    out.send.extend(more.send)
    out.records.extend(more.records)
    out.prove.extend(more.prove)

"""The picture of the cluster that all browsers share: one event stream, one snapshot, bounded memory.

An event says *that* something changed; the snapshot says how it is now. So events make the picture old, and it is
read again at most a few times a second. Usage figures are no events: they are read every few seconds, while somebody
looks. After a gap, or another master, nothing special happens: the next snapshot is the truth.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from upcall.client.streaming import AsyncClient, backoff
from upcall.protocol.errors import NotFound, NotNow, UpcallError
from upcall.protocol.operator import Event, OperationView, Status

EVENTS_KEPT: Final = 400
ENDED_KEPT: Final = 20
"""With what they caused."""
CHILDREN_KEPT: Final = 50
"""Of one operation, the newest: a node has no more members."""
SETTLE_S: Final = 0.25
"""Changes that come together are one picture."""
USAGE_S: Final = 3.0
USAGE_UNSEEN_S: Final = 30.0
"""While nobody looks, so that the next who does sees no old picture."""

log = structlog.get_logger(__name__)
Listener = Callable[[], None]
EventListener = Callable[[list[Event]], None]


class Live:
    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.status: Status | None = None
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self.ended: list[OperationView] = []
        """Operations that are over, newest first: those that were seen live, and what they caused or a live one did,
        also before anybody looked."""
        self.connected = False
        self.trouble = ""
        self._forgotten: deque[str] = deque(maxlen=EVENTS_KEPT)
        """Operations that the master does not know any more: nobody asks for them again."""
        self._listeners: set[Listener] = set()
        self._event_listeners: set[EventListener] = set()
        self._old = asyncio.Event()
        self._looked_at = asyncio.Event()

    # -- who looks --------------------------------------------------------------------------------------------------

    def listen(self, changed: Listener, events: EventListener) -> Callable[[], None]:
        """Call ``changed`` for each new picture and ``events`` with new events; the answer ends it."""
        self._listeners.add(changed)
        self._event_listeners.add(events)
        self._looked_at.set()

        def end() -> None:
            self._listeners.discard(changed)
            self._event_listeners.discard(events)
            if not self._listeners:
                self._looked_at.clear()

        return end

    @property
    def readers(self) -> int:
        return len(self._listeners)

    def refresh(self) -> None:
        """Something was done: the picture is old."""
        self._old.set()

    # -- the loops --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """For as long as the page is served."""
        attempt = 0
        while True:
            try:
                await self._take(await self.client.status())
                self._add(await self.client.events(EVENTS_KEPT), anew=True)
                if self.events and self.status and self.events[-1].sequence > self.status.event_sequence:
                    self._old.set()  # it happened between the two questions
                attempt = 0
                self._say(connected=True)
                await self._follow()
            except UpcallError as error:
                attempt += 1
                if attempt == 1 or not isinstance(error, NotNow):
                    log.info("master is away", reason=str(error))
                self._say(connected=False, trouble=str(error))
            await backoff(attempt)

    async def _follow(self) -> None:
        """Until the stream or a snapshot fails."""
        tasks = [asyncio.ensure_future(self._read_events()), asyncio.ensure_future(self._read_snapshots())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, UpcallError):
                    await task

    async def _read_events(self) -> None:
        last = self.events[-1].sequence if self.events else (self.status.event_sequence if self.status else 0)
        async for event in self.client.follow(last):
            self._add([event])
            self._old.set()

    async def _read_snapshots(self) -> None:
        while True:
            wait_s = USAGE_S if self._listeners else USAGE_UNSEEN_S
            waits = [asyncio.ensure_future(self._old.wait())]
            if not self._listeners:
                waits.append(asyncio.ensure_future(self._looked_at.wait()))
            try:
                await asyncio.wait(waits, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in waits:
                    one.cancel()
            await asyncio.sleep(SETTLE_S)
            self._old.clear()
            await self._take(await self.client.status())

    async def _take(self, status: Status) -> None:
        before = {one.id for one in self.status.operations} if self.status else set()
        gone = sorted(before - {one.id for one in status.operations})
        self.status = status
        for name in gone[-ENDED_KEPT:]:
            await self._end(name)
        known = {one.id for one in (*status.operations, *self.ended)}
        for parent in (*status.operations, *self.ended):
            for name in _children(parent):
                if name not in known:
                    await self._end(name)
        self.ended = kept(self.ended, status.operations)
        for listener in list(self._listeners):
            listener()

    async def _end(self, name: str) -> None:
        if name in self._forgotten:
            return
        try:
            self.ended.insert(0, await self.client.operation(name))
        except NotFound:
            self._forgotten.append(name)

    def _add(self, events: Iterable[Event], *, anew: bool = False) -> None:
        last = self.events[-1].sequence if self.events else -1
        found = list(events)
        if anew and found and found[-1].sequence < last:
            self.events.clear()  # another cluster's numbers
            last = -1
        # A detail made the picture old, which is all that it is for.
        fresh = [one for one in found if (one.sequence > last or one.kind == "gap") and not one.detail]
        self.events.extend(fresh)
        if fresh:
            for listener in list(self._event_listeners):
                listener(fresh)

    def _say(self, *, connected: bool, trouble: str = "") -> None:
        if (connected, trouble) != (self.connected, self.trouble):
            self.connected, self.trouble = connected, trouble
            for listener in list(self._listeners):
                listener()


def _children(parent: OperationView) -> list[str]:
    return parent.children[-CHILDREN_KEPT:]


def kept(ended: list[OperationView], current: list[OperationView]) -> list[OperationView]:
    """A bounded part of what is over: the newest, and nothing without what it belongs to, if that is there at all."""
    parents = {one.id: one for one in (*ended, *current)}
    roots = [one for one in ended if one.parent not in parents]
    chosen = {one.id for one in (*roots[:ENDED_KEPT], *current)}
    while more := {
        one.id
        for one in ended
        if one.id not in chosen and one.parent in chosen and one.id in _children(parents[one.parent])
    }:
        chosen |= more
    return [one for one in ended if one.id in chosen]

"""One channel: what waits to be told there, on disk before anything else is read, and told until it is taken."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from upcall.alerts import notices
from upcall.alerts.channels import Channel
from upcall.alerts.notices import Notice
from upcall.alerts.sending import Untold
from upcall.cluster.folder import write_private
from upcall.protocol.operator import Event

PENDING_MAX: Final = 500
"""What waits for a place that is away for long; of older ones is kept how many they were."""
AT_ONCE: Final = 50
SAVED_EACH: Final = 1000
"""Events without news are counted on disk so often: a start reads at most so many again."""
AGAIN_S: Final = (1.0, 300.0)
"""Between attempts: this, doubled up to that."""
Send = Callable[[Channel, Sequence[Notice], str], Awaitable[None]]


class State(msgspec.Struct, kw_only=True, omit_defaults=True):
    seen: int = -1
    """Up to this event the journal was read; -1: nothing yet, and what happened before is nobody's news."""
    pending: list[Notice] = []
    dropped: int = 0
    told: int = 0
    told_at: float = 0.0
    failing_since: float = 0.0
    error: str = ""


def load(path: Path) -> State:
    """What cannot be read is begun anew: half a record is no reason to tell nothing more."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except (OSError, msgspec.DecodeError):
        return State()


class Teller:
    def __init__(self, channel: Channel, cluster: str, path: Path, send: Send) -> None:
        self.channel, self.state = channel, load(path)
        self._cluster, self._path, self._send = cluster, path, send
        self._saved = self.state.seen
        self._news = asyncio.Event()

    def begin_at(self, sequence: int) -> None:
        if self.state.seen < 0:
            self.state.seen = sequence
            self._save()

    def take(self, event: Event) -> None:
        """An event of the journal, in its order."""
        if event.sequence <= self.state.seen and event.kind != "gap":
            return
        self.state.seen = max(self.state.seen, event.sequence)
        notice = notices.of(event)
        if notice is not None:
            self.state.pending.append(notice)
            over = len(self.state.pending) - PENDING_MAX
            if over > 0:
                del self.state.pending[:over]
                self.state.dropped += over
        if notice is not None or self.state.seen - self._saved >= SAVED_EACH:
            self._save()
        if notice is not None:
            self._news.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        again_s = AGAIN_S[0]
        while True:
            if not self.state.pending:
                self._news.clear()
                await self._news.wait()
            batch = self.state.pending[:AT_ONCE]
            try:
                await self._send(self.channel, batch, self._cluster)
            except Untold as error:
                self.state.error = str(error)
                self.state.failing_since = self.state.failing_since or time.time()
                self._save()
                await asyncio.sleep(again_s)
                again_s = min(AGAIN_S[1], again_s * 2)
                continue
            again_s = AGAIN_S[0]
            # By what they are: while they were told, newer ones came and old ones may have been dropped for them.
            told = {one.id for one in batch}
            self.state.pending = [one for one in self.state.pending if one.id not in told]
            self.state.told += len(batch)
            self.state.told_at = time.time()
            self.state.failing_since, self.state.error = 0.0, ""
            self._save()

    def _save(self) -> None:
        """A full disk: what is known is told all the same, and written with the next change."""
        try:
            write_private(self._path, msgspec.json.encode(self.state))
        except OSError:
            return
        self._saved = self.state.seen

"""The thread that writes: one batch after the other, while the loop's thread runs turns.

A thread of its own, and not one of a pool: what a pool does to hand a call over costs as much as a small turn. For the
same reason who waits is called, and has no future.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeAlias

from upcall.store.interface import Change, Store

Written: TypeAlias = Callable[[list[int], BaseException | None], None]
"""Is given what :meth:`Store.commit` gave, or what it raised."""
_Batch: TypeAlias = tuple[Sequence[Change], asyncio.AbstractEventLoop, Written]


class Writer:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: SimpleQueue[_Batch | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)
        self._thread.start()

    def write(self, changes: Sequence[Change], written: Written) -> None:
        """``written`` is called on this thread's loop once they are durable, or are not."""
        self._waiting.put((changes, asyncio.get_running_loop(), written))

    def close(self) -> None:
        """Returns once all that was handed over is written."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (batch := self._waiting.get()) is not None:
            changes, loop, written = batch
            failed: BaseException | None = None
            versions: list[int] = []
            try:
                versions = self._store.commit(changes)
            except BaseException as error:
                failed = error
            with suppress(RuntimeError):  # The loop is closed: nobody waits any more.
                loop.call_soon_threadsafe(written, versions, failed)

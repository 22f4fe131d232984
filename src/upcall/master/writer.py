"""The thread that writes: one batch after the other, while the loop's thread runs turns.

A thread of its own, and not one of a pool: what a pool does to hand a call over costs as much as a small turn.
"""

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import NamedTuple

from upcall.store.interface import Change, Store


class _Batch(NamedTuple):
    changes: Sequence[Change]
    loop: asyncio.AbstractEventLoop
    written: "asyncio.Future[list[int]]"


class Writer:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: SimpleQueue[_Batch | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)
        self._thread.start()

    def write(self, changes: Sequence[Change]) -> "asyncio.Future[list[int]]":
        """What :meth:`Store.commit` gives, or raises, once it is durable."""
        loop = asyncio.get_running_loop()
        written = loop.create_future()
        self._waiting.put(_Batch(changes, loop, written))
        return written

    def close(self) -> None:
        """Returns once all that was handed over is written."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (batch := self._waiting.get()) is not None:
            try:
                versions = self._store.commit(batch.changes)
            except BaseException as error:
                self._tell(batch.loop, _fail, batch.written, error)
            else:
                self._tell(batch.loop, _succeed, batch.written, versions)

    @staticmethod
    def _tell(loop: asyncio.AbstractEventLoop, *call: object) -> None:
        with suppress(RuntimeError):  # The loop is closed: nobody waits any more.
            loop.call_soon_threadsafe(*call)  # type: ignore[arg-type]


def _succeed(written: "asyncio.Future[list[int]]", versions: list[int]) -> None:
    if not written.done():
        written.set_result(versions)


def _fail(written: "asyncio.Future[list[int]]", error: BaseException) -> None:
    if not written.done():
        written.set_exception(error)

"""To be told when a folder's content changes: one inotify instance for the whole agent.

Where the user's inotify instances are used up, watchers are woken every second instead.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from upcall.keeper import linux

LOOK_EVERY_S = 1.0


class Watching:
    def __init__(self) -> None:
        self._waiting: dict[int, set[asyncio.Event]] = {}
        self._inotify: linux.Inotify | None = None
        with contextlib.suppress(OSError):
            self._inotify = linux.Inotify()
            asyncio.get_running_loop().add_reader(self._inotify.descriptor, self._wake)

    @contextlib.asynccontextmanager
    async def folder(self, folder: Path) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever something in the folder was written, created or renamed."""
        changed = asyncio.Event()
        watch = self._watch(folder)
        if watch is None:
            looker = asyncio.create_task(_look(changed))
            try:
                yield changed
            finally:
                looker.cancel()
            return
        self._waiting.setdefault(watch, set()).add(changed)
        try:
            yield changed
        finally:
            self._waiting[watch].discard(changed)
            if not self._waiting[watch]:
                del self._waiting[watch]
                assert self._inotify is not None
                self._inotify.unwatch(watch)

    def _watch(self, folder: Path) -> int | None:
        if self._inotify is None:
            return None
        try:
            return self._inotify.watch(str(folder), linux.IN_MODIFY | linux.IN_CREATE | linux.IN_MOVED_TO)
        except OSError:
            return None

    def _wake(self) -> None:
        assert self._inotify is not None
        for event in self._inotify.read():
            for changed in self._waiting.get(event.watch, ()):
                changed.set()

    def close(self) -> None:
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.descriptor)
            self._inotify.close()
            self._inotify = None


async def _look(changed: asyncio.Event) -> None:
    while True:
        changed.set()
        await asyncio.sleep(LOOK_EVERY_S)

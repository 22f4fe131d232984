"""The code of a package: fetched once, and imported where it costs nobody anything.

An import runs whatever stands at the top of a file, and that may wait for a machine that is gone. So it has a thread of
its own and a deadline, after which it is told where it stands.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from upcall.protocol import service as wire
from upcall.service import package
from upcall.service.apart import Apart
from upcall.service.connection import Connection
from upcall.service.hanging import Hangs
from upcall.service.service import Service

FETCH_S: Final = 120.0


async def loaded(
    connection: Connection,
    what: wire.Assignment | wire.Derive | wire.Revision,
    sources: Path,
    apart: Apart,
    within_s: float,
) -> type[Service]:
    """The code of a package in its version. ``apart``: where it is imported; :class:`~upcall.service.hanging.Hangs`
    where that takes longer than ``within_s``."""
    folder: Path | None = None
    if what.source:
        folder = sources / what.source
        if not folder.is_dir():
            data = await connection.call("GET", f"/v1/blobs/{what.source}", timeout_s=FETCH_S)
            folder = await asyncio.to_thread(package.unpack, data, what.source, sources)
    given = (what.entry, folder, what.source, what.version)
    return await apart.call(package.load, *given, within_s=within_s, what=f"the import of {what.entry}")


class Trials:
    """Of one service: code that revisions would bring, imported to be tried and asked."""

    def __init__(self, sources: Path, service: str = "", barred: Callable[[str], str] = lambda source: "") -> None:
        """``barred``: why a source is not tried, for it stopped the whole host; empty: it may be."""
        self._sources, self._barred = sources, barred
        self._apart = Apart(service)
        self._hung: dict[str, str] = {}
        """Source -> what of its import hangs."""

    @property
    def holds(self) -> bool:
        """An import has not returned."""
        return self._apart.holds

    async def load(self, connection: Connection, revision: wire.Revision, within_s: float) -> type[Service]:
        """What did hang is said again, and not called again, until it has returned."""
        if why := self._barred(revision.source):
            raise Hangs(why)
        if (hangs := self._hung.get(revision.source)) and self.holds:
            raise Hangs(hangs)
        try:
            return await loaded(connection, revision, self._sources, self._apart, within_s)
        except Hangs as found:
            self._hung[revision.source] = found.problem.message
            raise

"""In which form the nodes write their files, and how a ring comes to the newest one.

A node that writes as the version before does reads no file in the newer form, and says nothing of it: who loads such
files has to look first. Each step to the newer form (:mod:`upcall.catalog.cassandra.releases`) is a restart of every
node, which is asked about like any other.
"""

import asyncio
import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from upcall.catalog.cassandra.nodes import MODE, Nodes
from upcall.catalog.cassandra.releases import MODES, Mode
from upcall.protocol.errors import NotNow

if TYPE_CHECKING:
    from upcall.catalog.cassandra.ring import Ring

LOOK_S: Final = 1.0
AGAIN_S: Final = 60
"""A restart that was called off is proposed again after so long."""
NEWEST: Final = MODES[-1]
DATA: Final = "-Data.db"
_AS_CASSANDRA_4: Final = re.compile(r"[mn][a-z]-[^-]+-big-")
"""How the names of files begin that Cassandra 3, 4, and 5 in its oldest mode, write: version, number, format."""


def in_newer_form(files: Iterable[str]) -> bool:
    """Whether one of these files of tables is in a form that no node reads which writes as Cassandra 4 does."""
    names = (file.rpartition("/")[2] for file in files)
    return any(name.endswith(DATA) and not _AS_CASSANDRA_4.match(name) for name in names)


class Forms(Nodes):
    """Brings a ring to the newest form that its version has."""

    async def write_in_newest_form(self, why: str) -> None:
        """From here on there is no way back to the version before. Wherever this was interrupted, the nodes themselves
        say how far they are. ``why``: what it belongs to, in the keys of its restarts."""
        for mode in MODES[1:]:
            if MODES.index(self._mode) < MODES.index(mode):
                await self.state.set(MODE, mode)
                self._mode = mode
                self.refresh()
            for node in self.members.of("node"):
                await self._until_it_writes(node.name, mode, why)

    async def _until_it_writes(self, name: str, mode: Mode, why: str) -> None:
        """It does after a restart, which is asked about like any other: the ranges keep their quorum. Only a node that
        says that it writes in an older form is restarted: one that has just been is not heard for a moment."""
        while (now := await self._writes(name)) is None or MODES.index(now) < MODES.index(mode):
            node = self.members[name]
            self.progress(f"{name} is started anew to write in form {mode}")
            asked = any(each.member == name and each.kind == "restart" for each in self.operations)
            if now is not None and node.ready and not asked:
                key = f"{why}/{mode}/{node.task}/{time.time() // AGAIN_S:.0f}"
                reason = f"it is to write as Cassandra {self.version} does ({mode})"
                await self.propose("restart", node, reason=reason, key=key)
            await asyncio.sleep(LOOK_S)

    async def _writes(self, name: str) -> Mode | None:
        """As it says itself. None: it is not heard now."""
        node = self.members[name]
        if not (node.ready and node.back):
            return None
        try:
            return await self.ask(lambda ring: _said_by(ring, node.address))
        except Exception as error:  # It is just ending, or has just come: it is asked again.
            self.log.info("in which form %s writes: %s", name, error)
            return None


def _said_by(ring: "Ring", address: str) -> Mode:
    """What raises gets a new session: one of before its restart may not hear it for minutes."""
    said = next((each.mode for each in ring.node_states() if each.address == address), "")
    for mode in MODES:
        if mode == said:
            return mode
    raise NotNow(f"{address} is not heard", where=address)

"""How a running Cassandra is changed: its settings, while it runs where it can."""

import asyncio
from collections.abc import Iterable

from upcall.catalog.cassandra import config, jmx
from upcall.catalog.cassandra.nodes import Nodes, last_line
from upcall.catalog.known import own
from upcall.protocol.errors import Invalid
from upcall.service import How, Member, OptionChange, live, never
from upcall.service.context import Context

SET_LIVE = "live"
"""Names of settings that were changed while nodes ran."""
LOOK_S = 1.0

NEVER = {
    "client_auth": "who may log in is set up when a ring is made; install another one beside it",
    "settings.num_tokens": "a node keeps the tokens that it has data for; install another one beside it",
}
"""Options that are not changed, and why."""


class Changing(Nodes):
    """What differs between two revisions reaches the nodes."""

    def __init__(self, context: Context | None = None) -> None:
        super().__init__(context)
        self._set_live: list[str] = []

    async def on_start(self) -> None:
        await super().on_start()
        self._set_live = await self.state.get(SET_LIVE, [])

    def how(self, change: OptionChange) -> How:
        if change.name in NEVER:
            return never(NEVER[change.name])
        return (
            live
            if change.option == "settings" and jmx.takes(self.version, change.key, change.wanted)
            else super().how(change)
        )

    async def apply_live(self, changes: tuple[OptionChange, ...]) -> None:
        """At one node first: what it refuses, no other is given. One that just starts has read its file already, so
        it is waited for; who is down reads the new one."""
        names = [change.key for change in changes]
        self._set_live = await self.state.update(SET_LIVE, lambda known: sorted({*known, *names}), [])
        while any(_starts(node) for node in self.members.of("node")):  # noqa: ASYNC110 - members are a snapshot
            await asyncio.sleep(LOOK_S)
        nodes = [node for node in self.members.of("node") if node.ready]
        if nodes:
            await self._set(nodes[0], names)
            await asyncio.gather(*(self._set(node, names) for node in nodes[1:]))

    async def set_again(self, node: Member) -> None:
        """It may have read its file right before a setting was changed while nodes run."""
        if self._set_live and not node.behind:
            await self._set(node, self._set_live)

    async def _set(self, node: Member, names: Iterable[str]) -> None:
        """What stands in the node's file of this revision; it is read back."""
        wanted = {**config.written(self.node(node)), **own(self.options)}
        given = jmx.lines(self.version, names, wanted)
        done = await node.run(config.own_tool("SetLive"), input=given, codes=(0, config.TOOL_REFUSED))
        if done.code:
            raise Invalid(last_line(done), where=f"{node.name} settings")


def _starts(node: Member) -> bool:
    """It does for the first time since it was well: one that ends again and again is waited for by nobody."""
    return node.state in ("pending", "running") and not node.ended_times

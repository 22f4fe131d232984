"""How a running Cassandra is changed: its settings, while it runs where it can."""

from collections.abc import Iterable

from upcall.catalog.cassandra import config, jmx
from upcall.catalog.cassandra.nodes import Nodes, last_line
from upcall.catalog.known import own
from upcall.protocol.errors import Invalid
from upcall.service import How, Member, OptionChange, live, never
from upcall.service.context import Context

SET_LIVE = "live"
"""Names of settings that were changed while nodes ran."""

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

    async def apply_live_at(self, node: Member, changes: tuple[OptionChange, ...]) -> None:
        """It holds while the node runs; at its next start it reads its file."""
        names = [change.key for change in changes]
        if not {*names} <= {*self._set_live}:
            self._set_live = await self.state.update(SET_LIVE, lambda known: sorted({*known, *names}), [])
        await self._set(node, names)

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

"""What a turn changed: all that the rules which run after it may act on.

A rule (an ended uninstall leaves nothing behind; an emptied node is removed; a launch that waits for a name goes on
when the name is known) follows from the state as a whole, but it can only come to hold when something that it speaks of
changes. So each turn collects what it touched, and its rules look at that alone: a heartbeat, which touches nothing,
costs nothing, however much is on record.

Nothing is remembered from one turn to the next, so nothing can become stale: the first turn after a start, or after a
failed commit, counts everything on record as changed, and the rules see the whole state once.
"""

import msgspec


class Changed(msgspec.Struct):
    operations: dict[str, None] = {}
    """Operations whose record was written, in that order."""
    nodes: dict[str, None] = {}
    """Nodes that were observed anew."""
    names: dict[str, None] = {}
    """What launches may wait on (a service's places, ports and endpoints; secrets) and is known better."""
    schedules: dict[str, None] = {}
    """Services of which something else may be due: their options or windows are others, a run is over, their code is
    there."""
    assignments: bool = False
    """Services were installed or removed, or a package came: hosts have something else to run."""

    guests: bool = False
    """A workload of somebody else's was heard of, or is another one."""

    def __bool__(self) -> bool:
        return bool(self.operations or self.nodes or self.names or self.schedules or self.assignments or self.guests)

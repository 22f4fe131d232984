"""What is there for a service whose code hangs: it says so, in the expert's own file and line, and calls none of it.

To the master it is the service's code like any other, and one that does not start: so a person reads why, is told the
ways out, and whatever changes it, or takes it away, does not wait for an answer that cannot come.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict

from upcall.protocol.service import Operation
from upcall.service.consent import Verdict
from upcall.service.hanging import Hangs
from upcall.service.member import Member
from upcall.service.options import ServiceOptions
from upcall.service.service import Service
from upcall.service.steps import Phase


class StandIn(Service):
    """Knows nothing of the service: no members, no members' tasks. It is never deployed, for it never starts."""

    class Options(ServiceOptions):
        """Whatever they are."""

        model_config = ConfigDict(extra="allow", frozen=True)

    words: str = ""
    seen: Mapping[str, Any] | None = None
    """The options under which its code hangs."""
    others: bool = False
    """A person has given it others since, which may be what mends it."""
    restart: str = ""
    """The operation by which a person has asked since for one of its members to be restarted."""
    earlier: frozenset[str] | None = None
    """Operations that were there before."""

    def pods(self) -> list[Any]:
        return []

    def deploy(self) -> list[Phase]:
        raise Hangs(self.words)  # What it wants nobody can say: nothing is compared with it.

    async def may_restart(self, member: Member, why: Operation) -> Verdict:
        by_hand = why.klass == "voluntary" and not why.parent and why.revision is None
        if by_hand and why.id not in (self.earlier or ()):
            self.restart = why.id
        return await super().may_restart(member, why)

    async def on_start(self) -> None:
        if self.earlier is None:
            self.earlier = frozenset(operation.id for operation in self.operations)
        options = dict(self._context.options)
        self.seen = options if self.seen is None else self.seen
        self.others = self.others or options != self.seen
        raise Hangs(self.words)


def stand_in(package: str, words: str, options: Mapping[str, Any] | None) -> type[StandIn]:
    """For one that hangs, in these words, under these options; None: under those that it has."""
    own = {"package": package, "words": words, "seen": options, "__module__": __name__}
    return type("StandIn", (StandIn,), own)

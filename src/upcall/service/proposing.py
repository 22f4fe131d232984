"""The operations that an update's steps are: proposed, looked after, and proposed again.

A step that restarts a member, or removes one, is an operation of its own below the update, which its service is asked
about like about any other. Its key is the same each time, so it is one wish however often it is said.
"""

from collections.abc import Callable, Collection
from typing import Final

from upcall.protocol import service as wire
from upcall.protocol.errors import NotNow, UpcallError
from upcall.service.link import Fenced, Link
from upcall.service.service import Service
from upcall.service.stranger import BEGUN

ASK_AGAIN_S: Final = 5.0
"""Before a step is proposed again whose operation ended without doing what was wished."""


class Proposing:
    """Of one update."""

    def __init__(
        self,
        service: Service,
        link: Link,
        now: Callable[[], float],
        operation: Callable[[], wire.Operation | None],
        leaving: Callable[[str], str],
    ) -> None:
        """``operation``: the update's. ``leaving``: how far the removal of this id is."""
        self._service = service
        self._link = link
        self._now = now
        self._operation = operation
        self._leaving = leaving
        self._proposed: dict[str, tuple[str, float]] = {}
        """Member whose turn it is -> its step's operation, and when it was proposed."""
        self._gone: dict[str, float] = {}
        """Removal that is over -> when that was seen: how it ended is told a moment later."""
        self.refused: dict[str, str] = {}
        """Member -> why its step was."""

    def begins(self) -> None:
        """Another update."""
        self._proposed, self._gone, self.refused = {}, {}, {}

    def turns(self, members: Collection[str]) -> None:
        """Whose turn it is."""
        self._proposed = {member: known for member, known in self._proposed.items() if member in members}

    @property
    def looks_s(self) -> list[float]:
        """When what has ended is to be proposed again."""
        over = {known: at_s for known, at_s in self._proposed.values() if not self._lives(known)}
        return [max(at_s, self._gone.get(known, at_s)) + ASK_AGAIN_S for known, at_s in over.items()]

    def hear(self, told: wire.Told) -> None:
        """A step that was declined, or failed, is refused: asking again would give the same."""
        operation = told.operation
        ours = (parent := self._operation()) is not None and operation.parent == parent.id
        refused = ("declined", "failed", "withdrawn") if operation.kind == "scale_in" else ("declined", "failed")
        if ours and operation.member and told.what in refused:
            said = self._service._context.declined.get(operation.id, "") or told.text
            words = f"the {operation.kind} of {operation.member} was {told.what}".replace("was failed", "failed")
            self.refused[operation.member] = f"{words}: {said}" if said else words

    def asked(self) -> dict[str, str]:
        """How the operations of its steps stand."""
        found, parent = {}, self._operation()
        for operation in self._service.operations:
            if parent is not None and operation.parent == parent.id and operation.member:
                said = f"answered: {operation.answer}" if operation.answer else "is asked"
                begun = operation.state in BEGUN
                how = self._leaving(operation.id) or "is under way"
                found[operation.member] = f"{operation.id}: {how if begun else said}"
        return found

    async def propose(self, kind: str, member: str, reason: str, key: str, parent: wire.Operation) -> None:
        """Again when its operation ended without doing what was wished: the same key is the same wish."""
        known, at_s = self._proposed.get(member, ("", 0.0))
        if known and (self._lives(known) or self._now() < at_s + ASK_AGAIN_S):
            return
        if known and kind == "scale_in" and self._now() < self._gone.setdefault(known, self._now()) + ASK_AGAIN_S:
            return
        proposal = wire.Propose(key=key, kind=kind, member=member, reason=reason, parent=parent.id)
        try:
            self._proposed[member] = (await self._link.propose(proposal), self._now())
        except (Fenced, NotNow):
            raise
        except UpcallError as error:
            # Something else has the member at the moment: it is asked for again.
            self._proposed[member] = (known or "refused", self._now())
            self._service.log.info("%s of %s: %s", kind, member, error)

    def _lives(self, operation: str) -> bool:
        return any(each.id == operation for each in self._service.operations)

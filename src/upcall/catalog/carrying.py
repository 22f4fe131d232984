"""What a member has the memory for: options that it could not carry are refused before it is started with them."""

from typing import Any

from upcall.catalog.known import own
from upcall.protocol.errors import Invalid
from upcall.service import Service


class Carries(Service):
    """A service whose options, settings of its system among them, may ask for more memory than a member has."""

    @property
    def cores(self) -> float:
        """Of the largest node: as many a member may use."""
        return max((node.cpus for node in self.nodes), default=1.0)

    def cannot_carry(self, options: Any) -> str:
        """What of these a member has no memory for, and what would be needed; empty: it has."""
        raise NotImplementedError

    def refuse_what_it_cannot_carry(self) -> None:
        """Of members that run an update is declined, and what they have been given before stays.

        :raises Invalid: before the first start of any, with what would be needed.
        """
        never_started = not any(member.starts for member in self._context.members.values())
        if own(self.options) and never_started and (too_much := self.cannot_carry(self.options)):
            raise Invalid(too_much, where="settings")

"""Roles: which member is the primary, the leader.

A role moves from member to member as the service's own code says; the pods stay as they are, and nobody restarts. Who
has it is kept by the master, so a host that starts anew knows it before ``on_start``; an endpoint with this ``role``
leads to that member alone (:class:`upcall.service.endpoints.Endpoint`), and to nobody while nobody has it.
"""

from collections.abc import Callable
from typing import Final

from upcall.service.state import State

KEY: Final = "roles"


class Roles:
    """Of one service."""

    def __init__(self, memory: State, moved: Callable[[], None] = lambda: None) -> None:
        self._memory = memory
        self._moved = moved
        """Called after a role went to another member: what is declared of endpoints has changed."""
        self._holders: dict[str, str] = {}

    async def load(self) -> None:
        self._holders = await self._memory.get(KEY, {})

    def holder(self, role: str) -> str:
        """Name of the member that has it; empty: nobody."""
        return self._holders.get(role, "")

    async def give(self, role: str, member: str) -> None:
        """It is written down before it is told. Nothing is done where the member has it already."""
        if self.holder(role) != member:
            self._holders = await self._memory.update(KEY, lambda known: {**known, role: member}, {})
            self._moved()

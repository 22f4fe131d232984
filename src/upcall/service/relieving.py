"""Disks that fill: the service slows what it may, and lets it go on when there is room again.

A limit that the file system does not hold is none that a restart would restore, so the system only tells. What helps,
its own service knows: slower writers, an earlier clean-up. It is told who fills, as a whole set, whenever that changed
and once for each start of its host: what the host before had slowed goes on again although it died meanwhile.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from upcall.protocol import service as wire
from upcall.protocol.service import Degraded
from upcall.service.member import Member
from upcall.service.repeating import until_done
from upcall.service.service import Service, overridden

Filling = frozenset[tuple[str, str, bool]]
"""Member, volume, whether it holds more than its size."""


def filling_disks(members: Iterable[Member], doing: str) -> list[Degraded]:
    """What ``health`` says of the volumes that are nearly full, as they were measured: with all that lies there beside
    the data. ``doing``: what makes room."""
    return [
        Degraded(f"{member.name}: {one}", doing=doing, member=member.name, key=f"disk {member.name} {one.volume}")
        for member in members
        for one in member.filling
    ]


class Relieving:
    """``relieve`` of one service."""

    def __init__(self, service: Service, spawn: Callable[[Coroutine[Any, Any, object], str], object]) -> None:
        self._service = service
        self._spawn = spawn
        self._relieved: Filling | None = None
        """None: not yet, since this host's start."""
        self._now: Filling = frozenset()
        self._at_it = False

    def look(self, members: Mapping[str, wire.Member]) -> None:
        if not overridden(self._service, "relieve"):
            return
        self._now = frozenset(
            (member.name, one.volume, one.over) for member in members.values() for one in member.filling
        )
        if self._now != self._relieved and not self._at_it:
            self._at_it = True
            self._spawn(self._relieve(), "relieve")

    async def _relieve(self) -> None:
        """What changes meanwhile is next."""
        try:
            while (now := self._now) != self._relieved:

                async def relieve() -> None:
                    await self._service.relieve(tuple(one for one in self._service.members.values() if one.filling))

                done = await until_done(self._service, "relieve", relieve, lambda now=now: self._now == now)  # type: ignore[misc]
                if done:
                    self._relieved = now
        finally:
            self._at_it = False

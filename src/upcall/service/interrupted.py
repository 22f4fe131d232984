"""What breaks an action off without being its end, and for how long it is waited for.

Agents, hosts, members and the master are killed, and come back. An action that ``goes_on`` finds out by itself how far
it came. So whatever it fails with while one of them is away says nothing of what was asked: it is called again once
that is over, and says meanwhile what it waits for. Its expert's code knows nothing of it.

It is bounded twice: in time, from when it last got further; and in how often it gets further and is broken off again.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, repeat
from typing import Final

from upcall.protocol import service as wire
from upcall.protocol.errors import NotNow
from upcall.service.link import Fenced

AGAIN_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Before what could not be done now is tried again; the last one stays."""
AWAY_S: Final = 600.0
"""For so long an action that goes on waits for what is away. An agent or a member is back in seconds, on a busy machine
in minutes; what takes longer is for a person to look at, who asks for it again."""
INTERRUPTIONS_MAX: Final = 20
"""So often its time begins anew: what is broken off more often breaks by itself."""
STEADY_S: Final = 60.0
"""After so long without an interruption the next one is tried again as soon as the first."""
HEARD_S: Final = 10.0
"""What is asked of a member breaks in the moment in which that dies; that it is dead is heard a moment later, on a busy
machine seconds later."""
LOOK_S: Final = 0.5

CONNECTIONS: Final = (NotNow, Fenced, ConnectionError)
"""It could not be asked; what it would have said nobody knows."""


class Patience:
    """For how long one action is tried again."""

    def __init__(self, patience_s: float, now_s: float, *, goes_on: bool, begun: bool) -> None:
        """``patience_s``: of who asked. ``begun``: by a host before this one."""
        self._goes_on = goes_on
        self._until_s = now_s + max(patience_s, AWAY_S if goes_on and begun else 0.0)
        self._pauses_s = _pauses()
        self._told: tuple[str, float | None] | None = None
        self._times = 0
        self._broken_at_s = now_s
        self._moved = False
        """It got further in this attempt."""

    def heard(self, text: str, share: float | None) -> None:
        """How far it is."""
        if self._told != (text, share):
            self._told, self._moved = (text, share), True

    def pause_s(self, now_s: float) -> float | None:
        """It was broken off: how long to wait before the next attempt. None: it is not tried any more."""
        if now_s - self._broken_at_s > STEADY_S:
            self._pauses_s = _pauses()
        if self._goes_on and self._moved and self._times < INTERRUPTIONS_MAX:
            self._times += 1
            self._until_s = max(self._until_s, now_s + AWAY_S)
        self._broken_at_s, self._moved = now_s, False
        left_s = self._until_s - now_s
        return min(next(self._pauses_s), left_s) if left_s > 0 else None


class Present:
    """Which members were there, and which of them are not any more, or are others."""

    def __init__(self, members: Callable[[], Mapping[str, wire.Member]]) -> None:
        self._members = members
        self._were = set(self._back())
        self._are: dict[str, int] = {}

    def begin(self) -> None:
        """An attempt begins."""
        self._are = self._back()

    def gone(self) -> list[str]:
        """Who was back when the action began and is not; and whoever was started anew in this attempt."""
        now = self._back()
        return sorted((self._were - now.keys()) | {name for name, was in self._are.items() if now.get(name) != was})

    async def gone_soon(self) -> list[str]:
        """The same, as soon as it is heard."""
        for _ in range(int(HEARD_S / LOOK_S)):
            if gone := self.gone():
                return gone
            await asyncio.sleep(LOOK_S)
        return self.gone()

    def _back(self) -> dict[str, int]:
        return {name: one.incarnation for name, one in self._members().items() if one.state == "ready" and one.back}


def _pauses() -> Iterator[float]:
    return chain(AGAIN_S, repeat(AGAIN_S[-1]))

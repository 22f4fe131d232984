"""Which member a node of the ring is. The ring says IP addresses; a member's address may be a name, behind which
another one stands after each restart (Kubernetes).

Nothing that is counted by member may be compared with what the ring says before it has gone through here: a range
whose copies nobody recognises would cost nothing.
"""

import ipaddress
import socket
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Final

AGAIN_S: Final = 1.0
"""An address that nobody has is one of a node that was replaced, or that has just come back: names are asked again."""

Resolve = Callable[[str], Collection[str]]


def resolved(name: str) -> set[str]:
    """What stands behind a name; nothing, while its node is away."""
    with suppress(OSError):
        return {str(one[4][0]) for one in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
    return set()


def is_address(text: str) -> bool:
    with suppress(ValueError):
        return bool(ipaddress.ip_address(text))
    return False


class Known:
    def __init__(
        self, members: Sequence[str], resolve: Resolve = resolved, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``members``: the addresses of all of them, also of those that are away."""
        self._names = [one for one in members if not is_address(one)]
        self._resolve, self._clock = resolve, clock
        self._found: dict[str, str] = {}
        self._looked_s = -AGAIN_S

    def member(self, address: object) -> str:
        """The address of the member that has this one; itself, where none does."""
        text = str(address)
        if self._names and text not in self._found and self._clock() - self._looked_s >= AGAIN_S:
            self._looked_s = self._clock()
            self._found = {ip: name for name in self._names for ip in self._resolve(name)}
        return self._found.get(text, text)

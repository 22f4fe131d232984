"""The addresses of members: one loopback network for each cluster, one address for each reservation.

The next address after the last one given is tried first, so a freed one comes back as late as possible: systems that
gossip remember addresses longer than their members live. Who takes its volumes back has its own again, for what is
written in them may name it (the voters of a quorum): as long as they are kept, nobody else is given it while there is
another.
"""

from collections.abc import Set
from typing import Final

FIRST: Final = 10
"""Below are the cluster's own: master, page, nodes."""
LAST: Final = 254


class Addresses:
    def __init__(self, network: str) -> None:
        """``network``: the first three numbers, ``127.23.45``."""
        parts = network.split(".")
        if len(parts) != 3 or not all(part.isdigit() and int(part) < 256 for part in parts):
            raise ValueError(f"{network} is not a network; expected its first three numbers, like 127.23.45")
        self.network = network
        self._taken: dict[str, str] = {}
        self.cursor = FIRST

    def room(self) -> int:
        return LAST - FIRST + 1 - len(self._taken)

    def take(self, member_id: str, *, own: str = "", kept: Set[str] = frozenset()) -> str:
        """``own``: the one that it had with the volumes that it takes back; ``kept``: those of others' volumes."""
        if own and own not in self._taken:
            self._taken[own] = member_id
            return own
        free = (each for each in map(self._address, range(LAST - FIRST + 1)) if each[1] not in self._taken)
        first = next(free, None)
        assert first is not None, "room() was not asked"
        number, address = first if first[1] not in kept else next((each for each in free if each[1] not in kept), first)
        self.cursor = FIRST if number == LAST else number + 1
        self._taken[address] = member_id
        return address

    def _address(self, step: int) -> tuple[int, str]:
        number = FIRST + (self.cursor - FIRST + step) % (LAST - FIRST + 1)
        return number, f"{self.network}.{number}"

    def claim(self, address: str, member_id: str) -> None:
        """What is on record."""
        assert address not in self._taken, f"{address} belongs to {self._taken[address]}, not to {member_id}"
        self._taken[address] = member_id

    def free(self, address: str) -> None:
        del self._taken[address]

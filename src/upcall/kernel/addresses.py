"""The addresses of members: one loopback network for each cluster, one address for each reservation.

The next address after the last one given is tried first, so a freed one comes back as late as possible: systems that
gossip remember addresses longer than their members live.
"""

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

    def take(self, member_id: str) -> str:
        for step in range(LAST - FIRST + 1):
            number = FIRST + (self.cursor - FIRST + step) % (LAST - FIRST + 1)
            address = f"{self.network}.{number}"
            if address not in self._taken:
                self.cursor = FIRST if number == LAST else number + 1
                self._taken[address] = member_id
                return address
        raise AssertionError("room() was not asked")

    def claim(self, address: str, member_id: str) -> None:
        """What is on record."""
        assert address not in self._taken, f"{address} belongs to {self._taken[address]}, not to {member_id}"
        self._taken[address] = member_id

    def free(self, address: str) -> None:
        del self._taken[address]

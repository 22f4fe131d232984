"""Who holds what, on which node.

One entry for each holder; per node only sums are kept, and each change moves the sums by what it
changes. Invariants, asserted at every change: nobody gets more than is free, no port or device is held twice, and a
holder has one entry. A node that registers anew with less than what is held on it keeps its holders (they run), its
free amount is negative, and nothing more is placed there.
"""

from dataclasses import dataclass

from upcall.kernel.resources import NOTHING, Resources


@dataclass(frozen=True)
class Hold:
    node: str
    amount: Resources


class Accounts:
    def __init__(self) -> None:
        self._totals: dict[str, Resources] = {}
        self._held: dict[str, Resources] = {}
        self._free: dict[str, Resources] = {}
        self._holds: dict[str, Hold] = {}

    def set_total(self, node: str, total: Resources) -> None:
        self._totals[node] = total
        self._held.setdefault(node, NOTHING)
        self._free[node] = total - self._held[node]

    def drop_node(self, node: str) -> None:
        assert self._held[node] == NOTHING, f"{node} still holds {self._held[node]}"
        del self._totals[node], self._held[node], self._free[node]

    def hold(self, holder: str, node: str, amount: Resources, *, fact: bool = False) -> None:
        """``fact``: it is there already (on record, on the disk), even where the node has shrunk since."""
        assert holder not in self._holds, f"{holder} already holds {self._holds[holder]}"
        assert fact or amount.fits(self._free[node]), f"{holder} wants {amount}; {node} has {self._free[node]}"
        assert not amount.overlaps(self._held[node]), f"{holder} wants what is held on {node}"
        self._holds[holder] = Hold(node, amount)
        self._move(node, self._held[node] + amount)

    def give_back(self, holder: str) -> Hold:
        hold = self._holds.pop(holder)
        self._move(hold.node, self._held[hold.node] - hold.amount)
        return hold

    def _move(self, node: str, held: Resources) -> None:
        self._held[node] = held
        self._free[node] = self._totals[node] - held

    def holds(self, holder: str) -> Hold | None:
        return self._holds.get(holder)

    def total(self, node: str) -> Resources:
        return self._totals[node]

    def free(self, node: str) -> Resources:
        return self._free[node]

    def held(self, node: str) -> Resources:
        return self._held[node]

    def check(self) -> None:
        """Sums everything anew. For tests: it costs what exists."""
        for node, total in self._totals.items():
            held = NOTHING
            for hold in self._holds.values():
                if hold.node == node:
                    assert not hold.amount.overlaps(held), f"{node}: {hold.amount} is held twice"
                    held = held + hold.amount
            assert held == self._held[node], f"{node}: {held} is not {self._held[node]}"
            assert total - held == self._free[node], f"{node}: {self._free[node]} is not {total - held}"

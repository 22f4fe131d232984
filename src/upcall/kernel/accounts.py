"""Who holds what, on which node, for which role.

One entry for each holder; per node and per role only sums are kept, and each change moves the sums by what it
changes. Invariants, asserted at every change: nobody gets more than is free, no port or device is held twice, and a
holder has one entry. A node that registers anew with less than what is held on it keeps its holders (they run), its
free amount is negative, and nothing more is placed there.
"""

from dataclasses import dataclass

from upcall.kernel.resources import NOTHING, Resources


@dataclass(frozen=True)
class Hold:
    node: str
    role: str
    amount: Resources


class Accounts:
    def __init__(self) -> None:
        self._totals: dict[str, Resources] = {}
        self._held: dict[str, Resources] = {}
        self._free: dict[str, Resources] = {}
        self._roles: dict[str, Resources] = {}
        self._holds: dict[str, Hold] = {}
        self.quotas: dict[str, Resources] = {}

    def set_total(self, node: str, total: Resources) -> None:
        self._totals[node] = total
        self._held.setdefault(node, NOTHING)
        self._free[node] = total - self._held[node]

    def drop_node(self, node: str) -> None:
        assert self._held[node] == NOTHING, f"{node} still holds {self._held[node]}"
        del self._totals[node], self._held[node], self._free[node]

    def hold(self, holder: str, node: str, role: str, amount: Resources, *, fact: bool = False) -> None:
        """``fact``: it is there already (on record, on the disk), even where the node has shrunk since."""
        assert holder not in self._holds, f"{holder} already holds {self._holds[holder]}"
        assert fact or amount.fits(self._free[node]), f"{holder} wants {amount}; {node} has {self._free[node]}"
        assert not amount.overlaps(self._held[node]), f"{holder} wants what is held on {node}"
        self._holds[holder] = Hold(node, role, amount)
        self._roles[role] = self._roles.get(role, NOTHING) + amount
        self._move(node, self._held[node] + amount)

    def give_back(self, holder: str) -> Hold:
        hold = self._holds.pop(holder)
        self._roles[hold.role] = self._roles[hold.role] - hold.amount
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

    def role(self, role: str) -> Resources:
        return self._roles.get(role, NOTHING)

    def over_quota(self, role: str, more: Resources) -> str:
        """Why ``role`` may not hold ``more``; empty if it may. What a quota does not name is not limited."""
        quota = self.quotas.get(role)
        if quota is None:
            return ""
        for name, limit in quota.scalars.items():
            held, wanted = self.role(role).scalar(name), more.scalar(name)
            if wanted > 0 and held + wanted > limit:
                said = Resources({name: wanted}).say(name)
                left = Resources({name: max(0, limit - held)}).say(name) if limit > held else f"no {name}"
                return f"role {role} has a quota of {quota.say(name)}: {said} wanted, {left} left"
        return ""

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
        for role, held in self._roles.items():
            amounts = [hold.amount for hold in self._holds.values() if hold.role == role]
            assert sum(amounts, NOTHING) == held, f"role {role} holds {amounts}, not {held}"

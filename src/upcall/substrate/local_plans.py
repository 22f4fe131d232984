"""Plans that did not fit: they wait whole, for a plan is placed at once or not at all.

A service asks for places once and launches its members one by one; were each launch to look for a place of its own,
a plan that does not fit would be placed in part, and hold what a smaller plan could use. So a refused plan is kept, and
tried again when there is more room; a launch of one of its members waits for it. A newer plan about any of its members
takes its place.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from upcall.kernel.records import Need

TRIED_MAX: Final = 16
"""Plans tried again in one call; the others have their turn in the next, at once."""


@dataclass(frozen=True)
class Plan:
    service: str
    needs: Mapping[str, Need]
    places: Mapping[str, int]
    same_node: bool = False
    """Next places are wanted on the nodes of the present ones."""
    reason: str = ""
    """Why it did not fit when it was tried last."""
    takes: int = 0
    """Next places are wanted where volumes of this number are, and with them."""


class WaitingPlans:
    def __init__(self) -> None:
        self._plans: dict[int, Plan] = {}
        self._of: dict[str, int] = {}
        self._next = 0
        self._turns = 0
        """How many have not been tried since there was more room: they stand in front."""

    def put(self, plan: Plan) -> None:
        """At the end of the queue, in place of those that it overlaps."""
        self.drop(plan.service, plan.needs)
        self._next += 1
        self._plans[self._next] = plan
        self._of |= {f"{plan.service}.{member}": self._next for member in plan.needs}

    def drop(self, service: str, members: Mapping[str, object]) -> None:
        for number in {self._of[key] for member in members if (key := f"{service}.{member}") in self._of}:
            plan = self._plans.pop(number)
            for member in plan.needs:
                del self._of[f"{service}.{member}"]

    def without(self, member_id: str) -> None:
        """The member is not wanted any more; the others are."""
        number = self._of.get(member_id)
        if number is not None:
            plan = self._plans[number]
            member = member_id.removeprefix(f"{plan.service}.")
            needs = {other: need for other, need in plan.needs.items() if other != member}
            del self._of[member_id]
            if needs:
                self._plans[number] = replace(plan, needs=needs)
            else:
                del self._plans[number]

    def reason(self, member_id: str) -> str:
        """Why the member has no place yet; empty if no plan is about it."""
        number = self._of.get(member_id)
        return self._plans[number].reason if number is not None else ""

    def more_room(self) -> None:
        self._turns = len(self._plans)

    def turns(self) -> Iterator[Plan]:
        """Those whose turn it is, a bounded number. One that is refused again goes to the end (:meth:`put`)."""
        for _ in range(TRIED_MAX):
            if not self.backlog:
                return
            self._turns -= 1
            yield next(iter(self._plans.values()))

    def due(self) -> Iterator[Plan]:
        """A first turn for a bounded number of all, for who has no event of more room."""
        self.more_room()
        yield from self.turns()

    @property
    def backlog(self) -> bool:
        return self._turns > 0 and bool(self._plans)

"""A whole plan placed at once, or not at all.

Members that must be together are one *group* and get one node. A group may go where its attributes match, where no
other member with its ``apart`` word is, and where all that it needs is free. Groups are placed largest first, each
on the best-fitting node; where that leads nowhere the search goes back and tries the next node. For a plan of up to
:data:`EXACT_GROUPS_MAX` groups this is exact until :data:`STEPS_MAX` nodes were tried (nodes that are alike are tried
once); a larger plan gets one descent. Same input, same answer: there is no chance in it.

Two wishes are kept as long as they can be: ``spread`` (a member goes to a zone that has the fewest of its kind) and
``avoid`` (a replaced member gets another node than before). If no arrangement keeps both, the search is repeated
without one, then without the other, for a service that runs unevenly is better than one that does not run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from upcall.kernel.pool import MEMORY, Pool, View
from upcall.kernel.records import Need
from upcall.kernel.resources import NOTHING, Resources

K = TypeVar("K")

EXACT_GROUPS_MAX: Final = 12
STEPS_MAX: Final = 20_000
"""Some tens of milliseconds; a plan that needs more is told so."""


@dataclass(frozen=True)
class Request:
    """One member of the plan."""

    member: str
    need: Need
    amount: Resources
    """All that is to be free for it: volumes that it has already are not in it."""
    pinned: str = ""
    """The only node that will do: its volumes, or the member that it is together with, are there."""
    avoid: frozenset[str] = frozenset()


@dataclass
class Occupancy:
    """Where a service's members are, by their ``apart`` word."""

    nodes: dict[str, dict[str, int]] = field(default_factory=dict)
    """Word -> node -> how many."""
    values: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    """(Word, attribute) -> its value -> how many."""

    def add(self, need: Need, node: str, attributes: Mapping[str, str], count: int = 1) -> None:
        if need.apart:
            _count(self.nodes, need.apart, node, count)
        if need.spread:
            _count(self.values, (need.apart, need.spread), attributes.get(need.spread, ""), count)


def _count(index: dict[K, dict[str, int]], key: K, value: str, count: int) -> None:
    counts = index.setdefault(key, {})
    counts[value] = counts.get(value, 0) + count
    assert counts[value] >= 0, f"{key}: {value} is counted below zero"
    if not counts[value]:
        del counts[value]
    if not counts:
        del index[key]


@dataclass(frozen=True)
class Group:
    """Requests that get one node."""

    requests: tuple[Request, ...]
    amount: Resources
    attributes: Mapping[str, str]
    apart: Mapping[str, int]
    """Word -> how many with it may be on one node."""
    spread: tuple[tuple[str, str], ...]
    pinned: str
    avoid: frozenset[str]


class Contradiction(Exception):
    """A plan that fits no cluster of any size."""


def groups(requests: Sequence[Request]) -> list[Group]:
    """The plan's groups, largest first."""
    leader = {request.member: request.member for request in requests}

    def find(member: str) -> str:
        while leader[member] != member:
            member = leader[member]
        return member

    for request in requests:
        if request.need.together in leader:
            leader[find(request.member)] = find(request.need.together)
    members: dict[str, list[Request]] = {}
    for request in sorted(requests, key=lambda request: request.member):
        members.setdefault(find(request.member), []).append(request)
    return sorted((_group(tuple(group)) for group in members.values()), key=_largest_first)


def _group(requests: tuple[Request, ...]) -> Group:
    words = [request.need.apart for request in requests if request.need.apart]
    for word in words:
        if words.count(word) > _per_node(requests, word):
            names = ", ".join(request.member for request in requests if request.need.apart == word)
            raise Contradiction(f"{names} are to be together and, by the word {word!r}, apart")
    attributes: dict[str, str] = {}
    for request in requests:
        for name, value in request.need.attributes.items():
            if attributes.setdefault(name, value) != value:
                raise Contradiction(
                    f"{request.member} wants {name}={value}, one that it is together with wants another"
                )
    pins = {request.pinned for request in requests if request.pinned}
    if len(pins) > 1:
        raise Contradiction(f"{requests[0].member} is to be on {' and on '.join(sorted(pins))}")
    return Group(
        requests=requests,
        amount=sum((request.amount for request in requests), NOTHING),
        attributes=attributes,
        apart={word: _per_node(requests, word) for word in words},
        spread=tuple(sorted({(r.need.apart, r.need.spread) for r in requests if r.need.spread})),
        pinned=min(pins, default=""),
        avoid=frozenset(node for request in requests for node in request.avoid),
    )


def _per_node(requests: Sequence[Request], word: str) -> int:
    return min(request.need.per_node for request in requests if request.need.apart == word)


def _largest_first(group: Group) -> tuple[bool, int, int, int, str]:
    """What has the least choice comes first: then a descent rarely has to come back."""
    scalar = group.amount.scalar
    return (not group.pinned, -scalar(MEMORY), -scalar("cpus"), -scalar("disk_mib"), group.requests[0].member)


class Search:
    """One search for one plan. ``nodes`` says which nodes differ from the pool: what moves away gives room back."""

    def __init__(self, pool: Pool, occupied: Occupancy, given_back: Mapping[str, Resources]) -> None:
        self._pool = pool
        self._occupied = occupied
        self._free: dict[str, Resources] = {}
        for node, amount in given_back.items():
            view = pool.get(node)
            if view is not None:
                self._free[node] = view.free + amount
        self._chosen: list[tuple[Group, View]] = []
        self._steps = 0
        self._spread_evenly = True
        self._avoid = True
        self._named: frozenset[str] = frozenset()
        """Nodes that some group of the plan treats unlike others."""
        self.exhausted = False
        """The search ended because of its bound, not because all was tried."""

    def run(self, plan: Sequence[Group]) -> dict[str, str] | None:
        """Member -> node."""
        evenly = (True, False) if any(group.spread for group in plan) else (True,)
        self._named = frozenset(name for group in plan for name in group.avoid)
        avoid = (True, False) if any(group.avoid for group in plan) else (True,)
        for self._avoid in avoid:
            for self._spread_evenly in evenly:
                self._steps = 0
                if self._place(plan, 0):
                    found = {request.member: view.name for group, view in self._chosen for request in group.requests}
                    for group, view in reversed(self._chosen):
                        self._occupy(group, view, -1)
                    return found
        return None

    def _place(self, plan: Sequence[Group], index: int) -> bool:
        if index == len(plan):
            return True
        group = plan[index]
        tried: set[object] = set()
        for view in self._candidates(group):
            self._steps += 1
            if self._steps > STEPS_MAX:
                self.exhausted = True
                return False
            alike = self._likeness(view)
            if alike in tried or not self.allows(group, view) or not group.amount.fits(self.free(view)):
                continue
            if self._spread_evenly and not all(self._is_least(group, view, *spread) for spread in group.spread):
                continue
            tried.add(alike)
            before = self._free.get(view.name)
            self._choose(group, view, 1)
            if self._place(plan, index + 1):
                return True
            self._choose(group, view, -1)
            if before is None:
                del self._free[view.name]
            else:
                self._free[view.name] = before
            if len(plan) > EXACT_GROUPS_MAX:
                self.exhausted = True
                return False
        return False

    def _choose(self, group: Group, view: View, count: int) -> None:
        if count > 0:
            self._free[view.name] = self.free(view) - group.amount
            self._chosen.append((group, view))
        else:
            self._chosen.pop()
        self._occupy(group, view, count)

    def _occupy(self, group: Group, view: View, count: int) -> None:
        for request in group.requests:
            self._occupied.add(request.need, view.name, view.attributes, count)

    def _candidates(self, group: Group) -> Iterator[View]:
        if group.pinned:
            view = self._pool.get(group.pinned)
            return iter((view,) if view else ())
        if not group.spread:
            return self._emptiest_of_its_kind(group, next(iter(group.attributes.items()), ("", "")))
        word, attribute = group.spread[0]
        if not self._pool.has(attribute):  # without zones each node is one
            views = self._emptiest_of_its_kind(group, next(iter(group.attributes.items()), ("", "")))
            return iter(sorted(views, key=lambda view: self._alike(word, view)))
        counts = self._occupied.values.get((word, attribute), {})
        by_count = sorted(self._pool.values(attribute), key=lambda value: (counts.get(value, 0), value))
        return (view for value in by_count for view in self._emptiest_of_its_kind(group, (attribute, value)))

    def _emptiest_of_its_kind(self, group: Group, shelf: tuple[str, str]) -> Iterator[View]:
        """Where several of a kind may be on one node they are spread all the same: as few as can be go with it."""
        views = self._fullest_first(group, shelf)
        if all(most == 1 for most in group.apart.values()):
            return views
        return iter(sorted(views, key=lambda view: sum(self._alike(word, view) for word in group.apart)))

    def _alike(self, word: str, view: View) -> int:
        return self._occupied.nodes.get(word, {}).get(view.name, 0)

    def _fullest_first(self, group: Group, shelf: tuple[str, str]) -> Iterator[View]:
        """Nodes that this plan uses come first (they are the fuller for it), then the pool in its order."""
        for name in sorted(self._free, key=lambda name: (self._free[name].scalar(MEMORY), name)):
            view = self._pool.get(name)
            if view is not None and (not shelf[0] or view.attributes.get(shelf[0]) == shelf[1]):
                yield view
        for view in self._pool.ascending(group.amount.scalar(MEMORY), shelf):
            if view.name not in self._free:
                yield view

    def allows(self, group: Group, view: View) -> bool:
        """All but the resources."""
        return (
            (not group.pinned or view.name == group.pinned)
            and all(view.attributes.get(name) == value for name, value in group.attributes.items())
            and not self.lacks(group, view)
            and all(self._alike(word, view) < most for word, most in group.apart.items())
            and not (self._avoid and view.name in group.avoid)
        )

    def lacks(self, group: Group, view: View) -> str:
        """The attribute over which it is spread and which this node has not. Where no node has it there is nothing to
        spread over but nodes, and it is no reason to refuse one."""
        for _, attribute in group.spread:
            if attribute not in view.attributes and self._pool.has(attribute):
                return attribute
        return ""

    def _is_least(self, group: Group, view: View, word: str, attribute: str) -> bool:
        """No other zone that the group could go to has fewer of its kind."""
        if attribute not in view.attributes:
            return True
        counts = self._occupied.values.get((word, attribute), {})
        mine = counts.get(view.attributes[attribute], 0)
        return not any(
            counts.get(value, 0) < mine
            and any(self.allows(group, other) for other in self._pool.ascending(-1 << 62, (attribute, value)))
            for value in self._pool.values(attribute)
        )

    def room(self, group: Group, view: View) -> int:
        """How many like it may still be on this node, whatever is free there."""
        return min((most - self._alike(word, view) for word, most in group.apart.items()), default=1 << 30)

    def free(self, view: View) -> Resources:
        return self._free.get(view.name, view.free)

    def _likeness(self, view: View) -> object:
        """Nodes with the same likeness are interchangeable for what is still to be placed."""
        if view.name in self._free or view.name in self._named:
            return view.name
        free = view.free
        counts = ((word, nodes.get(view.name, 0)) for word, nodes in self._occupied.nodes.items())
        words = tuple(sorted((word, count) for word, count in counts if count))
        amounts = (tuple(free.scalars.items()), tuple(free.ranges.items()), tuple(free.sets.items()))
        return (amounts, tuple(sorted(view.attributes.items())), words)

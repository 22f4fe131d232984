"""Why a plan does not fit, and what would.

The sentence names what is wanted, what each node has of what is short, and the largest plan of the same shape that
would fit. It is made only when a plan was refused, so it may look at every node; it never lists more than
:data:`NODES_LISTED_MAX` of them.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from upcall.kernel.placement import Group, Search
from upcall.kernel.pool import View
from upcall.kernel.resources import Resources, say

NODES_LISTED_MAX: Final = 8


def explain(plan: Sequence[Group], search: Search, views: Sequence[View], unusable: Mapping[str, str]) -> str:
    """``views`` are the usable nodes; ``unusable`` says of each other node why it is not one."""
    if not views and not unusable:
        return f"needs {_wanted(plan[:1])}: no node has registered"
    for alike in _alike(plan):
        if _capacity(alike[0], search, views, len(alike)) < len(alike):
            return _short(alike, search, views, unusable)
    listed = _listed([f"{view.name} has {search.free(view)} free" for view in views] + _reasons(unusable))
    tried = f"; no arrangement was found within the bound of the search for {len(plan)} groups"
    return f"needs {_wanted(plan)} altogether: {listed}" + (tried if search.exhausted else "")


def _alike(plan: Sequence[Group]) -> list[list[Group]]:
    """Groups of the same shape together: "needs 3 nodes with 2 GiB"."""
    shapes: dict[str, list[Group]] = {}
    for group in plan:
        shapes.setdefault(f"{group.amount} {group.attributes} {sorted(group.apart)} {group.pinned}", []).append(group)
    return list(shapes.values())


def _wanted(alike: Sequence[Group]) -> str:
    amount = alike[0].amount
    if len(alike) > 1 and any(group.amount != amount for group in alike):
        total = sum((group.amount for group in alike), Resources())
        return f"{total} for {len(alike)} members"
    return f"{amount} for {' and '.join(request.member for group in alike for request in group.requests)}"


def _capacity(group: Group, search: Search, views: Sequence[View], enough: int) -> int:
    """How many groups like this one fit, alone, into what is free; counted up to ``enough``."""
    fitting = 0
    for view in views:
        if not search.allows(group, view):
            continue
        free = search.free(view)
        most = search.room(group, view)
        while group.amount.fits(free) and fitting < enough and most > 0:
            fitting, most = fitting + 1, most - 1
            free = free - group.amount
    return fitting


def _short(alike: Sequence[Group], search: Search, views: Sequence[View], unusable: Mapping[str, str]) -> str:
    group, count = alike[0], len(alike)
    if group.pinned:
        views = [view for view in views if view.name == group.pinned]
        unusable = {name: reason for name, reason in unusable.items() if name == group.pinned}
    allowed = [view for view in views if search.allows(group, view)]
    short = sorted({name for view in allowed for name in group.amount.lacking(search.free(view))})
    what = ", ".join(group.amount.say(name) for name in short) or str(group.amount)
    where = ", ".join(f"{name}={value}" for name, value in group.attributes.items())
    names = [request.member for each in alike for request in each.requests]
    alone = group.apart and max(group.apart.values()) == 1
    needs = f"needs {_nodes(count) if alone else 'a node' if count == 1 else 'nodes'} with {what} free"
    needs += f" and {where}" if where else ""
    needs += f" for {_listed(names)}" + _apart_words(group, count)
    says: list[str] = []
    for view in views:
        if not search.allows(group, view):
            says.append(f"{view.name} {_forbids(group, view, search)}")
            continue
        free = search.free(view)
        lacking = list(group.amount.lacking(free)) or short
        if not lacking and group.apart:
            says.append(f"{view.name} would do")
        else:
            says.append(f"{view.name} has {_free(free, lacking or list(group.amount.scalars))} free")
    fitting = _capacity(group, search, views, count)
    would = [f"{fitting} of {count}"] if fitting else []
    scalars = [name for name in short if group.amount.scalar(name)]
    if len(scalars) == 1 and len(short) == 1:
        each = _largest_each(group, count, [search.free(view).scalar(scalars[0]) for view in allowed])
        would += [f"{count} with {say(scalars[0], each)} each" if count > 1 else say(scalars[0], each)] if each else []
    fits = f"; would fit: {' or '.join(would)}" if would else ""
    return f"{needs}: {_listed(says + _reasons(unusable)) or 'there is no node'}{fits}"


def _apart_words(group: Group, count: int) -> str:
    if not group.apart or count == 1:
        return ""
    most = min(group.apart.values())
    return " (each on another node)" if most == 1 else f" (at most {most} on a node)"


def _largest_each(group: Group, count: int, free: Sequence[int]) -> int:
    """The most of one scalar that each of ``count`` members could have; only ever less than is wanted."""
    if group.apart:
        each = sorted(free, reverse=True)[count - 1] if len(free) >= count else 0
    else:
        low, high = 0, max(free, default=0)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if sum(max(0, n) // middle for n in free) >= count else (low, middle - 1)
        each = low
    return max(0, each)


def _forbids(group: Group, view: View, search: Search) -> str:
    if group.pinned and view.name != group.pinned:
        return f"is not {group.pinned}"
    for name, value in group.attributes.items():
        if view.attributes.get(name) != value:
            return f"has {name}={view.attributes[name]}" if name in view.attributes else f"has no {name}"
    if attribute := search.lacks(group, view):
        return f"has no {attribute}"
    most = min(group.apart.values(), default=1)
    return "already has one" if most == 1 else f"already has {most}"


def _free(free: Resources, names: Sequence[str]) -> str:
    """A node that shrank below what is held on it has nothing free, not less than nothing."""
    some = {name for name in free.names() if free.scalars.get(name, 1) > 0}
    return " and ".join(free.say(name) if name in some else f"no {name.removesuffix('_mib')}" for name in names)


def _nodes(count: int) -> str:
    return "a node" if count == 1 else f"{count} nodes"


def _reasons(unusable: Mapping[str, str]) -> list[str]:
    return [f"{name} {reason}" for name, reason in sorted(unusable.items())]


def _listed(says: Sequence[str]) -> str:
    more = len(says) - NODES_LISTED_MAX
    return ", ".join(says[:NODES_LISTED_MAX]) + (f" and {more} more" if more > 0 else "")

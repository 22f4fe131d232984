"""Which numbers the members of a pod have, and so who leaves when it shrinks.

A pod says how many; the numbers need not be dense. Who is there stays, who comes takes the lowest free numbers, and of
those that are too many the service chooses who leaves (:meth:`upcall.service.Service.who_leaves`). What a change chose
is written down with it, so nobody is exchanged for another in the middle of it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from upcall.protocol.errors import Invalid
from upcall.protocol.service import Member as Seen
from upcall.service.blame import method_at
from upcall.service.member import Member
from upcall.service.pod import Pod

if TYPE_CHECKING:
    from upcall.service.service import Service

LEAVES: Final = "scale_in"


def numbered(service: "Service", pods: Iterable[Pod]) -> list[Pod]:
    """The pods, each with the numbers of its members where these are not the first ones."""
    return [_numbered(service, pod) if pod.names is None else pod for pod in pods]


def _numbered(service: "Service", pod: Pod) -> Pod:
    context = service._context
    chosen = _of(pod, context.chosen)
    if len(chosen) == pod.count and chosen:
        return _with(pod, chosen)
    there = _of(pod, context.members)
    many = len(there) - pod.count
    if many > 0:
        return _with(pod, sorted({*there} - _leave(service, pod, there, many)))
    free = (number for number in range(pod.count + len(there)) if number not in there)
    return _with(pod, sorted([*there, *(next(free) for _ in range(-many))]))


def _with(pod: Pod, numbers: Sequence[int]) -> Pod:
    return replace(pod, numbers=None if [*numbers] == [*range(pod.count)] else tuple(numbers))


def _of(pod: Pod, names: Iterable[str]) -> list[int]:
    """The numbers of its members among these names."""
    form = re.compile(rf"{re.escape(pod.name)}-(0|[1-9][0-9]*)")
    return sorted(int(found[1]) for name in names if (found := form.fullmatch(name)))


def _leave(service: "Service", pod: Pod, there: list[int], many: int) -> set[int]:
    """The numbers of those that leave: first who never came or leaves already, then whom the service chooses."""
    context = service._context
    leaving = {operation.member for operation in context.operations if operation.kind == LEAVES}
    nowhere: list[Member] = []
    here: list[Member] = []
    for index, number in enumerate(there):
        name = f"{pod.name}-{number}"
        member = Member(name, pod.name, index, context.members.get(name, Seen(name=name)))
        (nowhere if not member.seen.starts or name in leaving else here).append(member)
    nowhere.sort(key=lambda member: (member.name in leaving, _number(member)), reverse=True)
    gone = nowhere[:many]
    if more := many - len(gone):
        asked = tuple(here)
        with context.only(replace(pod, count=len(there), numbers=tuple(there))):
            said = service.who_leaves(asked, more)
        names = [str(each) for each in said]
        if len({*names}) != more or not {*names} <= {member.name for member in asked}:
            raise Invalid(
                f"{method_at(type(service), 'who_leaves')} returned {', '.join(names) or 'nobody'}",
                where=service.package,
                expected=f"{more} of {', '.join(member.name for member in asked)}",
            )
        gone += [member for member in asked if member.name in names]
    return {_number(member) for member in gone}


def _number(member: Member) -> int:
    return int(member.name.rpartition("-")[2])


def from_the_fullest(members: Iterable[Member], count: int, *, by: Sequence[str] = ("zone", "node")) -> list[Member]:
    """So many of these, each from the zone that has most of them, in it from the node that has most, of those the
    highest number: who is left is spread over as many zones and nodes as can be. ``by``: which of both counts first."""
    left, gone = list(members), []
    for _ in range(min(count, len(left))):
        many = {place: Counter(getattr(member, place) for member in left) for place in by}
        gone.append(max(left, key=lambda each: (*(many[place][getattr(each, place)] for place in by), _number(each))))
        left.remove(gone[-1])
    return gone

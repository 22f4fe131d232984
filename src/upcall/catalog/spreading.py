"""Whether the copies of a ring still survive the loss of a rack once some members have left. Pure.

Copies are put into as many racks as there are, and what is left of them into those again: with fewer racks than copies
one rack has several, and all of them go with it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from upcall.service import Member, from_the_fullest

NAMED_MAX: Final = 3


def racks(members: Iterable[Member], *, per_node: int) -> Counter[str]:
    """Members in each rack: nodes are the racks where several members share one, else zones."""
    return Counter(member.node if per_node > 1 else member.zone for member in members)


def from_the_fullest_rack(members: Iterable[Member], count: int, *, per_node: int) -> list[Member]:
    """So many that may leave, so that the others are in as many racks, as evenly, as can be."""
    return from_the_fullest(members, count, by=("node", "zone") if per_node > 1 else ("zone", "node"))


def in_one_rack(copies: int, racks: Counter[str]) -> int:
    """How many of so many copies one rack has at most."""
    if copies <= len(racks):
        return 1
    return min(copies - len(racks) + 1, max(racks.values(), default=0))


def objection(copies: Mapping[str, int], before: Counter[str], after: Counter[str]) -> str:
    """What would not survive a rack's loss any more (a majority of its copies stays), with the numbers and what would
    help; empty: all that survived it before does."""

    def lives(number: int, racks: Counter[str]) -> bool:
        return in_one_rack(number, racks) <= (number - 1) // 2

    worse = {name: number for name, number in copies.items() if lives(number, before) and not lives(number, after)}
    if not worse:
        return ""
    said = ", ".join(f"{number} of {name}" for name, number in sorted(worse.items())[:NAMED_MAX])
    more = f" and {len(worse) - NAMED_MAX} more" if len(worse) > NAMED_MAX else ""
    most = max(in_one_rack(number, after) for number in worse.values())
    return (
        f"{after.total()} would be left in {_in_words(after)}, now {before.total()} are in {_in_words(before)}: of the "
        f"copies ({said}{more}) one rack would have {most}, and its loss would take a majority. Keep one in each of "
        f"{max(worse.values())} racks: fewer that leave, or others"
    )


def _in_words(racks: Counter[str]) -> str:
    named = ", ".join(f"{name or 'no rack'} {count}" for name, count in sorted(racks.items()))
    return f"{len(racks)} rack{'s' * (len(racks) != 1)} ({named})"

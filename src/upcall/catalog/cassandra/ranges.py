"""What a node's absence costs the ranges of the ring. Pure.

The rule is Cassandra's own: a read or write at QUORUM needs a majority of a range's replicas; to log in, one copy of
the role is enough. So a node may stop when every range that has a replica on it keeps enough live replicas without it;
several at once (those of a rack, of which each range has one), when every range does without all of them.

What is short of replicas already loses nothing by one more stop, and says nothing against it. What has too few copies
even when all others are up (one copy, or two) will never spare a node: no waiting helps there, only another copy.
"""

from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import Final

TRIAL: Final = "upcall_trial_"
"""How the name of the keyspace begins in which a backup is tried; the mark of the trial follows. Nobody's data."""
ROLES: Final = "system_auth"
"""Where roles and passwords are kept."""
COPIES_THAT_SPARE_ONE: Final = 3
"""The fewest replicas of which a majority is left without one."""


@dataclass(frozen=True, slots=True)
class Range:
    """One range of the ring in one keyspace, with the addresses of its replicas."""

    keyspace: str
    replicas: tuple[str, ...]

    @property
    def needed(self) -> int:
        """Live replicas that requests want."""
        return 1 if self.keyspace == ROLES else len(self.replicas) // 2 + 1

    def ever_spares(self, without: Set[str]) -> bool:
        return sum(replica not in without for replica in self.replicas) >= self.needed


@dataclass(frozen=True)
class Cost:
    """Keyspace -> how many of its ranges would lose their last majority."""

    for_now: Counter[str] = field(default_factory=Counter)
    """Others are away; they come back."""
    always: Counter[str] = field(default_factory=Counter)
    """There are too few copies of it."""


def at_risk(ranges: Iterable[Range], up: Set[str], without: Set[str]) -> Cost:
    """Of the stop of all of these at the same time."""
    cost = Cost()
    for each in ranges:
        if without.isdisjoint(each.replicas):
            continue
        alive = sum(replica in up for replica in each.replicas)
        left = sum(replica in up and replica not in without for replica in each.replicas)
        if alive < each.needed or left >= each.needed:
            continue
        (cost.for_now if each.ever_spares(without) else cost.always)[each.keyspace] += 1
    return cost


def short_of_quorum(ranges: Iterable[Range], up: Set[str], lost: str) -> Counter[str]:
    """Keyspace -> how many ranges of the lost node have no majority now: what was written last may be there alone."""
    return Counter(
        each.keyspace
        for each in ranges
        if lost in each.replicas and sum(replica in up and replica != lost for replica in each.replicas) < each.needed
    )


def missing_without(ranges: Iterable[Range], up: Set[str], lost: str) -> str:
    """What the ring would lose with a node's volume, in words; empty: nothing."""
    short = short_of_quorum(ranges, up, lost)
    return f"token ranges have no majority without it: {words(short)}" if short else ""


def words(ranges: Counter[str]) -> str:
    """``12 of fast, 4 of logs``"""
    return ", ".join(f"{count} of {keyspace}" for keyspace, count in sorted(ranges.items())[:3])

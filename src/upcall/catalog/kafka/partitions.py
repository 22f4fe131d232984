"""What a broker's absence costs the partitions of the cluster. Pure.

The rule is Kafka's own: a producer with ``acks=all`` is served while a partition has ``min.insync.replicas`` members
in sync (documentation, "Replication"), and a partition is read while one is. So a broker may stop when every partition
that it is in sync in keeps that many without it; several at once, when every partition does without all of them.

A broker that is not in sync costs nothing, and what is below its minimum already loses no write by one more stop. What
has too few replicas even when all are in sync will never spare a broker: no waiting helps there, only another replica.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

SHOWN_MAX = 3


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition as the cluster describes it. Replicas are node ids."""

    topic: str
    number: int
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.topic}-{self.number}"


@dataclass(frozen=True)
class Cost:
    """The partitions that would not be written, or not be read, without these brokers."""

    for_now: list[Partition] = field(default_factory=list)
    """Other replicas are behind; they catch up."""
    always: list[Partition] = field(default_factory=list)
    """There are too few replicas."""
    wanted: dict[str, int] = field(default_factory=dict)
    """Topic of these -> replicas that would spare them."""


def cost_of_stopping(partitions: Iterable[Partition], minimum_of: Callable[[str], int], without: Set[int]) -> Cost:
    """Of all of these at the same time."""
    cost = Cost()
    for each in partitions:
        gone = sum(broker in without for broker in each.in_sync)
        if not gone:
            continue
        least, left = minimum_of(each.topic), len(each.in_sync) - gone
        is_below = len(each.in_sync) < least
        if left >= (min(1, least) if is_below else least):
            continue
        never_above = len(each.replicas) < least
        spare = sum(broker not in without for broker in each.replicas)
        if spare >= (1 if never_above else max(1, least)):
            cost.for_now.append(each)
        else:
            cost.always.append(each)
            cost.wanted[each.topic] = max(1, least) + gone
    return cost


def only_there(partitions: Iterable[Partition], alive: Set[int], lost: int) -> list[Partition]:
    """What nobody who is alive could give back: every other replica is behind, or away."""
    return [each for each in partitions if lost in each.replicas and not alive & (set(each.in_sync) - {lost})]


def missing_without(
    lost: int, partitions: Iterable[Partition], voting: Set[int], alive: Set[int], ready: Set[int]
) -> str:
    """What the cluster would lose with a broker's volume, in words; empty: nothing. ``alive``: who votes now if it
    has a vote; ``ready``: who serves."""
    if len(voting & alive - {lost}) <= len(voting) // 2:
        return f"a majority of the controllers is away without it ({len(voting)} vote)"
    only = only_there(partitions, ready - {lost}, lost)
    return f"{counted(only)} would be gone: nobody else is in sync ({named(only)})" if only else ""


def out_of_sync(partitions: Iterable[Partition]) -> list[Partition]:
    return [each for each in partitions if len(each.in_sync) < len(each.replicas)]


def with_more_copies(
    partitions: Sequence[Partition], brokers: Iterable[int], copies: int
) -> dict[Partition, list[int]]:
    """The replicas of each partition that has fewer: those that it has, and then the brokers that have the fewest."""
    held = Counter(dict.fromkeys(brokers, 0))
    held.update(node for each in partitions for node in each.replicas if node in held)
    wanted: dict[Partition, list[int]] = {}
    for each in partitions:
        if len(each.replicas) >= copies:
            continue
        others = sorted((node for node in held if node not in each.replicas), key=lambda node: (held[node], node))
        added = others[: copies - len(each.replicas)]
        held.update(added)
        wanted[each] = [*each.replicas, *added]
    return wanted


def reassignment(wanted: Mapping[Partition, Sequence[int]]) -> dict[str, object]:
    """As Kafka's own tool reads it."""
    rows = [{"topic": each.topic, "partition": each.number, "replicas": list(to)} for each, to in wanted.items()]
    return {"version": 1, "partitions": rows}


def named(partitions: Sequence[Partition]) -> str:
    """``orders-0, orders-1, orders-2 ...``"""
    return ", ".join(str(each) for each in partitions[:SHOWN_MAX]) + (" ..." if len(partitions) > SHOWN_MAX else "")


def counted(partitions: Sequence[Partition]) -> str:
    return "1 partition" if len(partitions) == 1 else f"{len(partitions)} partitions"

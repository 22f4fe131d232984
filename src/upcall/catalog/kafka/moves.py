"""Which replicas move where, when brokers come and leave. Pure.

A replica takes the place of another in the list of its partition, so the order stays: the first one leads where it may.
Brokers hold as many replicas as their neighbours, give or take one, and a partition never gets into fewer zones.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Final

from upcall.catalog.kafka.partitions import Partition

NAMED_MAX: Final = 3

Targets = dict[Partition, list[int]]
"""Of each partition that moves: who is to have its replicas."""
Zones = Mapping[int, str]
Sizes = Mapping[int, Mapping[str, int]]
"""Broker -> partition -> bytes that lie there."""


def away(partitions: Iterable[Partition], leaving: Set[int], staying: Iterable[int], zones: Zones) -> Targets:
    """Everything from those that leave to those that stay, each time to the one that has the fewest."""
    found = list(partitions)
    held = _held(found, staying)
    wanted: Targets = {}
    for each in found:
        if leaving.isdisjoint(each.replicas):
            continue
        now = list(each.replicas)
        for place, broker in enumerate(each.replicas):
            if broker not in leaving:
                continue
            used = {zones.get(other) for other in now if other not in leaving}
            free = [other for other in held if other not in now]
            if free:
                now[place] = min(free, key=lambda other: (zones.get(other) in used, held[other], other))
                held[now[place]] += 1
        wanted[each] = now
    return wanted


def evened(partitions: Iterable[Partition], brokers: Iterable[int], zones: Zones) -> Targets:
    """From those that have the most to those that have the fewest, until they differ by no more than one."""
    found = list(partitions)
    now = {each: list(each.replicas) for each in found}
    held = _held(found, brokers)
    leads = Counter(replicas[0] for replicas in now.values())
    while move := _next(now, held, leads, zones):
        each, place, to = move
        held[now[each][place]] -= 1
        held[to] += 1
        if place == 0:
            leads[now[each][0]] -= 1
            leads[to] += 1
        now[each][place] = to
    return {each: to for each, to in now.items() if to != list(each.replicas)}


def _next(now: Targets, held: Counter[int], leads: Counter[int], zones: Zones) -> tuple[Partition, int, int] | None:
    """The next replica that moves: its partition, its place in the list, and where to."""
    for least in sorted(held, key=lambda broker: (held[broker], broker)):
        for most in sorted(held, key=lambda broker: (-held[broker], broker)):
            if held[most] - held[least] < 2:
                break
            fit = [
                (each, replicas.index(most))
                for each, replicas in now.items()
                if most in replicas and least not in replicas and _spares(replicas, most, least, zones)
            ]
            if fit:
                lead = leads[most] > leads[least]
                each, place = min(fit, key=lambda one: (bool(one[1]) == lead, str(one[0])))
                return each, place, least
    return None


def _spares(replicas: Sequence[int], most: int, least: int, zones: Zones) -> bool:
    """Whether the partition is in as many zones as before."""
    after = [least if broker == most else broker for broker in replicas]
    return len({zones.get(broker) for broker in after}) >= len({zones.get(broker) for broker in replicas})


def _held(partitions: Iterable[Partition], brokers: Iterable[int]) -> Counter[int]:
    held = Counter(dict.fromkeys(brokers, 0))
    held.update(broker for each in partitions for broker in each.replicas if broker in held)
    return held


def in_fewer_zones(wanted: Targets, zones: Zones) -> list[tuple[Partition, int, int]]:
    """Partitions whose replicas would be in fewer zones than they are, the first few of them: with how many now, and
    then."""
    counted = ((each, len({zones.get(one) for one in each.replicas}), to) for each, to in wanted.items())
    found = [(each, before, len({zones.get(one) for one in to})) for each, before, to in counted]
    return [each for each in found if each[2] < each[1]][:NAMED_MAX]


def too_many_replicas(partitions: Iterable[Partition], brokers: int) -> dict[str, int]:
    """Topic -> its replicas, where there are more than brokers."""
    return {each.topic: len(each.replicas) for each in partitions if len(each.replicas) > brokers}


def bytes_of(each: Partition, sizes: Sizes) -> int:
    """Of one replica, as the fullest has it."""
    return max((there.get(str(each), 0) for there in sizes.values()), default=0)


def without_room(wanted: Targets, sizes: Sizes, limit: int) -> dict[int, int]:
    """Broker -> bytes that it would hold then, where that is more than it may."""
    after = {broker: sum(there.values()) for broker, there in sizes.items()}
    gets: Counter[int] = Counter()
    for each, replicas in wanted.items():
        gets.update({broker: bytes_of(each, sizes) for broker in set(replicas) - set(each.replicas)})
    return {broker: after.get(broker, 0) + more for broker, more in gets.items() if after.get(broker, 0) + more > limit}


def parsed_sizes(output: str) -> dict[int, dict[str, int]]:
    """What Kafka's own tool says of brokers' log folders."""
    said = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
    return {
        each["broker"]: {one["partition"]: one["size"] for folder in each["logDirs"] for one in folder["partitions"]}
        for each in said["brokers"]
    }

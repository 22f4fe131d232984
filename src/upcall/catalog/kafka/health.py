"""What is wrong with a cluster whose brokers all answer, in words. Pure.

By what it costs: what is not served at all, what is not written, what one more loss would cost, and what is only late.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Final, NamedTuple

from upcall.catalog.kafka.partitions import Partition, counted, named
from upcall.service import Degraded, Member, filling_disks

STANDS_STILL_S: Final = 120.0
"""One that starts may have much to read before it is let in."""
NOBODY: Final = -1
"""Who leads a partition that nobody serves."""


class Served(NamedTuple):
    """The cluster as it describes itself to a client."""

    leads: Mapping[Partition, int]
    brokers: Set[int]
    """Those that the controllers let in."""
    minimums: Mapping[str, int]
    """``min.insync.replicas`` of the topics that have replicas behind."""


def of_partitions(served: Served, ready: Set[int]) -> list[Degraded]:
    """Each partition stands in one line alone, that of the worst that is true of it."""
    leads, total = served.leads, len(served.leads)
    offline = [each for each, leader in leads.items() if leader == NOBODY]
    behind = [each for each in leads if len(each.in_sync) < len(each.replicas) and each not in offline]
    unwritten = [each for each in behind if len(each.in_sync) < served.minimums.get(each.topic, 1)]
    late = [each for each in behind if each not in unwritten]
    found = []
    if offline:
        what = f"{counted(offline)} of {total} {_are(offline)} offline, neither read nor written ({named(offline)})"
        found.append(Degraded(what, doing=_whom(offline, served.brokers, ready), key="offline"))
    if unwritten:
        what = f"{counted(unwritten)} of {total} cannot be written with acks=all, below min.insync.replicas"
        found.append(
            Degraded(f"{what} ({named(unwritten)})", doing=_whom(unwritten, served.brokers, ready), key="under-min-isr")
        )
    if late:
        what = f"{counted(late)} of {total} {_have(late)} fewer replicas in sync than wanted ({named(late)})"
        found.append(Degraded(what, doing=_whom(late, served.brokers, ready), key="under-replicated"))
    return found


def _are(partitions: Sequence[Partition]) -> str:
    return "is" if len(partitions) == 1 else "are"


def _have(partitions: Sequence[Partition]) -> str:
    return "has" if len(partitions) == 1 else "have"


def _whom(partitions: Sequence[Partition], let_in: Set[int], ready: Set[int]) -> str:
    """Who is missing there, and what that one does."""
    missing = {broker for each in partitions for broker in set(each.replicas) - set(each.in_sync)}
    said = []
    for who, one, several in (
        (missing & ready & let_in, "catches up", "catch up"),
        (missing & ready - let_in, "does not keep up its session", "do not keep up their sessions"),
        (missing - ready, "is away", "are away"),
    ):
        if who:
            names = ", ".join(f"broker-{broker - 1}" for broker in sorted(who))
            said.append(f"{names} {one if len(who) == 1 else several}")
    return "; ".join(said)


def of_brokers(members: Iterable[Member], let_in: Set[int]) -> list[Degraded]:
    """Who answers, and the controllers keep out."""
    return [
        Degraded(
            f"{member.name} answers, and the controllers keep it out (fenced)",
            doing="it is let in once it sends heartbeats and has read what they agreed on, or is restarted",
            restart_after_s=STANDS_STILL_S,
            member=member.name,
            key=f"fenced {member.name}",
        )
        for member in members
        if member.ready and member.back and int(member.name.rpartition("-")[2]) + 1 not in let_in
    ]


def of_quorum(voting: Set[int], alive: Set[int]) -> list[Degraded]:
    away = sorted(voting - alive)
    if not away:
        return []
    names = ", ".join(f"broker-{each - 1}" for each in away)
    majority, left = len(voting) // 2 + 1, len(voting) - len(away)
    spare = left - majority
    costs = f"nothing can be decided: a majority is {majority}" if spare < 0 else f"{spare or 'none'} more may be away"
    what = f"{len(away)} of {len(voting)} controllers that vote {'is' if len(away) == 1 else 'are'} away ({names})"
    # Who is away is part of what it is: that another one is, is so since another time.
    return [Degraded(what, doing=costs, key=f"voters {names}")]


def of_silent(heard: Set[int]) -> list[Degraded]:
    """Brokers that we cannot ask, because nothing is heard of their nodes, and that Kafka hears all the same."""
    return [
        Degraded(
            f"broker-{each - 1} cannot be asked, its node is silent; it serves and votes, as the controllers say",
            doing="its node is waited for; nothing is missing as long as the broker runs on",
            member=f"broker-{each - 1}",
            key=f"silent broker-{each - 1}",
        )
        for each in sorted(heard)
    ]


def of_lag(lags: Mapping[int, int]) -> list[Degraded]:
    """Voters that run and have not read what was agreed on; node id -> how long ago they had read all, in seconds."""
    return [
        Degraded(
            f"broker-{each - 1} votes, and is {lag} s behind what the controllers agreed on",
            doing="it reads on; if it stays behind, its machine or its disk is too slow",
            member=f"broker-{each - 1}",
            key=f"lag broker-{each - 1}",
        )
        for each, lag in sorted(lags.items())
    ]


def of_disks(members: Iterable[Member], slowed_mib_s: float | None) -> list[Degraded]:
    slow = f"producers are slowed to {slowed_mib_s:g} MiB/s at each broker; " if slowed_mib_s is not None else ""
    room = "`upcall update` with a larger disk_mib, a shorter retention or `delete-topic` makes room"
    return filling_disks(members, f"{slow}{room}")

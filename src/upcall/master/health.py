"""What a service's own code says is wrong with it, and since when.

The code tells what differs from what it told before, as a whole set. Since when each thing is so is kept here, by its
key, in the record: hosts come and go. A thing that begins is one event, and so is its end; that its numbers changed is
none. What cannot be seen is one more thing that is wrong, and takes nothing back of what was.
"""

from typing import Final

from upcall.master import records as r
from upcall.master.core import Core
from upcall.master.services import find
from upcall.master.state import Service
from upcall.master.transaction import Transaction
from upcall.protocol import service as wire
from upcall.protocol.errors import TooLarge

UNSEEN: Final = "unseen"
"""Key of what is told where nothing can be seen."""


def seen(tx: Transaction, name: str, told: wire.Health) -> None:
    service = find(tx.core, name)
    _check(told)
    known = {one.key: one for one in service.health.degraded} if service.health else {}
    # What may still pass by itself is nothing yet; what was told before stays, though a new host only begins to look.
    stands = {one.key: one for one in told.degraded if one.key in known or not one.passes_within_s}
    now = [_since(tx, known, one) for one in stands.values()]
    if told.unseen:
        cannot = wire.Degraded(f"how it is cannot be seen: {told.unseen}", key=UNSEEN)
        now = [_since(tx, known, cannot), *(one for key, one in known.items() if key != UNSEEN)]
    kept = {one.key for one in now}
    for one in now:
        if one.key not in known:
            tx.event("health", name, f"degraded: {words(one)}", service=name, key=one.key, member=one.member)
    for key, one in known.items():
        if key not in kept:
            tx.event("health", name, f"over: {one.what}", service=name, key=key, member=one.member)
    record = r.HealthRecord(service=name, version=service.record.version, degraded=tuple(now))
    if record != service.health:
        service.health = record
        tx.put(r.HEALTH, name, record)


def _since(tx: Transaction, known: dict[str, r.DegradedRecord], one: wire.Degraded) -> r.DegradedRecord:
    since = known[one.key].since if one.key in known else tx.wall_s
    return r.DegradedRecord(key=one.key, what=one.what, doing=one.doing, member=one.member, since=since)


def _check(told: wire.Health) -> None:
    if len(told.degraded) > wire.DEGRADED_MAX:
        many = f"{len(told.degraded)} things that are wrong"
        raise TooLarge(many, where="degraded", expected=f"at most {wire.DEGRADED_MAX}")
    longest = max((len(text) for one in told.degraded for text in (one.what, one.doing, one.key)), default=0)
    if max(longest, len(told.unseen)) > wire.DEGRADED_CHARS_MAX:
        raise TooLarge("a sentence is too long", where="degraded", expected=f"{wire.DEGRADED_CHARS_MAX} characters")


def of(core: Core, service: Service) -> tuple[r.DegradedRecord, ...]:
    """What is wrong with it now, as far as anybody looks."""
    return _wrong(service) if core.desired(service.record.name) == "running" else ()


def brief(service: Service) -> str:
    """The worst, in words, and how many more."""
    wrong = _wrong(service)
    more = f"; and {len(wrong) - 1} more: `upcall why {service.record.name}`" if len(wrong) > 1 else ""
    return words(wrong[0]) + more if wrong else ""


def _wrong(service: Service) -> tuple[r.DegradedRecord, ...]:
    seen_by = service.health
    return seen_by.degraded if seen_by is not None and seen_by.version == service.record.version else ()


def words(one: r.DegradedRecord) -> str:
    """``12 of 48 partitions have fewer replicas in sync than wanted; broker-2 catches up``."""
    return f"{one.what}; {one.doing}" if one.doing else one.what

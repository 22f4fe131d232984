"""The history of a service: its revisions on record, the newest of them, until it is uninstalled."""

from collections.abc import Mapping
from typing import Any, Final

from upcall.master import records as r
from upcall.master.open_turn import OpenTurn
from upcall.master.state import Service

KEPT: Final = 100
"""Of one service, the newest; the one that stands stays in any case."""


NEVER_STOOD: Final = ("declined", "withdrawn")
"""Outcomes of what was asked for and never wanted of the service."""


def stands(service: Service) -> r.RevisionRecord:
    """The revision that the service is at."""
    record = service.record
    known = service.revisions.get(record.revision)
    return known or r.RevisionRecord(
        service=record.name,
        number=record.revision,
        package=record.package,
        version=record.version,
        options=record.options,
        derived=record.derived,
        bindings=record.bindings,
        secrets=record.secrets,
        at=record.created_at,
        asked_by=record.asked_by,
        outcome="done",
    )


def wants(revision: r.RevisionRecord) -> tuple[Any, ...]:
    """All that makes one revision another than the next."""
    return revision.package, revision.version, revision.options, revision.bindings, sorted(revision.secrets)


def put(tx: OpenTurn, service: Service, revision: r.RevisionRecord) -> None:
    service.revisions[revision.number] = revision
    tx.put(r.REVISION, _key(service, revision.number), revision)
    for number in sorted(service.revisions)[:-KEPT]:
        if number != service.record.revision:
            del service.revisions[number]
            tx.delete(r.REVISION, _key(service, number))


def begin(tx: OpenTurn, service: Service) -> None:
    """What a service was installed with is its first revision, and stands."""
    put(tx, service, stands(service))


def forget(tx: OpenTurn, service: Service) -> None:
    """It was uninstalled."""
    for number in service.revisions:
        tx.delete(r.REVISION, _key(service, number))
    service.revisions.clear()


def _key(service: Service, number: int) -> str:
    return f"{service.record.name}@{number}"


def last_took_s(service: Service) -> float | None:
    """How long the last change took that was carried out."""
    for _, found in sorted(service.revisions.items(), reverse=True):
        if found.outcome == "done" and found.began_at:
            return found.ended_at - found.began_at
    return None


def packages_named(services: Mapping[str, Service]) -> dict[tuple[str, str], list[str]]:
    """Name and version of every package that services are made of, or were, so that they can go back; with them."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, service in services.items():
        for one in (stands(service), *service.revisions.values()):
            if one.outcome in NEVER_STOOD:
                continue
            users = found.setdefault((one.package, one.version), [])
            if name not in users:
                users.append(name)
    return found

"""The point of no return of an upgrade: what is written from then on, nothing older can read.

Until then an upgrade can be gone back from. A person says when it comes (``upcall finalize``), or said so when he asked
for the upgrade; the service is asked, and its own code carries it out. The service's record says up to which version it
was, so that what would go back further is refused before anything begins.
"""

from msgspec.structs import replace

from upcall.master import due
from upcall.master import records as r
from upcall.master.changes import Changed
from upcall.master.core import Core
from upcall.master.services import find
from upcall.master.state import Service
from upcall.master.transaction import Transaction
from upcall.operations import inputs as given
from upcall.protocol.errors import Conflict, NotFound
from upcall.protocol.operator import Ask
from upcall.protocol.releases import newer, released, version_key


def came_from(core: Core, service: Service) -> str:
    """The version that it was upgraded from and can go back to; empty: there is none, or it would not be a return."""
    record = service.record
    if record.finalized == record.version or not _has_one(core, record):
        return ""
    stands = service.revisions.get(record.revision)
    if stands is not None and stands.outcome != "done":
        return ""  # It is on its way, or failed on it.
    earlier = (one for _, one in sorted(service.revisions.items(), reverse=True) if one.outcome == "done")
    found = next((one.version for one in earlier if released(one.version) != released(record.version)), "")
    return found if found and version_key(found) < version_key(record.version) else ""


def _has_one(core: Core, record: r.ServiceRecord) -> bool:
    """Whether this version of its package has a point of no return."""
    try:
        return core.state.packages.find(record.package, record.version).finalizes
    except NotFound:
        return False


def finalize(tx: Transaction, name: str, asked: Ask, who: str) -> str:
    """Proposes it. Gives the operation's id."""
    service = find(tx.core, name)
    record = service.record
    if record.finalized == record.version:
        raise Conflict(
            f"{name} is finalized at version {record.version} already",
            where="service",
            expected="an upgrade since (`upcall service history` lists what came)",
        )
    if not _has_one(tx.core, record):
        raise Conflict(
            f"{record.package} {record.version} has no point of no return: there is nothing to finalize",
            where="service",
            expected="a service whose code has one",
        )
    proposal = given.Propose(
        kind="finalize",
        asked_by=who,
        service=name,
        reason=asked.reason or f"the point of no return of version {record.version}",
        force=asked.force,
        revision=record.revision,
        in_window=due.asked_in_window(service, asked.in_window),
    )
    return tx.ledger(proposal).operation


def at_once(tx: Transaction, service: Service, revision: r.RevisionRecord, *, in_window: bool) -> None:
    """Its upgrade is done, and whoever asked for that wanted this too. The same key is the same wish."""
    if not _has_one(tx.core, service.record):
        return
    name = service.record.name
    proposal = given.Propose(
        kind="finalize",
        asked_by=revision.asked_by,
        service=name,
        reason=f"asked for with the upgrade to {revision.version}",
        key=f"finalize/{name}/{service.record.created_at:f}/{revision.number}",
        revision=revision.number,
        in_window=in_window,
    )
    tx.ledger(proposal)


def must_be_readable(record: r.ServiceRecord, version: str) -> None:
    """Refuses a version that cannot read what is there."""
    if record.finalized and version_key(released(version)) < version_key(released(record.finalized)):
        raise Conflict(
            f"{record.name} was finalized at version {record.finalized}: {record.package} {version} cannot read what it"
            " has written since",
            where="version",
            expected=f"{record.finalized} or newer, or another service of version {version} beside it",
        )


def must_be_no_downgrade(service: Service, version: str) -> None:
    """Refuses an older version than runs, unless the service came from it: code knows what older code of its own wrote,
    and seldom what newer code did, so what it would find there was never asked of it."""
    record = service.record
    been = {released(one.version) for one in service.revisions.values() if one.outcome == "done"}
    if newer(record.version, version) and released(version) not in been:
        raise Conflict(
            f"{record.package} {version} is older than {record.version}, which {record.name} runs, and it never ran"
            f" {version}: older code need not read what newer code wrote",
            where="version",
            expected=f"{record.version} or newer, or another service of version {version} beside it",
        )


def follow(tx: Transaction, changes: Changed) -> None:
    """A rule of the core: what was finalized stands in the service's record. Doing it twice is doing it once."""
    for number in changes.operations:
        operation = tx.core.state.ledger.operation(number)
        if operation is None or operation.kind != "finalize" or operation.state != "done":
            continue
        service = tx.core.state.services.get(operation.target.service)
        if service is None or operation.proposed_wall_s < service.record.created_at:
            continue  # Of an older life of the same name.
        record = service.record
        known = service.revisions.get(operation.revision)
        version = known.version if known is not None else record.version
        if version_key(version) > version_key(record.finalized):
            service.record = replace(record, finalized=version)
            tx.put(r.SERVICE, record.name, service.record)
            tx.event("service", record.name, f"finalized at version {version}, asked for by {operation.asked_by}",
                     who=operation.asked_by, version=version)  # fmt: skip

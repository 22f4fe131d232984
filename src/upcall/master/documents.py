"""What a document says of the service that it keeps (:mod:`upcall.master.keeping`): all of it, as often as one likes.

Which version of the document that was is recorded in the same turn as the revision that it became. So who carries it
here asks again after any failure, and nothing is done twice.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from upcall.master import history, keeping, revisions
from upcall.master import records as r
from upcall.master.services import find
from upcall.master.state import Service
from upcall.master.transaction import Transaction
from upcall.operations import inputs as given
from upcall.operations.table import CHANGES
from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict
from upcall.protocol.operator import Keep, Update


def must_be_kept_by(service: Service, said: Keep) -> None:
    record, keeper = service.record, service.record.keeper
    if keeper is None and not said.adopt:
        raise Conflict(
            f"{record.name} was installed by {record.asked_by}, and {said.keeper.what} did not make it",
            where=record.name,
            expected="another name, or a word that it is to be taken over",
        )
    if keeper is not None:
        keeping.must_change(service, said.keeper.what)
    if said.package and said.package != record.package:
        raise Conflict(
            f"{record.name} is of package {record.package}, and not of {said.package}",
            where="package",
            expected="another name: a service stays what it is",
        )


def as_update(said: Keep) -> Update:
    """In place of what is under way: the newest version of a document is the one that counts."""
    return Update(
        options=said.options,
        version=said.version,
        bindings=said.bindings,
        secrets=said.secrets,
        finalize=said.finalize,
        reason=f"{said.keeper.what}, version {said.keeper.generation}",
        instead=True,
    )


def keep(
    tx: Transaction, name: str, said: Keep, who: str, derived: Mapping[str, wire.Derived] | None = None
) -> Service:
    """Makes a revision of it where it differs from what stands or is under way."""
    service = find(tx.core, name)
    must_be_kept_by(service, said)
    number = _revision_of(tx, service, said, who, derived)
    was, keeper = service.record.keeper, keeping.record(said.keeper, number)
    if was != keeper:
        _put(tx, service, keeper)
    if was is None:
        tx.event("service", name, f"is what {keeper.what} says, from now on", who=who)
    return service


def _revision_of(
    tx: Transaction, service: Service, said: Keep, who: str, derived: Mapping[str, wire.Derived] | None
) -> int:
    asked, name = as_update(said), service.record.name
    wanted = history.wants(revisions.meant(tx.core, service, asked, who, tx.wall_s, derived))
    coming = {
        operation.id: revision
        for operation in tx.core.state.ledger.live(name)
        if operation.kind in CHANGES and (revision := service.revisions.get(operation.revision)) is not None
    }
    for revision in coming.values():
        if history.wants(revision) == wanted:
            return revision.number
    if wanted != history.wants(history.stands(service)):
        revisions.update(tx, name, asked, who, derived)
        return max(service.revisions)
    for operation_id in coming:
        tx.ledger(given.Cancel(operation=operation_id, who=who, why=f"{said.keeper.what} says what stands again"))
    return service.record.revision


def unkeep(tx: Transaction, service: Service, what: str, who: str) -> Service:
    """Of another document nothing is changed."""
    if service.record.keeper is not None and service.record.keeper.what == what:
        _put(tx, service, None)
        tx.event("service", service.record.name, f"{what} is gone; the service stays, and is changed here", who=who)
    return service


def _put(tx: Transaction, service: Service, keeper: r.KeeperRecord | None) -> None:
    service.record = replace(service.record, keeper=keeper)
    tx.put(r.SERVICE, service.record.name, service.record)

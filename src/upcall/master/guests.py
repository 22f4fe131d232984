"""Workloads of somebody else's that ask for care: each is a service here for as long as it asks.

What machines tell of one (:class:`~upcall.substrate.interface.Guest`) is carried out as a person's wish would be: it is
installed from the package that knows how to ask about them, updated when it has another size or another wish, and
uninstalled when it asks no more, by which nothing of it ends. So an eviction of one of its pods is an operation like
any other, with the same table, the same guard and the same ``why``.

A wish that cannot be carried out yet (no host has registered the package, an older uninstall is under way) waits, and
is tried again with every change that may let it through.
"""

from typing import Any, Final

from upcall.master import revisions, services
from upcall.master.changes import Changed
from upcall.master.core import Core
from upcall.master.state import Service
from upcall.master.transaction import Transaction
from upcall.operations import inputs as given
from upcall.protocol.errors import NotFound, UpcallError
from upcall.protocol.operator import Install, Update
from upcall.substrate.interface import Guest

PACKAGE: Final = "workload"


def follow(tx: Transaction, changed: Changed) -> None:
    """A rule of the core."""
    wishes = tx.core.guests
    if not wishes or not (changed.guests or changed.assignments or changed.operations):
        return
    for name, wish in list(wishes.items()):
        try:
            done = _carry_out(tx, wish)
        except NotFound:
            done = False  # the package: a host that is there will register it
        except UpcallError as error:
            done = False
            if tx.core.guests_said.get(name) != str(error):
                tx.core.guests_said[name] = str(error)
                tx.event("service", name, f"what {wish.workload} asks for waits: {error}", service=name)
        if done:
            del wishes[name]
            tx.core.guests_said.pop(name, None)


def _carry_out(tx: Transaction, wish: Guest) -> bool:
    core, name = tx.core, wish.service
    stands = core.state.services.get(name)
    if wish.gone:
        if stands is not None and stands.record.package == PACKAGE and not _leaves(core, name):
            reason = f"{wish.workload} asks for it no more, or is gone"
            tx.ledger(given.Propose(kind="uninstall", asked_by=wish.workload, reason=reason, service=name))
        return True
    options = _options(wish)
    if stands is None:
        services.install(tx, Install(package=PACKAGE, name=name, options=options), wish.workload)
    elif _is_under_way(core, stands, options):
        return True
    elif stands.record.options != options:
        revisions.update(
            tx, name, Update(options=options, instead=True, reason=_differs(stands.record.options, wish)), wish.workload
        )
    else:
        return not _leaves(core, name)
    if wish.problem:
        tx.event("alert", name, f"{wish.problem}; the careful rule holds", service=name, alert=True)
    return True


def _is_under_way(core: Core, stands: Service, options: dict[str, Any]) -> bool:
    """A change to just that is live."""
    live = [one for one in core.state.ledger.operations() if one.live and one.target.service == stands.record.name]
    wanted = [stands.revisions[one.revision] for one in live if one.revision in stands.revisions]
    return any(revision.options == options for revision in wanted)


def _leaves(core: Core, service: str) -> bool:
    """It is being uninstalled: what is wanted of it now comes after that."""
    return any(
        one.kind == "uninstall" and one.target.service == service and one.live for one in core.state.ledger.operations()
    )


def _options(wish: Guest) -> dict[str, Any]:
    found: dict[str, Any] = {"workload": wish.workload, "members": wish.members, "away": wish.away}
    if wish.minimum is not None:
        found["minimum"] = wish.minimum
    if wish.responder:
        found["responder"] = wish.responder
    return found


def _differs(before: dict[str, Any], wish: Guest) -> str:
    if before.get("members") != wish.members:
        return f"{wish.workload} has {wish.members} replicas now"
    return f"{wish.workload} asks for something else"

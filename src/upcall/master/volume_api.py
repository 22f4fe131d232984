"""The door for what members have left on nodes: volumes that are kept or set aside are listed, taken back and given up.

What is in use is given up by operations alone (``replace``, ``uninstall``), so that its service is asked. To take a set
back is such a ``replace``: the member comes up where the set is, and what it has now is set aside.
"""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from upcall.master.driver import Driver
from upcall.master.http import caller, told_when_durable
from upcall.master.tokens import Principal
from upcall.master.transaction import Transaction
from upcall.master.views import Views
from upcall.operations import inputs as given
from upcall.protocol import operator as view
from upcall.protocol.errors import Conflict, NotFound
from upcall.protocol.nearest import nearest
from upcall.substrate.interface import VolumeSet
from upcall.substrate.machines import Machines


def router(core: Driver, views: Views, machines: Machines, principal: Callable[[Request], Principal]) -> APIRouter:
    api = APIRouter(prefix="/v1", tags=["operator API"], dependencies=[told_when_durable(core.durable)])

    Viewer = Annotated[Principal, Depends(caller(principal, "viewer"))]
    Operator = Annotated[Principal, Depends(caller(principal, "operator"))]

    @api.get("/volumes")
    async def list_volumes(_: Viewer) -> list[view.VolumesView]:
        return [volumes_view(one) for one in machines.volumes()]

    @api.post("/volumes/{name}/drop")
    async def drop_volumes(name: str, who: Operator, ask: view.Ask) -> view.VolumesView:
        """Deletes them. Where their node does not answer, as soon as it does."""
        return volumes_view(await core.turn(lambda tx: drop(tx, machines, name, who.name, ask.reason)))

    @api.post("/volumes/{name}/take-back")
    async def take_back_volumes(name: str, who: Operator, ask: view.Ask) -> view.OperationView:
        """Their member comes up with them, at their node, once its service agrees."""
        item = taking_back(machines, name, who.name, ask)
        outcome = await core.turn(lambda tx: tx.ledger(item))
        return views.operation(views.find_operation(outcome.operation))

    return api


def taking_back(machines: Machines, name: str, who: str, ask: view.Ask) -> given.Propose:
    found = find(machines, name)
    if found.state != "aside":
        kept = "; an install of the same package takes them back" if found.state == "kept" else ""
        raise Conflict(f"{name} is {found.state}{kept}", where="volumes", expected="volumes that are set aside")
    if found.node_state != "up":
        raise Conflict(
            f"{found.node} is {found.node_state}", where="volumes", expected="volumes of a node that answers"
        )
    service, _, member = found.member_id.partition(".")
    return given.Propose(
        kind="replace",
        asked_by=who,
        reason=ask.reason or f"{name} taken back by {who}",
        service=service,
        members=(member,),
        force=ask.force,
        takes=found.fence,
    )


def find(machines: Machines, name: str) -> VolumeSet:
    known = {one.name: one for one in machines.volumes()}
    if name not in known:
        near = nearest(name, known)
        raise NotFound(f"no volumes {name!r}{near}", where="volumes", expected="a name that `upcall volume list` shows")
    return known[name]


def drop(tx: Transaction, machines: Machines, name: str, who: str, why: str) -> VolumeSet:
    found = find(machines, name)
    service, _, member = found.member_id.partition(".")
    if found.state in ("in use", "held"):
        place = "next" if found.state == "held" else "present"
        raise Conflict(
            f"{name} is {found.state}: it is of {found.member_id}'s {place} place",
            where="volumes",
            expected="volumes that are kept or set aside; what is in use goes by `upcall task replace` or an uninstall",
        )
    if found.node_state == "gone":
        raise Conflict(
            f"{found.node} is gone, and what was there with it", where="volumes", expected="volumes of another node"
        )
    if found.state == "deleting":
        return found
    if found.state == "kept":
        tx.ledger(given.GiveUpVolumes(service=service, member=member))
    tx.substrate(machines.drop_volumes(found, tx.now_s))
    words = f"volumes {', '.join(found.volumes)} of {found.member_id} on {found.node} are dropped by {who}"
    tx.event("volumes", found.member_id, words + (f": {why}" if why else ""), node=found.node, fence=found.fence)
    return next((one for one in machines.volumes() if one.name == name), found)


def volumes_view(one: VolumeSet) -> view.VolumesView:
    return view.VolumesView(
        name=one.name,
        member=one.member_id,
        node=one.node,
        node_state=one.node_state,
        state=one.state,
        volumes=list(one.volumes),
        size_mib=one.size_mib,
        until=one.until_wall_s,
        reason=one.reason,
    )

"""The door for the maintenance of several nodes: those that are named, or all of a zone.

One drain, or none: who names a node or a zone that there is not, or a node that is somebody else's already, is told so,
and nothing begins. What a zone is, is decided here: the nodes that are in it now.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from upcall.master.core import Core
from upcall.master.http import caller, told_when_durable
from upcall.master.operator_api import OperatorDoor
from upcall.master.tokens import Principal
from upcall.master.transaction import Transaction
from upcall.operations import inputs as given
from upcall.protocol import operator as view
from upcall.protocol.errors import Invalid, NotFound
from upcall.protocol.nearest import choice, nearest
from upcall.substrate.interface import NodeObserved


def router(door: OperatorDoor, principal: Callable[[Request], Principal]) -> APIRouter:
    core = door.core
    api = APIRouter(prefix="/v1", tags=["operator API"], dependencies=[told_when_durable(core.durable)])

    Operator = Annotated[Principal, Depends(caller(principal, "operator"))]

    @api.post("/maintenance")
    async def drain(who: Operator, ask: view.DrainTogether) -> view.OperationView:
        """Drains several nodes as one: their services are asked about all of it at once."""
        nodes = named(core, ask)
        for node in nodes:
            door.check_node(node)
        return await door.propose(
            given.Propose(
                kind="maintenance",
                asked_by=who.name,
                reason=ask.reason,
                nodes=nodes,
                zone=ask.zone,
                window_s=ask.window_s,
                on_deadline=ask.on_deadline,
            )
        )

    @api.post("/maintenance/over")
    async def undrain(who: Operator, ask: view.UndrainTogether) -> list[view.OperationView]:
        """Gives the nodes back: each drain of which all are named is lifted, and of the others that part. Of a zone,
        those that are drained."""
        nodes = named(core, ask)
        for node in nodes:
            door.check_node(node)

        def given_back(tx: Transaction) -> list[str]:
            items = parts(tx.core, nodes, who.name, ask)
            return [tx.ledger(item).operation for item in items]

        return [door.views.operation(door.views.find_operation(found)) for found in await core.turn(given_back)]

    return api


def named(core: Core, ask: view.Nodes) -> tuple[str, ...]:
    """The nodes that are meant."""
    if bool(ask.nodes) == bool(ask.zone):
        given_both = "nodes and a zone" if ask.zone else "neither nodes nor a zone"
        raise Invalid(f"{given_both}", where="nodes", expected="names of nodes, or a zone")
    if not ask.zone:
        return tuple(dict.fromkeys(ask.nodes))
    zones: dict[str, list[str]] = {}
    for name, seen in core.known_nodes().items():
        if not isinstance(seen, NodeObserved) or seen.state != "gone":
            zones.setdefault(core.zone(name), []).append(name)
    if ask.zone not in zones:
        raise NotFound(
            f"no node is in a zone {ask.zone!r}{nearest(ask.zone, zones)}",
            where="zone",
            expected=choice(sorted(filter(None, zones)), "a zone that has nodes"),
        )
    return tuple(zones[ask.zone])


def parts(core: Core, nodes: Sequence[str], who: str, ask: view.UndrainTogether) -> list[given.Undrain]:
    """For each drain the nodes of it that are given back; checked as a whole before anything is."""
    by_drain: dict[str, list[str]] = {}
    for node in nodes:
        standing = core.state.ledger.maintenance(node)
        if standing is not None:
            by_drain.setdefault(standing.id, []).append(node)
        elif not ask.zone:
            raise NotFound(f"{node} is not in maintenance", where="node", expected="nodes that are drained")
    if not by_drain:
        raise NotFound(f"no node of zone {ask.zone} is in maintenance", where="zone", expected="a zone that is drained")
    return [given.Undrain(nodes=tuple(found), who=who, why=ask.reason) for found in by_drain.values()]

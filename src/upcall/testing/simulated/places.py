"""Where the simulated cluster puts tasks: by our kernel's own search, or as somebody else's scheduler would.

``kernel``: a whole plan is searched at once, by the code that the local substrate uses, and a refusal is its sentence
(what is missing on which node, what would fit). ``delegated``: a foreign scheduler takes one task at a time, when it is
launched. It honours the same constraints, knows nothing of plans, and where nothing will do it says so in its own way:
how many nodes there are and what keeps how many of them out. It names no node, no amount, and nothing that would fit.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from upcall.kernel.placement import Contradiction, Occupancy, Request, Search, groups
from upcall.kernel.pool import Pool, View
from upcall.kernel.records import Need
from upcall.kernel.resources import NOTHING, Resources
from upcall.kernel.shortage import explain
from upcall.protocol.declaration import Constraints, Declaration
from upcall.substrate.interface import Node
from upcall.substrate.local_needs import amount_of, need_of


@dataclass(frozen=True)
class Room:
    """A node, and why nothing new is placed there (empty: something is)."""

    node: Node
    closed: str = ""


@dataclass(frozen=True)
class Settled:
    """A member that has a place."""

    member_id: str
    node: str
    declaration: Declaration

    @property
    def service(self) -> str:
        return self.member_id.partition(".")[0]

    @property
    def member(self) -> str:
        return self.member_id.partition(".")[2]


# -- our own kernel -------------------------------------------------------------------------------------------------


def placed_by_kernel(
    rooms: Sequence[Room],
    settled: Sequence[Settled],
    service: str,
    plan: Mapping[str, Declaration],
    avoid: Mapping[str, frozenset[str]],
) -> tuple[dict[str, str], str]:
    """Member -> node for all of ``plan``; or nothing, and why. ``avoid``: places that are given up."""
    others = [one for one in settled if one.service != service or one.member not in plan]
    pool, occupied = Pool(), Occupancy()
    attributes = {room.node.name: room.node.attributes for room in rooms}
    for room in rooms:
        if not room.closed:
            used = _sum(need_of(one.declaration).whole for one in others if one.node == room.node.name)
            pool.put(View(room.node.name, _total(room.node) - used, room.node.attributes))
    for one in others:
        if one.service == service:
            occupied.add(need_of(one.declaration), one.node, attributes[one.node])
    where = {one.member: one.node for one in others if one.service == service}
    try:
        wanted = groups([_request(name, need_of(each), avoid, where) for name, each in plan.items()])
    except Contradiction as error:
        return {}, str(error)
    search = Search(pool, occupied, {})
    found = search.run(wanted)
    if found is None:
        closed = {room.node.name: room.closed for room in rooms if room.closed}
        return {}, explain(wanted, search, list(pool), closed)
    return found, ""


def _request(name: str, need: Need, avoid: Mapping[str, frozenset[str]], where: Mapping[str, str]) -> Request:
    return Request(name, need, need.whole, pinned=where.get(need.together, ""), avoid=avoid.get(name, frozenset()))


# -- somebody else's scheduler --------------------------------------------------------------------------------------


def placed_by_another(
    rooms: Sequence[Room], settled: Sequence[Settled], member_id: str, declaration: Declaration
) -> tuple[str, str]:
    """A node for one task; or none, and why. The emptiest that will do; by name among equals."""
    wants, service = declaration.constraints, member_id.partition(".")[0]
    others = [one for one in settled if one.member_id != member_id]
    peers = [one for one in others if one.service == service]
    spreads_over = wants.spread if any(wants.spread in room.node.attributes for room in rooms) else ""
    objections = Counter[str]()
    fits: list[tuple[int, int, str]] = []
    for room in rooms:
        here = [one for one in others if one.node == room.node.name]
        objection = room.closed or _objection(room.node, here, peers, wants, declaration, service, spreads_over)
        if objection:
            objections[objection] += 1
        else:
            fits.append((_peers_in_its_zone(room.node, rooms, peers, wants), len(here), room.node.name))
    if fits:
        return min(fits)[-1], ""
    why = ", ".join(f"{count} {objection}" for objection, count in sorted(objections.items()))
    return "", f"0 of {len(rooms)} nodes will do" + (f": {why}" if why else "")


def _objection(
    node: Node,
    here: Sequence[Settled],
    peers: Sequence[Settled],
    wants: Constraints,
    declaration: Declaration,
    service: str,
    spreads_over: str,
) -> str:
    if any(node.attributes.get(name) != value for name, value in wants.attributes.items()):
        return "without the attributes that it asks for"
    if spreads_over and spreads_over not in node.attributes:
        return f"without {spreads_over}"
    if wants.apart and _alike(here, service, wants) >= wants.per_node:
        return "with one that it keeps apart from"
    if wants.together and not any(one.member == wants.together for one in peers if one.node == node.name):
        return "without the member that it goes with"
    # Volumes are somewhere else on such a cluster, and follow the task: they take nothing of a node.
    used = _sum(need_of(one.declaration).amount for one in here)
    lacking = list(need_of(declaration).amount.lacking(_total(node) - used))
    return f"with too little {' and '.join(name.removesuffix('_mib') for name in lacking)}" if lacking else ""


def _alike(here: Sequence[Settled], service: str, wants: Constraints) -> int:
    """How many of its kind are on this node."""
    return sum(one.service == service and one.declaration.constraints.apart == wants.apart for one in here)


def _peers_in_its_zone(node: Node, rooms: Sequence[Room], peers: Sequence[Settled], wants: Constraints) -> int:
    """Spreading is a wish, as in the kernel: fewest first, and no reason to refuse."""
    if not wants.spread:
        return 0
    zones = {room.node.name: room.node.attributes.get(wants.spread) for room in rooms}
    alike = [one for one in peers if one.declaration.constraints.apart == wants.apart]
    return sum(zones[one.node] == zones[node.name] for one in alike)


def _sum(amounts: Iterable[Resources]) -> Resources:
    return sum(amounts, NOTHING)


def _total(node: Node) -> Resources:
    return amount_of(node.cpus, node.memory_mib, node.disk_mib)

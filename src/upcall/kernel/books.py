"""What the kernel knows: the records, and all that is derived from them, moved together.

Sums (:mod:`accounts`), addresses, the pool of usable nodes, the indexes by node and by service: each primitive move
here keeps all of them true, so the decisions above (:mod:`kernel`, :mod:`reserving`) cannot forget one.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from upcall.kernel.accounts import Accounts
from upcall.kernel.addresses import Addresses
from upcall.kernel.events import Effect, Write
from upcall.kernel.nodes import Nodes
from upcall.kernel.placement import Occupancy
from upcall.kernel.pool import Pool, View
from upcall.kernel.records import (
    ADDRESSES,
    COMING,
    CURSOR,
    LEFT,
    NODE,
    RESERVATION,
    LeftVolumes,
    NodeRecord,
    Reservation,
)
from upcall.kernel.resources import NOTHING, Resources
from upcall.kernel.volumes import LeftBehind


class Books:
    def __init__(self, network: str, liveness_s: float) -> None:
        self.accounts = Accounts()
        self.addresses = Addresses(network)
        self.left = LeftBehind(self.accounts)
        self.nodes = Nodes(liveness_s)
        self.pool = Pool()
        self.records: dict[str, NodeRecord] = {}
        self.reservations: dict[str, Reservation] = {}
        self.coming: dict[str, Reservation] = {}
        """Member -> its next place, held beside the present one."""
        self.cordoned: frozenset[str] = frozenset()
        self._occupied: dict[str, Occupancy] = {}
        self._by_node: dict[str, dict[str, None]] = {}
        self._coming_to: dict[str, dict[str, None]] = {}
        self._by_service: dict[str, dict[str, None]] = {}

    def on_node(self, node: str) -> list[Reservation]:
        return [self.reservations[member_id] for member_id in self._by_node.get(node, ())]

    def coming_to(self, node: str) -> list[Reservation]:
        return [self.coming[member_id] for member_id in self._coming_to.get(node, ())]

    def occupied(self, service: str) -> Occupancy:
        """To look at; what is counted for good goes through :meth:`count`."""
        return self._occupied.get(service) or Occupancy()

    def unusable(self) -> dict[str, str]:
        """Node -> why nothing is placed there."""
        reasons = {name: f"is {self.nodes.state(name)}" for name in self.records if not self.nodes.usable(name)}
        return reasons | dict.fromkeys(self.cordoned & self.records.keys(), "is kept free for its maintenance")

    # -- moves ------------------------------------------------------------------------------------------------------

    def shelve(self, node: str) -> None:
        """Keeps the pool the set of nodes on which something may be placed, with what is free there."""
        record = self.records.get(node)
        if record is not None and self.nodes.usable(node) and node not in self.cordoned:
            self.pool.put(View(node, self.accounts.free(node), record.attributes))
        else:
            self.pool.remove(node)

    def set_node(self, node: NodeRecord) -> None:
        """A node that comes back in another zone: its members are counted there from now on."""
        self._count_node(node.name, -1)
        self.records[node.name] = node
        self._count_node(node.name, 1)
        self.accounts.set_total(node.name, node.total)

    def _count_node(self, node: str, count: int) -> None:
        for reservation in (*self.on_node(node), *self.coming_to(node)):
            self.count(reservation, count)

    def count(self, reservation: Reservation, count: int) -> None:
        attributes = self.records[reservation.node].attributes
        occupied = self._occupied.setdefault(reservation.service, Occupancy())
        occupied.add(reservation.need, reservation.node, attributes, count)

    def use_beyond(self, node: str, amount: Resources) -> None:
        """Not on record: who starts anew is told it anew."""
        holder = _beyond_holder(node)
        if self.accounts.holds(holder) is not None:
            self.accounts.give_back(holder)
        if amount != NOTHING and node in self.records:
            self.accounts.hold(holder, node, amount, fact=True)
        self.shelve(node)

    def drop_node(self, node: str) -> None:
        self.use_beyond(node, NOTHING)
        self.nodes.forget(node)
        self.pool.remove(node)
        self.accounts.drop_node(node)
        del self.records[node]

    def occupy(self, reservation: Reservation, *, fact: bool = False) -> None:
        member_id, node, need = reservation.member_id, reservation.node, reservation.need
        assert member_id not in self.reservations, f"{member_id} has a place"
        self.accounts.hold(_holder(member_id), node, need.whole, fact=fact)
        self.reservations[member_id] = reservation
        self._by_node.setdefault(node, {})[member_id] = None
        self._by_service.setdefault(reservation.service, {})[member_id] = None
        self.count(reservation, 1)

    def vacate(self, reservation: Reservation) -> None:
        """Takes a reservation out of sums and indexes. Its address stays taken."""
        member_id = reservation.member_id
        del self.reservations[member_id]
        del self._by_node[reservation.node][member_id]
        del self._by_service[reservation.service][member_id]
        self.accounts.give_back(_holder(member_id))
        self.count(reservation, -1)
        if not self._by_service[reservation.service]:
            del self._by_service[reservation.service]
            self._uncounted(reservation.service)

    def hold_coming(self, coming: Reservation) -> None:
        """Beside the member's present place. On the same node the two never run at the same time, so together they may
        ask for more than there is."""
        member_id, node, need = coming.member_id, coming.node, coming.need
        assert member_id not in self.coming, f"{member_id} has a next place"
        self.accounts.hold(_next_holder(member_id), node, need.whole, fact=True)
        self.coming[member_id] = coming
        self._coming_to.setdefault(node, {})[member_id] = None
        self.count(coming, 1)

    def drop_coming(self, member_id: str) -> Reservation | None:
        """Its address stays taken."""
        coming = self.coming.pop(member_id, None)
        if coming is not None:
            del self._coming_to[coming.node][member_id]
            self.accounts.give_back(_next_holder(member_id))
            self.count(coming, -1)
            self._uncounted(coming.service)
        return coming

    def _uncounted(self, service: str) -> None:
        if service not in self._by_service and not any(each.service == service for each in self.coming.values()):
            self._occupied.pop(service, None)

    # -- starting from records --------------------------------------------------------------------------------------

    def load(self, records: Iterable[tuple[str, str, Any]]) -> list[Effect]:
        """``records`` are (kind, key, value) as written. Gives what there is to repair: a crash may fall between any
        two records."""
        by_kind: dict[str, dict[str, Any]] = {}
        for kind, key, value in records:
            by_kind.setdefault(kind, {})[key] = value
        for node in by_kind.get(NODE, {}).values():
            self.set_node(node)
        self.addresses.cursor = by_kind.get(ADDRESSES, {}).get(CURSOR, self.addresses.cursor)
        for _, reservation in sorted(by_kind.get(RESERVATION, {}).items()):
            self._know(reservation.node)
            self.addresses.claim(reservation.address, reservation.member_id)
            self.occupy(reservation, fact=True)
        repairs = list(self._load_coming(sorted(by_kind.get(COMING, {}).items())))
        return repairs + list(self._load_left(sorted(by_kind.get(LEFT, {}).items())))

    def _load_coming(self, records: list[tuple[str, Reservation]]) -> Iterator[Effect]:
        for member_id, coming in records:
            present = self.reservations.get(member_id)
            if present is None or present.place >= coming.place:
                # The member was launched there, or released: what is written last decides.
                yield Write(COMING, member_id, None)
                continue
            self._know(coming.node)
            self.addresses.claim(coming.address, member_id)
            self.hold_coming(coming)

    def _load_left(self, records: list[tuple[str, LeftVolumes]]) -> Iterator[Effect]:
        for key, left in records:
            reservation = self.reservations.get(left.member_id)
            if reservation is not None and (reservation.node, reservation.fence) == (left.node, left.fence):
                # Taken back, or not yet released: the reservation decides, for it is written last.
                yield Write(LEFT, key, None)
                continue
            self._know(left.node)
            for _ in self.left.put(left):
                pass

    def _know(self, node: str) -> None:
        if node not in self.records:
            self.set_node(NodeRecord(node, NOTHING, gone="its record is missing"))

    def free(self, node: str) -> Resources:
        return self.accounts.free(node)


def _holder(member_id: str) -> str:
    return f"reservation {member_id}"


def _beyond_holder(node: str) -> str:
    return f"use beyond what is reserved on {node}"


def _next_holder(member_id: str) -> str:
    return f"next place of {member_id}"

"""The kernel: inputs in, record changes and effects out. No I/O, no clock, no threads, no chance.

It knows nodes, who holds what on them, and where each member's reserved place is; it does not know tasks. What is
on record is in :mod:`upcall.kernel.records`; all the rest (sums, indexes, liveness) is derived from that when it
starts, so a kernel made of the records that another one wrote decides as that one would.

An input costs what it changes: reserving one member looks at the nodes that fit best, and at nothing that other
members have.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from upcall.kernel.books import Books
from upcall.kernel.events import (
    Beyond,
    CallOff,
    Cordon,
    DropVolumes,
    Effect,
    Forget,
    Gone,
    Heard,
    Input,
    NodeChanged,
    Register,
    Release,
    Reserve,
    Tick,
    Write,
)
from upcall.kernel.nodes import Change
from upcall.kernel.records import COMING, NODE, RESERVATION, LeftVolumes, NodeRecord, Reservation, Volume, placed_anew
from upcall.kernel.reserving import Reserving, as_it_is

LIVENESS_S = 15.0


class Kernel:
    """``records`` are (kind, key, value) as written; ``network`` is the cluster's loopback network."""

    def __init__(
        self, network: str, liveness_s: float = LIVENESS_S, records: Iterable[tuple[str, str, Any]] = ()
    ) -> None:
        self.books = Books(network, liveness_s)
        self._repairs = self.books.load(records)
        self._begun = False
        self._now_s = self._wall_s = 0.0
        self._handlers: dict[type, Callable[[Any, float], Iterator[Effect]]] = {
            Register: self._register,
            Heard: self._heard,
            Gone: self._gone,
            Forget: self._forget,
            Cordon: self._cordon,
            Beyond: self._beyond,
            Reserve: self._reserve,
            CallOff: self._call_off,
            Release: self._release,
            DropVolumes: self._drop_volumes,
            Tick: self._tick,
        }

    def handle(self, given: Input, now_s: float, wall_s: float | None = None) -> list[Effect]:
        """``wall_s``: by which graces end; without it, one clock is both."""
        self._now_s, self._wall_s = now_s, now_s if wall_s is None else wall_s
        effects = [] if self._begun else self._begin(now_s)
        effects += self._handlers[type(given)](given, now_s)
        return effects

    def _begin(self, now_s: float) -> list[Effect]:
        """The first input brings the time; all that a clock measures starts here."""
        self._begun = True
        for name, node in self.books.records.items():
            if node.gone:
                self.books.nodes.gone(name, now_s)
            else:
                self.books.nodes.expect(name, now_s)
            self.books.shelve(name)
        return self._repairs

    def deadline(self) -> float | None:
        """When :class:`Tick` is due; 0 before the first input."""
        if not self._begun:
            return 0.0
        node_s, grace_s = self.books.nodes.deadline(), self.books.left.deadline()
        if grace_s is None:
            return node_s
        grace_s += self._now_s - self._wall_s
        return grace_s if node_s is None else min(node_s, grace_s)

    def reservation(self, member_id: str) -> Reservation | None:
        return self.books.reservations.get(member_id)

    def coming(self, member_id: str) -> Reservation | None:
        """The member's next place, held beside its present one."""
        return self.books.coming.get(member_id)

    def fits(self, given: Reserve, wall_s: float) -> str:
        """Why this would be refused now; nothing is changed."""
        return Reserving(self.books, given, wall_s).refusal()

    def node(self, name: str) -> NodeRecord | None:
        return self.books.records.get(name)

    # -- nodes ------------------------------------------------------------------------------------------------------

    def _register(self, given: Register, now_s: float) -> Iterator[Effect]:
        record = NodeRecord(given.node, given.total, dict(given.attributes))
        if self.books.records.get(given.node) != record:
            self.books.set_node(record)
            yield Write(NODE, given.node, record)
        change = self.books.nodes.registered(given.node, now_s)
        listed: dict[tuple[str, int], list[str]] = {}
        for member_id, volume, fence in given.volumes:
            listed.setdefault((member_id, fence), []).append(volume)
        yield from self.books.left.reconcile(given.node, listed)
        for (member_id, fence), names in listed.items():
            yield from self._found(given.node, member_id, fence, names, now_s)
        yield from self._changed(change)

    def _found(self, node: str, member_id: str, fence: int, names: list[str], now_s: float) -> Iterator[Effect]:
        """A node registered with volumes: those that nobody has a claim on are set aside, never deleted unasked."""
        reservation, coming = self.reservation(member_id), self.coming(member_id)
        if any(each is not None and (each.node, each.fence) == (node, fence) for each in (reservation, coming)):
            return
        if self.books.left.get(f"{member_id}/{fence}@{node}") is not None:
            return
        reason = "no such member is known"
        if reservation is not None:
            reason = placed_anew(member_id, node, reservation.node)
        volumes = tuple(Volume(name, 0) for name in sorted(names))
        yield from self.books.left.put(LeftVolumes(member_id, fence, node, "aside", volumes, reason=reason))

    def _heard(self, given: Heard, now_s: float) -> Iterator[Effect]:
        change = self.books.nodes.heard(given.node, now_s)
        if change is not None:
            yield from self._changed(change)

    def _changed(self, change: Change) -> Iterator[Effect]:
        self.books.shelve(change.node)
        yield NodeChanged(change.node, change.state, change.reason)

    def _gone(self, given: Gone, now_s: float) -> Iterator[Effect]:
        record = self.node(given.node)
        if record is None or record.gone:
            return
        record = replace(record, gone=given.reason or "gone")
        self.books.set_node(record)
        yield Write(NODE, given.node, record)
        self.books.nodes.gone(given.node, now_s)
        yield from self._changed(Change(given.node, "gone", record.gone))

    def _forget(self, given: Forget, now_s: float) -> Iterator[Effect]:
        record = self.node(given.node)
        if record is None or not record.gone or self.books.on_node(given.node) or self.books.coming_to(given.node):
            return
        for left in self.books.left.on_node(given.node):
            yield from self.books.left.drop(left.key)
        self.books.drop_node(given.node)
        yield Write(NODE, given.node, None)

    def _cordon(self, given: Cordon, now_s: float) -> Iterator[Effect]:
        changed = self.books.cordoned ^ given.nodes
        self.books.cordoned = given.nodes
        for node in sorted(changed):
            self.books.shelve(node)
        yield from ()

    def _beyond(self, given: Beyond, now_s: float) -> Iterator[Effect]:
        self.books.use_beyond(given.node, given.amount)
        yield from ()

    def _tick(self, given: Tick, now_s: float) -> Iterator[Effect]:
        for change in self.books.nodes.judge(now_s):
            yield from self._changed(change)
        for left in self.books.left.over(self._wall_s):
            if self.reservation(left.member_id) is None:
                yield from self._delete_all(left.member_id)
            else:
                yield from self._delete(left)

    # -- reservations -----------------------------------------------------------------------------------------------

    def _reserve(self, given: Reserve, now_s: float) -> Iterator[Effect]:
        yield from as_it_is(self.books, given) or Reserving(self.books, given, self._wall_s).run()

    def _call_off(self, given: CallOff, now_s: float) -> Iterator[Effect]:
        coming = self.coming(given.member_id)
        if coming is not None and given.place in (0, coming.place):
            self.books.drop_coming(given.member_id)
            self.books.addresses.free(coming.address)
            self.books.shelve(coming.node)
            yield Write(COMING, given.member_id, None)

    def _release(self, given: Release, now_s: float) -> Iterator[Effect]:
        yield from self._call_off(CallOff(given.member_id), now_s)
        reservation = self.reservation(given.member_id)
        until_wall_s = self._wall_s + given.keep_volumes_s
        if reservation is None and given.keep_volumes_s > 0:
            kept = self.books.left.kept(given.member_id)
            if kept is not None:
                yield from self.books.left.keep(kept, given.keep_volumes_s, until_wall_s)
        if reservation is not None:
            self.books.vacate(reservation)
            self.books.addresses.free(reservation.address)
            if reservation.need.volumes:
                yield from self.books.left.put(LeftVolumes.kept(reservation, given.keep_volumes_s, until_wall_s))
            self.books.shelve(reservation.node)
            yield Write(RESERVATION, given.member_id, None)
        if given.keep_volumes_s <= 0:
            yield from self._delete_all(given.member_id)

    def _delete_all(self, member_id: str) -> Iterator[Effect]:
        """The member is not installed any more: all that it left goes, also what was set aside."""
        for left in self.books.left.of_member(member_id):
            yield from self._delete(left)

    def _delete(self, left: LeftVolumes) -> Iterator[Effect]:
        yield from self.books.left.delete(left)
        self.books.shelve(left.node)

    def _drop_volumes(self, given: DropVolumes, now_s: float) -> Iterator[Effect]:
        for left in self.books.left.of_member(given.member_id):
            coming = self.coming(left.member_id)
            held = coming is not None and (coming.node, coming.fence) == (left.node, left.fence)
            if left.fence == given.fence and given.node in ("", left.node) and not held:
                yield from self._delete(left)

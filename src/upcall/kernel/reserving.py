"""One :class:`~upcall.kernel.events.Reserve`: what of the plan needs a place, the search, and the change as a whole.

For each member one of these is asked:

    new        no reservation. With volumes kept of the same place only their node will do, and they are taken back;
               those of a lower place are set aside
    moved      the place number rose: another node. The old place is given up, its volumes are set aside; where only its
               own node will do, nothing is given up. With volumes that it takes back, their node
    beside     the next place is held, on another node if one will do, and nothing is given up yet
    promised   the place number rose to that of the place that is held beside: it becomes the present one
    resized    the same place with another amount: only its node will do
    the same   nothing; a wish about where to be applies from the next place on

Nothing is changed before all of it is known to fit.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass, replace
from functools import cached_property

from upcall.kernel.books import Books
from upcall.kernel.events import Effect, Promised, Refused, Reserve, Reserved, Write
from upcall.kernel.placement import Contradiction, Request, Search, groups
from upcall.kernel.records import ADDRESSES, COMING, CURSOR, RESERVATION, LeftVolumes, Need, Reservation, Volume
from upcall.kernel.resources import NOTHING, Resources
from upcall.kernel.shortage import explain


@dataclass(frozen=True)
class Asked:
    """One member of the plan that does not simply stay as it is."""

    member: str
    need: Need
    place: int
    old: Reservation | None
    kept: LeftVolumes | None
    moved: bool
    same_node: bool = False
    """Its next place is wanted on its own node."""
    unused: LeftVolumes | None = None
    """What is kept of a lower place: it is not taken back."""
    coming: Reservation | None = None
    """The next place that was held before, and is not what is wanted now. It may have been used already."""

    @property
    def request(self) -> Request:
        if self.old is not None and not self.moved:
            return Request(self.member, self.need, self.need.whole, pinned=self.old.node)
        if self.kept is not None:
            return Request(self.member, self.need, self.need.whole - self.kept.amount, pinned=self.kept.node)
        if self.old is not None and self.same_node:
            return Request(self.member, self.need, self.need.whole, pinned=self.old.node)
        return Request(self.member, self.need, self.need.whole, avoid=frozenset(self._left()))

    def _left(self) -> Iterator[str]:
        """Where it was: also at a next place, when a third one is wanted because that one was no good."""
        if self.old is not None:
            yield self.old.node
        if self.coming is not None and self.coming.place < self.place:
            yield self.coming.node

    @property
    def nodes(self) -> tuple[str, ...]:
        """Nodes on which it gives something back."""
        return tuple(one.node for one in (self.old, self.kept) if one is not None)

    @property
    def given_back(self) -> Resources:
        """What the old place gives back on its node; a place that is given up leaves its volumes there."""
        if self.old is None:
            return NOTHING
        return self.old.need.amount if self.moved else self.old.need.whole


class Reserving:
    def __init__(self, books: Books, given: Reserve, wall_s: float) -> None:
        self._books = books
        self._given = given
        self._wall_s = wall_s
        self._service = given.service
        self._members = tuple(given.needs)
        self._asked: list[Asked] = []
        self._same: list[Reservation] = []
        self._updated: list[Reservation] = []
        self._promised: list[Reservation] = []
        self._not_there = ""
        """What is to be taken back, and is not there."""
        for member, need in given.needs.items():
            self._look_at(member, need, given.places.get(member, 1))

    def _look_at(self, member: str, need: Need, place: int) -> None:
        member_id = f"{self._service}.{member}"
        old = self._books.reservations.get(member_id)
        taken = self._taken(member)
        if old is None:
            kept = taken or self._books.left.kept(member_id)
            if kept is not None and self._books.nodes.state(kept.node) == "gone":
                kept = None
            unused = None
            if kept is not None and taken is None and (place > kept.place > 0 or kept.until_wall_s <= self._wall_s):
                kept, unused = None, kept
            need = need if kept is None else replace(need, volumes=_merged(kept.volumes, need.volumes))
            self._asked.append(Asked(member, need, place, None, kept, moved=True, unused=unused))
        elif place > old.place:
            coming = self._books.coming.get(member_id)
            misplaced = coming is not None and self._given.same_node and coming.node != old.node
            if taken is not None and coming is not None:
                misplaced = (coming.node, coming.fence) != (taken.node, taken.fence)
            if coming is not None and coming.place == place and _covers(coming.need, need) and not misplaced:
                self._promised.append(coming)
            else:
                need = need if taken is None else replace(need, volumes=_merged(taken.volumes, need.volumes))
                same_node = self._given.same_node
                asked = Asked(member, need, place, old, taken, moved=True, same_node=same_node, coming=coming)
                self._asked.append(asked)
        else:
            need = replace(need, volumes=_merged(old.need.volumes, need.volumes))
            if need == old.need or self._given.beside:
                self._same.append(old)
            elif need.whole == old.need.whole:
                self._updated.append(replace(old, need=need))
            else:
                self._asked.append(Asked(member, need, old.place, old, None, moved=False))

    def _taken(self, member: str) -> LeftVolumes | None:
        """Volumes that were set aside, which it takes back."""
        fence = self._given.takes.get(member)
        left = self._books.left.of_member(f"{self._service}.{member}") if fence is not None else []
        found = next((one for one in left if one.fence == fence and one.state == "aside"), None)
        if fence is not None and found is None:
            self._not_there = f"volumes {fence} of {self._service}.{member} are not set aside (any more)"
        return found

    def run(self) -> Iterator[Effect]:
        found: dict[str, str] | None = {}
        reason = ""
        if self._asked:
            found, reason = self._find()
        if found is None:
            yield Refused(self._service, self._members, reason)
            return
        beside = self._given.beside and all(asked.old is not None for asked in self._asked)
        yield from self._hold(found) if beside else self._change(found)

    def refusal(self) -> str:
        """Why it does not fit; empty: it does."""
        return self._find()[1] if self._asked else ""

    # -- the search -------------------------------------------------------------------------------------------------

    def _find(self) -> tuple[dict[str, str] | None, str]:
        books = self._books
        reason = self._not_there or self._too_many()
        if reason:
            return None, reason
        given_back: dict[str, Resources] = {}
        olds = [asked.old for asked in self._asked if asked.old is not None]
        for asked in self._asked:
            if asked.old is not None:
                given_back[asked.old.node] = given_back.get(asked.old.node, NOTHING) + asked.given_back
        for old in olds:
            books.count(old, -1)
        try:
            plan = groups([self._pinned(asked) for asked in self._asked])
            search = Search(books.pool, books.occupied(self._service), given_back)
            found = search.run(plan)
            if found is None:
                return None, explain(plan, search, list(books.pool), books.unusable())
            return found, ""
        except Contradiction as error:
            return None, str(error)
        finally:
            for old in olds:
                books.count(old, 1)

    def _pinned(self, asked: Asked) -> Request:
        """A member that is together with one outside the search goes where that one is."""
        request, together = asked.request, asked.need.together
        if not together or together == asked.member or any(other.member == together for other in self._asked):
            return request
        target = self._books.reservations.get(f"{self._service}.{together}")
        if target is None:
            raise Contradiction(
                f"{asked.member} is to be together with {together}, which has no place and is not asked for"
            )
        if request.pinned and request.pinned != target.node:
            where = f"{together} on {target.node}, but its place is on {request.pinned}"
            raise Contradiction(f"{asked.member} is to be together with {where}")
        return replace(request, pinned=target.node)

    def _too_many(self) -> str:
        new = sum(asked.moved for asked in self._asked)
        room = self._books.addresses.room()
        if new > room:
            return f"needs {new} addresses in {self._books.addresses.network}.0/24: {room} are free; would fit: {room}"
        return ""

    # -- the change -------------------------------------------------------------------------------------------------

    def _hold(self, found: dict[str, str]) -> Iterator[Effect]:
        """Next places, beside the present ones."""
        books = self._books
        cursor = books.addresses.cursor
        for asked in self._asked:
            if before := books.drop_coming(f"{self._service}.{asked.member}"):
                books.addresses.free(before.address)
                books.shelve(before.node)
            coming = self._reservation(asked, found[asked.member])
            books.hold_coming(coming)
            books.shelve(coming.node)
            yield Write(COMING, coming.member_id, coming)
            self._promised.append(coming)
        if books.addresses.cursor != cursor:
            yield Write(ADDRESSES, CURSOR, books.addresses.cursor)
        for coming in self._promised:
            yield Promised(coming.member_id, coming.node, coming.place)
        for same in (*self._updated, *self._same):
            yield _reserved(same, moved=False)

    def _move_in(self, coming: Reservation) -> Iterator[Effect]:
        """The place that was held beside becomes the present one; what was there before is set aside."""
        books, member_id = self._books, coming.member_id
        old = books.reservations[member_id]
        books.drop_coming(member_id)
        books.vacate(old)
        taken = books.left.get(f"{member_id}/{coming.fence}@{coming.node}")
        if old.need.volumes:
            yield from books.left.put(LeftVolumes.outdated(old, coming.node, taken_back=taken is not None))
        books.occupy(coming, fact=True)
        yield Write(RESERVATION, member_id, coming)
        if taken is not None:
            # After the reservation that takes it back, as in :meth:`_change`.
            yield from books.left.drop(taken.key)
        yield _reserved(coming, moved=True, taken_back=taken is not None)
        books.addresses.free(old.address)
        books.shelve(old.node)
        books.shelve(coming.node)
        yield Write(COMING, member_id, None)

    def _change(self, found: dict[str, str]) -> Iterator[Effect]:
        books = self._books
        cursor = books.addresses.cursor
        after: list[Effect] = []
        self._asked = [self._settled(asked, found[asked.member]) for asked in self._asked]
        for coming in self._promised:
            yield from self._move_in(coming)
        for asked in self._asked:
            if asked.old is not None:
                books.vacate(asked.old)
        for asked in self._asked:
            if asked.moved and (before := books.drop_coming(f"{self._service}.{asked.member}")):
                books.addresses.free(before.address)
                books.shelve(before.node)
                after.append(Write(COMING, before.member_id, None))
            if asked.unused is not None and asked.unused.until_wall_s > self._wall_s:
                reason = f"{asked.unused.member_id} was declared anew, with fresh volumes"
                yield from books.left.put(replace(asked.unused, state="aside", reason=reason))
            if asked.moved and asked.old is not None and asked.old.need.volumes:
                node, back = found[asked.member], asked.kept is not None
                yield from books.left.put(LeftVolumes.outdated(asked.old, node, taken_back=back))
            if asked.kept is not None:
                # Written after the reservation that takes it back: a crash in between must not orphan the volumes.
                after += books.left.drop(asked.kept.key)
        for asked in self._asked:
            reservation = self._reservation(asked, found[asked.member])
            books.occupy(reservation)
            yield Write(RESERVATION, reservation.member_id, reservation)
            yield _reserved(reservation, moved=asked.moved, taken_back=asked.kept is not None)
            if asked.moved and asked.old is not None:
                books.addresses.free(asked.old.address)
        for updated in self._updated:
            books.vacate(books.reservations[updated.member_id])
            books.occupy(updated, fact=True)
            yield Write(RESERVATION, updated.member_id, updated)
        for same in (*self._updated, *self._same):
            yield _reserved(same, moved=False)
        for node in {node for asked in self._asked for node in asked.nodes} | {*found.values()}:
            books.shelve(node)
        if books.addresses.cursor != cursor:
            yield Write(ADDRESSES, CURSOR, books.addresses.cursor)
        yield from after

    @cached_property
    def _kept_addresses(self) -> Set[str]:
        """Of volumes that are kept; looked up once for a plan."""
        return self._books.left.addresses()

    def _settled(self, asked: Asked, node: str) -> Asked:
        """Where only the node that it is on will do, nothing is given up."""
        stays = asked.moved and asked.kept is None and asked.old is not None and asked.old.node == node
        if not stays or asked.old is None:
            return asked
        need = replace(asked.need, volumes=_merged(asked.old.need.volumes, asked.need.volumes))
        return replace(asked, moved=False, need=need)

    def _reservation(self, asked: Asked, node: str) -> Reservation:
        member_id = f"{self._service}.{asked.member}"
        if asked.old is not None and not asked.moved:
            return replace(asked.old, need=asked.need, place=asked.place)
        before = [each.fence for each in (asked.old, asked.coming) if each is not None]
        fence = 1 + max(self._books.left.highest_fence(member_id), *before, 0)
        return Reservation(
            service=self._service,
            member=asked.member,
            node=node,
            address=self._books.addresses.take(
                member_id, own=asked.kept.address if asked.kept else "", kept=self._kept_addresses
            ),
            place=asked.place,
            fence=asked.kept.fence if asked.kept else fence,
            need=asked.need,
        )


def as_it_is(books: Books, given: Reserve) -> list[Reserved]:
    """Where each member of the plan has what is asked for already, as when a service says its whole set again: nothing
    is looked for. Empty when something else is wanted of one."""
    found: list[Reserved] = []
    for member, need in given.needs.items():
        old = books.reservations.get(f"{given.service}.{member}")
        if old is None or given.places.get(member, 1) > old.place or need != old.need:
            return []
        found.append(_reserved(old, moved=False))
    return [] if given.beside else found


def _reserved(reservation: Reservation, *, moved: bool, taken_back: bool = False) -> Reserved:
    member_id, place = reservation.member_id, reservation.place
    return Reserved(member_id, reservation.node, reservation.address, moved, place, taken_back)


def _covers(held: Need, need: Need) -> bool:
    """A place that is held is what is asked for; a volume more does no harm."""
    return replace(need, volumes=_merged(held.volumes, need.volumes)) == held


def _merged(old: tuple[Volume, ...], new: tuple[Volume, ...]) -> tuple[Volume, ...]:
    """A volume once given is never lost by a declaration that leaves it out, and never shrinks."""
    volumes = {volume.name: volume for volume in old}
    for volume in new:
        before = volumes.get(volume.name)
        size_mib = volume.size_mib if before is None else max(before.size_mib, volume.size_mib)
        volumes[volume.name] = replace(volume, size_mib=size_mib)
    return tuple(volumes[name] for name in sorted(volumes))

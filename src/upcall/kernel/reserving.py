"""One :class:`~upcall.kernel.events.Reserve`: what of the plan needs a place, the search, and the change as a whole.

For each member one of four things is asked:

    new        no reservation. With kept volumes only their node will do, and they are taken back
    moved      the place number rose: the old place is given up, its volumes are set aside, the node is avoided
    resized    the same place with another amount: only its node will do
    the same   nothing; a wish about where to be applies from the next place on

Nothing is changed before all of it is known to fit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from upcall.kernel.books import Books
from upcall.kernel.events import Effect, Refused, Reserve, Reserved, Write
from upcall.kernel.placement import Contradiction, Request, Search, groups
from upcall.kernel.records import ADDRESSES, CURSOR, RESERVATION, LeftVolumes, Need, Reservation, Volume
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

    @property
    def request(self) -> Request:
        if self.old is not None and not self.moved:
            return Request(self.member, self.need, self.need.whole, pinned=self.old.node)
        if self.kept is not None:
            return Request(self.member, self.need, self.need.whole - self.kept.amount, pinned=self.kept.node)
        return Request(self.member, self.need, self.need.whole, avoid=self.old.node if self.old else "")

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
    def __init__(self, books: Books, given: Reserve) -> None:
        self._books = books
        self._service = given.service
        self._members = tuple(given.needs)
        self._asked: list[Asked] = []
        self._same: list[Reservation] = []
        self._updated: list[Reservation] = []
        for member, need in given.needs.items():
            self._look_at(member, need, given.places.get(member, 1))

    def _look_at(self, member: str, need: Need, place: int) -> None:
        member_id = f"{self._service}.{member}"
        old = self._books.reservations.get(member_id)
        if old is None:
            kept = self._books.left.kept(member_id)
            if kept is not None and self._books.nodes.state(kept.node) == "gone":
                kept = None
            need = need if kept is None else replace(need, volumes=_merged(kept.volumes, need.volumes))
            self._asked.append(Asked(member, need, place, None, kept, moved=True))
        elif place > old.place:
            self._asked.append(Asked(member, need, place, old, None, moved=True))
        else:
            need = replace(need, volumes=_merged(old.need.volumes, need.volumes))
            if need == old.need:
                self._same.append(old)
            elif need.whole == old.need.whole and need.role == old.need.role:
                self._updated.append(replace(old, need=need))
            else:
                self._asked.append(Asked(member, need, old.place, old, None, moved=False))

    def run(self) -> Iterator[Effect]:
        found: dict[str, str] | None = {}
        reason = ""
        if self._asked:
            found, reason = self._find()
        if found is None:
            yield Refused(self._service, self._members, reason)
            return
        yield from self._change(found)

    # -- the search -------------------------------------------------------------------------------------------------

    def _find(self) -> tuple[dict[str, str] | None, str]:
        books = self._books
        reason = self._too_many() or self._over_quota()
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

    def _over_quota(self) -> str:
        more: dict[str, Resources] = {}
        for asked in self._asked:
            extra = asked.need.whole - asked.given_back
            extra = extra - asked.kept.amount if asked.kept else extra
            more[asked.need.role] = more.get(asked.need.role, NOTHING) + extra
        return next(
            (reason for role in sorted(more) if (reason := self._books.accounts.over_quota(role, more[role]))), ""
        )

    # -- the change -------------------------------------------------------------------------------------------------

    def _change(self, found: dict[str, str]) -> Iterator[Effect]:
        books = self._books
        cursor = books.addresses.cursor
        after: list[Effect] = []
        for asked in self._asked:
            if asked.old is not None:
                books.vacate(asked.old)
        for asked in self._asked:
            if asked.moved and asked.old is not None and asked.old.need.volumes:
                aside = LeftVolumes.aside(asked.old, f"{asked.old.member_id} was placed anew")
                yield from books.left.put(aside, None)
            if asked.kept is not None:
                # Written after the reservation that takes it back: a crash in between must not orphan the volumes.
                after += books.left.drop(asked.kept.key)
        for asked in self._asked:
            reservation = self._reservation(asked, found[asked.member])
            books.occupy(reservation)
            yield Write(RESERVATION, reservation.member_id, reservation)
            yield Reserved(reservation.member_id, reservation.node, reservation.address, moved=asked.moved)
            if asked.moved and asked.old is not None:
                books.addresses.free(asked.old.address)
        for updated in self._updated:
            books.vacate(books.reservations[updated.member_id])
            books.occupy(updated, fact=True)
            yield Write(RESERVATION, updated.member_id, updated)
        for same in (*self._updated, *self._same):
            yield Reserved(same.member_id, same.node, same.address, moved=False)
        for node in {node for asked in self._asked for node in asked.nodes} | {*found.values()}:
            books.shelve(node)
        if books.addresses.cursor != cursor:
            yield Write(ADDRESSES, CURSOR, books.addresses.cursor)
        yield from after

    def _reservation(self, asked: Asked, node: str) -> Reservation:
        member_id = f"{self._service}.{asked.member}"
        if asked.old is not None and not asked.moved:
            return replace(asked.old, need=asked.need)
        fence = 1 + max(self._books.left.highest_fence(member_id), asked.old.fence if asked.old else 0)
        return Reservation(
            service=self._service,
            member=asked.member,
            node=node,
            address=self._books.addresses.take(member_id),
            place=asked.place,
            fence=asked.kept.fence if asked.kept else fence,
            need=asked.need,
        )


def _merged(old: tuple[Volume, ...], new: tuple[Volume, ...]) -> tuple[Volume, ...]:
    """A volume once given is never lost by a declaration that leaves it out, and never shrinks."""
    volumes = {volume.name: volume for volume in old}
    for volume in new:
        before = volumes.get(volume.name)
        size_mib = volume.size_mib if before is None else max(before.size_mib, volume.size_mib)
        volumes[volume.name] = replace(volume, size_mib=size_mib)
    return tuple(volumes[name] for name in sorted(volumes))

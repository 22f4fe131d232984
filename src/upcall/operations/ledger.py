"""The ledger: ``handle(input) -> record changes, effects, reply``.

Everything durable is rebuilt from records; ``start`` is the master's start number, from which epochs are made. The
driver commits :attr:`Outcome.changes` and only then performs :attr:`Outcome.effects`, in order; after a start its
first input is :class:`~upcall.operations.inputs.Started`.

An input first changes what it says (a record, an observation); then the touched services *settle*: a list of small
rules looks at records and observations, and each does what is missing, until none finds anything. A rule makes its
writes one at a time, and each is such that a crash after it leaves the rest to be found again.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from upcall.operations import (
    beside,
    consents,
    declarations,
    disruptions,
    ends,
    execution,
    losses,
    maintenance,
    members,
    patience,
    pending_sets,
    places,
    requests,
    why,
)
from upcall.operations.book import Book
from upcall.operations.compaction import compact
from upcall.operations.effects import Outcome, Refused
from upcall.operations.inputs import Input
from upcall.operations.memory import Memory
from upcall.operations.records import MemberRecord, Operation, Record, ServiceRecord
from upcall.operations.table import KINDS
from upcall.operations.views import MemberStatus, MemberView, PendingSet, WantedTask, Why
from upcall.operations.waiting import Judgement

ROUNDS_MAX: Final = 200
"""Rounds of settling; each needs a write of the round before, and chains of writes are short."""


def look(book: Book, service: str) -> None:
    """The rules, in their order, each where there is something that it is about."""
    losses.look(book, service)  # what died, went silent or fell ill gets its operation
    book.memory.dirty.pop(service, None)  # what the first rule wrote is before the eyes of all the others
    if book.indexes.standing:
        maintenance.look(book, service)  # what stands on a draining node gets its stop
    if book.indexes.leaving:
        beside.look(book, service)  # what leaves and cannot be heard is not waited for
    judged: dict[str, Judgement] = {}
    if book.indexes.live.get(service):
        execution.progress(book, service)  # what has begun goes on; what lost its reason is withdrawn
        consents.look(book, service)  # what may be answered is asked
        judged = execution.begin(book, service)  # what may begin begins
    if book.anything_begun(service):
        patience.look(book, service)  # what has begun and cannot end on a silent node wants proof
    members.look(book, service)  # what should run, and is known to have ended, is launched
    places.look(book, service)  # a place that was held and is not needed is called off
    if book.indexes.leaving or book.anything_begun(service):
        ends.signal(book, service)  # what an executing operation ends is told to end
    if book.indexes.live.get(service) and service not in book.memory.dirty:
        # What is looked at again is told then.
        disruptions.explain(book, service, judged)  # who disturbs and has to wait is told why
        why.alert(book, service, judged)  # what is stuck is told to a person, once


class _Dump(msgspec.Struct):
    memory: Memory
    records: list[Record]


class Ledger:
    """A pure state machine: no I/O, no clock, no threads, no randomness."""

    def __init__(self, records: Iterable[Record], *, start: int) -> None:
        self._book = Book(records, Memory(start=start))

    def handle(self, given: Input, now_s: float, wall_s: float) -> Outcome:
        """Takes one input at a monotonic and a wall time. A refused input changes nothing."""
        book, memory = self._book, self._book.memory
        assert now_s >= memory.now_s or memory.started_s is None, "monotonic time never goes back"
        memory.now_s, memory.wall_s = now_s, wall_s
        if memory.started_s is None:
            memory.started_s = now_s
        book.out = Outcome()
        requests.take(book, given)
        book.mark_due()
        self._settle()
        return book.out

    def deadline(self) -> float | None:
        """The monotonic time at which the ledger wants a ``Tick``."""
        return self._book.next_look_s()

    def _settle(self) -> None:
        book = self._book
        touched: set[str] = set()
        for _ in range(ROUNDS_MAX):
            services = sorted(book.memory.dirty)
            book.memory.dirty = {}
            touched.update(services)
            for service in services:
                look(book, service)
            written = len(book.out.changes)
            if book.indexes.standing:
                # Also when no service is touched: a drain of an empty node, a shutdown of nothing.
                maintenance.finish(book)
            if not book.memory.dirty and len(book.out.changes) == written:
                break
        assert not book.memory.dirty, f"the ledger does not settle: {sorted(book.memory.dirty)}"
        compact(book)
        book.memory.dirty = {}
        for service in sorted(touched):
            pending_sets.show(book, service)
            book.forget_service(service)

    @property
    def book(self) -> Book:
        """For those who look closer: the explorer and the tests. Not to be changed from outside."""
        return self._book

    def objection(self, service: str, members: Iterable[str]) -> Refused | None:
        """What :class:`DeclareMembers` with these names would be refused for: for drivers that keep records of their
        own beside, and want none of a set that is refused."""
        return declarations.objection(self._book, service, tuple(members))

    # -- snapshots --------------------------------------------------------------------------------------------------

    # ``now_s`` and ``wall_s``: the moment of the question; without them, of the last input.

    def pending(self, service: str, now_s: float | None = None, wall_s: float | None = None) -> PendingSet:
        self._look_at_clock(now_s, wall_s)
        return pending_sets.pending(self._book, service)

    def operations(self) -> list[Operation]:
        return sorted(self._book.operations.values(), key=lambda o: o.number)

    def live(self, service: str) -> list[Operation]:
        """The service's live operations, oldest first."""
        return self._book.live(service)

    def standing(self) -> list[Operation]:
        """All that is live, and drains and shutdowns that are done and not lifted; oldest first."""
        return self._book.all_live()

    def children(self, operation: str) -> list[Operation]:
        """What was proposed below it, also what has ended."""
        return self._book.below(operation)

    def maintenance(self, node: str) -> Operation | None:
        """The drain of the node, or its removal, until it is lifted."""
        return maintenance.of_node(self._book, node)

    def shutdown(self) -> Operation | None:
        """The shutdown in effect."""
        return self._book.shutdown()

    def operation(self, operation: str) -> Operation | None:
        return self._book.operations.get(operation)

    def made_necessary(self, task: str) -> Operation | None:
        """The operation after which this incarnation was launched, if it is the member's newest."""
        member = self._book.members.get(task.rpartition(".")[0])
        return self._book.operations.get(member.by) if member is not None and member.task == task else None

    def why(self, operation: str, now_s: float | None = None, wall_s: float | None = None) -> Why | None:
        self._look_at_clock(now_s, wall_s)
        found = self._book.operations.get(operation)
        return why.why(self._book, found) if found else None

    def _look_at_clock(self, now_s: float | None, wall_s: float | None) -> None:
        """What has passed since the last input; the next input brings its own time."""
        memory = self._book.memory
        memory.now_s = max(memory.now_s, now_s or 0.0)
        memory.wall_s = memory.wall_s if wall_s is None else wall_s

    def services(self) -> list[ServiceRecord]:
        return [self._book.services[name] for name in sorted(self._book.services)]

    def members(self, service: str = "", now_s: float | None = None) -> list[MemberView]:
        self._look_at_clock(now_s, None)
        names = [service] if service else sorted(self._book.services)
        return [_view(self._book, member.key) for name in names for member in self._book.members_of(name)]

    def target(self, service: str, member: str) -> int:
        """The generation that its next incarnation gets; 0 where there is no such member."""
        found = self._book.members.get(f"{service}.{member}")
        return found.next_generation if found is not None and found.removed is None else 0

    def generations(self, service: str, member: str) -> set[int]:
        """Those of its declarations that it still needs beside the newest: what runs, and what it gets next."""
        found = self._book.members.get(f"{service}.{member}")
        if found is None or found.removed is not None:
            return set()
        needed = {found.next_generation} if found.over else {found.next_generation, found.launched}
        return needed if found.leaving is None else needed | {found.leaving.launched}

    def volumes_until(self, service: str) -> float:
        """Wall time until which what the service left behind can be taken back under its name; 0 when nothing can."""
        return max((m.volumes_until_wall_s for m in self._book.tombstones_of(service)), default=0.0)

    def left_behind(self, service: str, wall_s: float | None = None) -> list[str]:
        """Members of the life of the name that is over whose data can still be taken back, and was not."""
        self._look_at_clock(None, wall_s)
        return declarations.left_behind(self._book, service)

    def lost_behind(self, service: str, wall_s: float | None = None) -> list[str]:
        """Members of that life whose data cannot be taken back, although that of others can."""
        self._look_at_clock(None, wall_s)
        return declarations.lost_behind(self._book, service)

    def left_by(self, service: str) -> str:
        """The package of the life of the name that is over; empty when nothing of one is left."""
        return next((m.package for m in self._book.tombstones_of(service) if m.package), "")

    def leaving(self, service: str, member: str) -> int:
        """The incarnation that runs on beside the current one, until that is back; 0: none does."""
        record = self._book.members.get(f"{service}.{member}")
        return record.leaving.incarnation if record is not None and record.leaving is not None else 0

    def replaces(self, service: str, member: str, place: int) -> bool:
        """Whether a place of the member follows another of the same life of its service."""
        record = self.book.members.get(f"{service}.{member}")
        return record is not None and place > record.first_place

    def may_return(self, service: str, member: str, wall_s: float) -> bool:
        """It is a member, or was one and can be taken back with its volumes."""
        found = self._book.members.get(f"{service}.{member}")
        return found is not None and (found.removed is None or found.volumes_until_wall_s > wall_s)

    def wanted(self, service: str = "") -> list[WantedTask]:
        """What should run: of one service, or the whole set, for the substrate after a start; of a member of which two
        run the older one first."""
        tasks = [
            WantedTask(
                service=m.service,
                member=m.name,
                incarnation=m.incarnation,
                place=m.place,
                generation=m.launched,
                beside=m.leaving is not None,
            )
            for m in requests.wanted(self._book, service)
        ]
        tasks += [
            WantedTask(
                service=m.service,
                member=m.name,
                incarnation=m.leaving.incarnation,
                place=m.leaving.place,
                generation=m.leaving.launched,
            )
            for m in beside.stays(self._book)
            if m.leaving is not None and service in ("", m.service)
        ]
        return sorted(tasks)

    def records(self) -> list[Record]:
        book = self._book
        return [
            known[key]
            for known in (book.services, book.members, book.operations, book.consents)
            for key in sorted(known)
        ]

    def dump(self) -> bytes:
        """Everything, memory too: :meth:`load` goes on identically."""
        return msgspec.json.encode(_Dump(self._book.memory, self.records()))

    def fork(self) -> "Ledger":
        """A copy that goes its own way: for questions of the kind *what if*."""
        copy = Ledger((), start=self._book.memory.start)
        copy._book = self._book.copy()
        return copy

    @classmethod
    def load(cls, data: bytes) -> "Ledger":
        dumped = msgspec.json.decode(data, type=_Dump)
        ledger = cls(dumped.records, start=dumped.memory.start)
        ledger._book.remember(dumped.memory)
        return ledger


def _view(book: Book, key: str) -> MemberView:
    member = book.members[key]
    seen = book.seen(member)
    begun = book.begun_on(member)
    live = begun or next(iter(book.live_on(member)), None)
    return MemberView(
        service=member.service,
        name=member.name,
        incarnation=member.incarnation,
        place=member.place,
        first_place=member.first_place,
        starts=member.incarnation - member.starts_before,
        role=member.role,
        taken_back=member.taken_back,
        generation=member.launched or member.generation,
        wanted_generation=member.generation,
        target=member.next_generation,
        revision=member.revision,
        status=_status(book, key),
        observed=seen.state if seen else "",
        node=member.node,
        back=not member.hooks or member.back >= member.incarnation,
        reason=members.held_words(book, member)
        or (places.refusal(book, member) and member.over and places.words(book, member))
        or (member.ended_how if member.failed else "")
        or members.unreturned(book, member)
        or (f"{key}.{member.leaving.incarnation} runs on until it is back" if member.leaving is not None else "")
        or _silent_node(book, member)
        or (seen.reason if seen else "")
        or (member.ended_how if member.over else ""),
        operation=live.id if live else "",
        initialised=member.initialised,
        ended_times=members.ends_again(book, member),
        ended_how=member.ended_how,
        without_data=member.over and member.without_data,
        leaving=member.leaving.incarnation if member.leaving is not None else 0,
        pause_s=max(0.0, members.launch_pause_s(book, member) - book.now_s) if member.over else 0.0,
    )


def _silent_node(book: Book, member: MemberRecord) -> str:
    """Why nothing is known of one that runs."""
    if member.over or member.incarnation == 0 or book.node_hears(member):
        return ""
    return f"node {member.node} is {book.node_state(member.node)}"


def _status(book: Book, key: str) -> MemberStatus:
    member = book.members[key]
    begun = book.begun_on(member)
    if begun is not None and KINDS[begun.kind].shape == "removal":
        return "leaving"
    if member.over and members.held_words(book, member):
        return "held"
    if member.at_its_end:
        return "failed" if member.failed else "finished"
    if not member.started or member.incarnation == 0:
        return "declared"
    if member.over:
        return "down"
    if ends.ending_of(book, member) is not None:
        return "stopping"
    seen = book.seen(member)
    if seen is None or not book.node_hears(member):
        return "unknown"
    if book.well(member):
        return "ready" if book.ready(member) else "settling"
    return "unready" if seen.state == "unready" else "launching"

"""The records and what was observed, in memory; every write passes through here.

*Records* survive; *memory* (what was seen, when a question was asked, which epoch it is) is of this start of the
master only and is learned again. The split is what makes a crash harmless: everything that must not be forgotten is
a record, and every effect can be derived from records and observations once more.

The book also knows what an input touched: each write marks its service, and only marked services are looked at.
"""

import heapq
from collections.abc import Iterable, Iterator
from typing import Final, Literal

from msgspec.structs import replace

from upcall.operations.effects import Effect, Outcome
from upcall.operations.indexes import Indexes
from upcall.operations.memory import HostSeen, MemberMemory, Memory, NodeSeen, OperationMemory, Seen
from upcall.operations.news import Moved
from upcall.operations.records import (
    ConsentRecord,
    Delete,
    Epoch,
    Firmness,
    Given,
    MemberRecord,
    Operation,
    Policy,
    Put,
    Record,
    ServiceRecord,
)
from upcall.operations.table import KINDS, NoTransition, State, Word, next_state

OPERATIONS_KEPT_MAX: Final = 1000
"""Ended operations kept for people to read; older ones remain in the journal."""
REASON_CHARS_MAX: Final = 500
"""Of words that others gave us."""


class Book:
    """Reads are dictionary look-ups; writes go through :meth:`put`, :meth:`delete` and :meth:`advance`."""

    def __init__(self, records: Iterable[Record], memory: Memory) -> None:
        self.memory = memory
        self.services: dict[str, ServiceRecord] = {}
        self.members: dict[str, MemberRecord] = {}
        self.operations: dict[str, Operation] = {}
        self.consents: dict[str, ConsentRecord] = {}
        self.indexes = Indexes()
        self._dues: list[tuple[float, str]] = []
        """A heap over ``memory.due``; what is not there any more is passed over."""
        self.out = Outcome()
        self.remember(memory)
        # Indexes are kept in the order of creation, which for operations is that of their numbers.
        for record in sorted(records, key=lambda r: r.number if isinstance(r, Operation) else 0):
            self._file(record)

    def copy(self) -> "Book":
        """Records are immutable, so only what holds them is copied."""
        copy = Book((), self.memory.copy())
        copy.services, copy.members = dict(self.services), dict(self.members)
        copy.operations, copy.consents = dict(self.operations), dict(self.consents)
        copy.indexes = self.indexes.copy()
        return copy

    def remember(self, memory: Memory) -> None:
        self.memory = memory
        self._dues = [(at_s, service) for service, at_s in memory.due.items()]
        heapq.heapify(self._dues)

    # -- time -------------------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        return self.memory.now_s

    @property
    def wall_s(self) -> float:
        return self.memory.wall_s

    def since_s(self, operation: Operation) -> float:
        """When it came into its state; after a start of the master: the start."""
        since_s = self.memory.operations[operation.id].since_s
        return since_s if since_s is not None else self.memory.started_s or 0.0

    def first_launched_s(self, operation: Operation) -> float:
        """When it first launched what it brings back; until it has: when it came into its state."""
        first_s = self.memory.operations[operation.id].first_launched_s
        return first_s if first_s is not None else self.since_s(operation)

    def look_at(self, service: str, at_s: float) -> None:
        """Asks for a look at the service at this time; the earliest wins."""
        due = self.memory.due
        if service not in due or at_s < due[service]:
            due[service] = at_s
            heapq.heappush(self._dues, (at_s, service))

    def next_look_s(self) -> float | None:
        """The earliest look that was asked for."""
        due = self.memory.due
        while self._dues:
            at_s, service = self._dues[0]
            if due.get(service) == at_s:
                return at_s
            heapq.heappop(self._dues)
        return None

    def mark_due(self) -> None:
        """Marks the services that are to be looked at by now."""
        while (at_s := self.next_look_s()) is not None and at_s <= self.now_s:
            _, service = heapq.heappop(self._dues)
            del self.memory.due[service]
            self.mark(service)

    # -- reads ------------------------------------------------------------------------------------------------------

    def members_of(self, service: str) -> list[MemberRecord]:
        """The service's members, without tombstones."""
        members = self.members
        return [m for key in self.indexes.members_of.get(service, ()) if (m := members[key]).removed is None]

    def down(self, service: str) -> list[MemberRecord]:
        """Those of them whose current incarnation has ended, or that have none yet."""
        members = self.members
        keys = self.indexes.members_of.get(service, ())
        return [m for key in keys if (m := members[key]).ended >= m.incarnation and m.removed is None]

    def with_next_place(self, service: str) -> list[MemberRecord]:
        """Those of them for which another place was asked for."""
        memory, members = self.memory.members, self.members
        return [
            member
            for key in self.indexes.members_of.get(service, ())
            if memory[key].next_place is not None and (member := members[key]).removed is None
        ]

    def covered(self, operation: Operation) -> list[MemberRecord]:
        """Those of its service that an operation on members touches: those that it names, or all of one that goes."""
        service = operation.target.service
        if operation.kind == "uninstall" and operation.live:
            return self.members_of(service)
        found = []
        for name in sorted(operation.target.members):
            member = self.members.get(f"{service}.{name}")
            if member is not None and member.removed is None:
                found.append(member)
        return found

    def not_well(self, service: str) -> list[MemberRecord]:
        """Those of them that are not :meth:`well`. Asked at every look, and most are: so it is written out."""
        members, memory, nodes = self.members, self.memory.members, self.memory.nodes
        found = list[MemberRecord]()
        for key in self.indexes.members_of.get(service, ()):
            member, seen = members[key], memory[key].seen
            if member.removed is not None:
                continue
            node = nodes.get(member.node)
            hears = node is None or node.seen is None or node.seen.state == "up"
            ready = seen is not None and seen.state == "ready" and seen.incarnation == member.incarnation
            if not ready or not hears or member.ended >= member.incarnation:
                found.append(member)
        return found

    def tombstones_of(self, service: str) -> list[MemberRecord]:
        """What an earlier life of the name has left."""
        members = self.members
        return [m for key in self.indexes.members_of.get(service, ()) if (m := members[key]).removed is not None]

    def members_on(self, node: str) -> list[MemberRecord]:
        """Members that were seen on the node last, tombstones too."""
        return [self.members[key] for key in self.indexes.members_on.get(node, ())]

    def leaving_of(self, service: str) -> list[MemberRecord]:
        """Those of the service. Asked at every look, and nearly always there is none."""
        return [m for m in self.members_of(service) if m.leaving is not None] if self.indexes.leaving else []

    def leaving(self) -> list[MemberRecord]:
        """Members of which an older incarnation runs on beside the current one."""
        return [self.members[key] for key in self.indexes.leaving]

    def operations_on(self, member: MemberRecord) -> Iterator[Operation]:
        """Every operation on record that names the member, oldest first."""
        for operation in self.indexes.on_member.get(member.key, ()):
            yield self.operations[operation]

    def live_on(self, member: MemberRecord) -> list[Operation]:
        """Those of them that are live; few, however often it was restarted before."""
        known = self.indexes.live_on.get(member.key)
        return list(map(self.operations.__getitem__, known)) if known else []

    def live(self, service: str) -> list[Operation]:
        """The service's live operations, oldest first."""
        known = self.indexes.live.get(service)
        return list(map(self.operations.__getitem__, known)) if known else []

    def begun(self, service: str) -> list[Operation]:
        """Those of them that have begun and take something away. Asked of every member at every look, and most services
        have none."""
        known = self.indexes.begun.get(service)
        return list(map(self.operations.__getitem__, known)) if known else []

    def anything_begun(self, service: str) -> bool:
        """Something that has begun may take one of its members away."""
        return bool(self.indexes.begun.get(service)) or self.shutdown() is not None

    def all_live(self) -> list[Operation]:
        """Every live operation, and those that stand, oldest first."""
        return sorted((self.operations[o] for o in self.indexes.all_live), key=lambda o: o.number)

    def standing(self) -> list[Operation]:
        """Maintenance and shutdown that are not lifted: they stay in effect after they are done."""
        return [self.operations[o] for o in self.indexes.standing] if self.indexes.standing else []

    def children(self, parent: Operation) -> list[Operation]:
        """Its live children."""
        return [o for o in self.below(parent.id) if o.live]

    def below(self, parent: str) -> list[Operation]:
        """Its children on record, also those that have ended, oldest first."""
        return [self.operations[o] for o in self.indexes.below.get(parent, ())]

    def seen(self, member: MemberRecord) -> Seen | None:
        """What was observed of the *current* incarnation since the master's start."""
        seen = self.memory.members[member.key].seen
        return seen if seen is not None and seen.incarnation == member.incarnation else None

    def node_state(self, node: str) -> Literal["", "up", "silent", "gone"]:
        known = self.node_seen(node)
        return known.state if known else ""

    def node_seen(self, node: str) -> NodeSeen | None:
        known = self.memory.nodes.get(node)
        return known.seen if known is not None else None

    def node_hears(self, member: MemberRecord) -> bool:
        """Nobody says that its node is silent or gone."""
        known = self.memory.nodes.get(member.node)
        return known is None or known.seen is None or known.seen.state == "up"

    def ready(self, member: MemberRecord) -> bool:
        """Known ready, and what its service does then is done: what is not known counts as down."""
        return self.well(member) and (not member.hooks or member.back >= member.incarnation)

    def well(self, member: MemberRecord) -> bool:
        """Known ready as a process; its service's hooks may not have returned."""
        seen = self.seen(member)
        return seen is not None and seen.state == "ready" and not member.over and self.node_hears(member)

    def covers(self, operation: Operation, member: MemberRecord) -> bool:
        """The operation touches the member (whichever incarnation)."""
        if KINDS[operation.kind].shape == "system":
            return True
        if operation.target.service != member.service:
            return False
        return member.name in operation.target.members or (operation.kind == "uninstall" and operation.live)

    def begun_on(self, member: MemberRecord) -> Operation | None:
        """The begun operation that takes the member away, if any; at most one, but for shutdown."""
        for found in self.begun(member.service):
            if self.covers(found, member):
                elsewhere = KINDS[found.kind].gives_back == "elsewhere"
                if elsewhere and 0 < found.target.incarnation_of(member.name) < member.incarnation:
                    continue  # It ends what is left at the place before, and takes nothing of what is there instead.
                return found
        return self.shutdown()

    def shutdown(self) -> Operation | None:
        """The shutdown in effect."""
        for operation in self.standing() if self.indexes.standing else ():
            if KINDS[operation.kind].shape == "system" and operation.state in ("executing", "done"):
                return operation
        return None

    def epoch(self, service: str) -> Epoch:
        known = self.memory.services.get(service)
        return Epoch(self.memory.start, known.epoch if known is not None else 1)

    def host(self, service: str) -> HostSeen | None:
        known = self.memory.services.get(service)
        return known.host if known is not None else None

    def answer(self, operation: Operation) -> Given | None:
        """The recorded answer, if it is of this start."""
        consent = self.consents.get(operation.target.service)
        if consent is None or consent.epoch.start != self.memory.start:
            return None
        return consent.answers.get(operation.id)

    def policy(self, service: str) -> Policy:
        known = self.services.get(service)
        return known.policy if known else Policy()

    def firmness(self, verb: str) -> Firmness:
        return self.memory.firmness.get(verb, self.memory.firmness.get("*", "enforced"))

    # -- writes -----------------------------------------------------------------------------------------------------

    def put(self, record: Record) -> None:
        """One durable write. The version rises with each."""
        old = self._stored(record)
        record = replace(record, version=(old.version if old else 0) + 1)
        self._file(record)
        self.out.changes.append(Put(record))
        self._mark(record)

    def delete(self, record: Record) -> None:
        self._unfile(record)
        self.out.changes.append(Delete(str(record.__struct_config__.tag), record.key))

    def advance(self, operation: Operation, word: Word, *, outcome: str = "", **changes: object) -> Operation:
        """Moves an operation on as the table says, in one write."""
        current = self.operations[operation.id]
        state = next_state(current.kind, current.class_, current.state, word)
        if state is None:
            raise NoTransition(f"{current.id} ({current.class_} {current.kind}) is {current.state}: no {word!r} there")
        return self._move(current, word, state, outcome, changes)

    def tell_once(self, operation: Operation) -> None:
        """Notes that a person was told."""
        self.put(replace(self.operations[operation.id], alerted=True))

    def allows(self, operation: Operation, word: Word) -> bool:
        return next_state(operation.kind, operation.class_, operation.state, word) is not None

    def emit(self, effect: Effect) -> None:
        self.out.effects.append(effect)

    def new_operation_id(self) -> str:
        return f"op-{self.indexes.numbers[-1] + 1 if self.indexes.numbers else 1}"

    def forget_service(self, service: str) -> None:
        """What is remembered of it goes with its record; for as long as its host is there, no epoch is used twice."""
        known = self.memory.services.get(service)
        if known is not None and service not in self.services and not (known.host and known.host.subscribed):
            del self.memory.services[service]

    def mark(self, service: str) -> None:
        """The service is to be looked at before this input is done."""
        self.memory.dirty[service] = None

    def mark_all(self) -> None:
        for service in {*self.services, *self.indexes.members_of, *self.indexes.live}:
            self.mark(service)

    def mark_node(self, node: str) -> None:
        for member in self.members_on(node):
            self.mark(member.service)
        for key in self.indexes.leaving:
            if (leaving := self.members[key].leaving) is not None and leaving.node == node:
                self.mark(self.members[key].service)
        if (known := self.memory.nodes.get(node)) is not None:
            for service in known.keeps:
                self.mark(service)
            known.keeps = ()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _move(
        self, current: Operation, word: Word, state: State, outcome: str, changes: dict[str, object]
    ) -> Operation:
        moved = replace(current, state=state, since_wall_s=self.wall_s, outcome=outcome or current.outcome, **changes)
        memory = self.memory.operations[moved.id]
        memory.since_s = self.now_s
        if state != "open":
            memory.question = memory.said = memory.last_word = None
        self.put(moved)
        self.emit(Moved(operation=self.operations[moved.id], before=current.state, word=word, outcome=outcome))
        return self.operations[moved.id]

    def _stored(self, record: Record) -> Record | None:
        match record:
            case ServiceRecord():
                return self.services.get(record.key)
            case MemberRecord():
                return self.members.get(record.key)
            case Operation():
                return self.operations.get(record.key)
            case ConsentRecord():
                return self.consents.get(record.key)

    def _mark(self, record: Record) -> None:
        match record:
            case ServiceRecord():
                self.mark(record.name)
            case MemberRecord():
                self.mark(record.service)
                if self.shutdown() is not None:
                    self.mark_all()
            case ConsentRecord():
                self.mark(record.service)
            case Operation():
                shape = KINDS[record.kind].shape
                if shape == "system":
                    self.mark_all()
                elif shape == "node":
                    for node in record.target.nodes or (record.target.node,):
                        self.mark_node(node)
                    for child in self.children(record):
                        self.mark(child.target.service)
                    self.mark("")
                else:
                    self.mark(record.target.service)

    def _file(self, record: Record) -> None:
        match record:
            case ServiceRecord():
                self.services[record.key] = record
            case ConsentRecord():
                self.consents[record.key] = record
            case MemberRecord():
                before = self.members.get(record.key)
                self.indexes.file_member(record, before)
                self.members[record.key] = record
                if before is None or (record.removed is not None and before.removed is None):
                    self.memory.members[record.key] = MemberMemory()
            case Operation():
                known = self.operations.get(record.key)
                self.indexes.file_operation(record, known)
                self.operations[record.key] = record
                if known is None:
                    self.memory.operations[record.key] = OperationMemory()

    def _unfile(self, record: Record) -> None:
        match record:
            case ServiceRecord():
                self.services.pop(record.key, None)
            case ConsentRecord():
                self.consents.pop(record.key, None)
            case MemberRecord():
                self.indexes.unfile_member(self.members.pop(record.key))
                del self.memory.members[record.key]
            case Operation():
                self.indexes.unfile_operation(self.operations.pop(record.key))
                del self.memory.operations[record.key]

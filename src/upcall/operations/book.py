"""The records and what was observed, in memory; every write passes through here.

*Records* survive; *memory* (what was seen, when a question was asked, which epoch it is) is of this start of the
master only and is learned again. The split is what makes a crash harmless: everything that must not be forgotten is
a record, and every effect can be derived from records and observations once more.

The book also knows what an input touched: each write marks its service, and only marked services are looked at.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Literal

from msgspec.structs import replace

from upcall.operations.effects import Effect, Event, Outcome
from upcall.operations.memory import Memory, Seen
from upcall.operations.records import (
    ConsentRecord,
    Delete,
    Epoch,
    Firmness,
    Given,
    MemberRecord,
    Operation,
    Put,
    Record,
    ServiceRecord,
    next_operation_id,
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
        self._members_of: dict[str, dict[str, None]] = {}
        self._on_member: dict[str, dict[str, None]] = {}
        self._live: dict[str, dict[str, None]] = {}
        self._standing: dict[str, None] = {}
        self.out = Outcome()
        # Indexes are kept in the order of creation, which for operations is that of their numbers.
        for record in sorted(records, key=lambda r: r.number if isinstance(r, Operation) else 0):
            self._file(record)

    def copy(self) -> "Book":
        """Records are immutable, so only what holds them is copied."""
        memory = replace(self.memory)
        for name in memory.__struct_fields__:
            value = getattr(memory, name)
            if isinstance(value, dict):
                setattr(memory, name, dict(value))
        copy = Book((), memory)
        copy.services, copy.members = dict(self.services), dict(self.members)
        copy.operations, copy.consents = dict(self.operations), dict(self.consents)
        copy._members_of = {key: dict(ids) for key, ids in self._members_of.items()}
        copy._on_member = {key: dict(ids) for key, ids in self._on_member.items()}
        copy._live = {key: dict(ids) for key, ids in self._live.items()}
        copy._standing = dict(self._standing)
        return copy

    # -- time -------------------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        return self.memory.now_s

    @property
    def wall_s(self) -> float:
        return self.memory.wall_s

    def since_s(self, operation: Operation) -> float:
        """When it came into its state; after a start of the master: the start."""
        return self.memory.since.get(operation.id, self.memory.started_s or 0.0)

    def look_at(self, service: str, at_s: float) -> None:
        """Asks for a look at the service at this time; the earliest wins."""
        self.memory.due[service] = min(at_s, self.memory.due.get(service, at_s))

    # -- reads ------------------------------------------------------------------------------------------------------

    def members_of(self, service: str) -> list[MemberRecord]:
        """The service's members, without tombstones."""
        members = self.members
        return [m for key in self._members_of.get(service, ()) if (m := members[key]).removed is None]

    def operations_on(self, member: MemberRecord) -> Iterator[Operation]:
        """Every operation on record that names the member, oldest first."""
        for operation in self._on_member.get(member.key, ()):
            yield self.operations[operation]

    def live(self, service: str) -> list[Operation]:
        """The service's live operations, oldest first."""
        operations = self.operations
        return [operations[o] for o in self._live.get(service, ())]

    def standing(self) -> list[Operation]:
        """Maintenance and shutdown that are not lifted: they stay in effect after they are done."""
        return [self.operations[o] for o in self._standing]

    def children(self, parent: Operation) -> list[Operation]:
        """Its live children."""
        live = (self.operations[o] for ids in self._live.values() for o in ids)
        return sorted((o for o in live if o.parent == parent.id), key=lambda o: o.number)

    def seen(self, member: MemberRecord) -> Seen | None:
        """What was observed of the *current* incarnation since the master's start."""
        seen = self.memory.seen.get(member.key)
        return seen if seen is not None and seen.incarnation == member.incarnation else None

    def node_state(self, node: str) -> Literal["", "up", "silent", "gone"]:
        known = self.memory.nodes.get(node)
        return known.state if known else ""

    def node_hears(self, member: MemberRecord) -> bool:
        """Nobody says that its node is silent or gone."""
        return self.node_state(member.node) not in ("silent", "gone")

    def ready(self, member: MemberRecord) -> bool:
        """Known ready: what is not known counts as down."""
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
        for found in self.live(member.service):
            if found.begun and KINDS[found.kind].shape != "plan" and self.covers(found, member):
                return found
        return self.shutdown()

    def shutdown(self) -> Operation | None:
        """The shutdown in effect."""
        for operation in self.standing():
            if KINDS[operation.kind].shape == "system" and operation.state in ("executing", "done"):
                return operation
        return None

    def epoch(self, service: str) -> Epoch:
        return Epoch(self.memory.start, self.memory.epochs.get(service, 1))

    def answer(self, operation: Operation) -> Given | None:
        """The recorded answer, if it is of this start."""
        consent = self.consents.get(operation.target.service)
        if consent is None or consent.epoch.start != self.memory.start:
            return None
        return consent.answers.get(operation.id)

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
        if isinstance(record, Operation):
            for known in (self.memory.since, self.memory.notices, self.memory.first_launched):
                known.pop(record.id, None)

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

    def event(
        self, kind: str, subject: str, text: str, /, *, service: str = "", operation: str = "", **data: object
    ) -> None:
        self.emit(Event(kind=kind, subject=subject, text=text, service=service, operation=operation, data=dict(data)))

    def new_operation_id(self) -> str:
        return next_operation_id(self.operations)

    def mark(self, service: str) -> None:
        """The service is to be looked at before this input is done."""
        self.memory.dirty[service] = None

    def mark_all(self) -> None:
        for service in {*self.services, *self._members_of, *self._live}:
            self.mark(service)

    def mark_node(self, node: str) -> None:
        for member in self.members.values():
            if member.node == node:
                self.mark(member.service)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _move(
        self, current: Operation, word: Word, state: State, outcome: str, changes: dict[str, object]
    ) -> Operation:
        moved = replace(current, state=state, since_wall_s=self.wall_s, outcome=outcome or current.outcome, **changes)
        self.memory.since[moved.id] = self.now_s
        if state != "open":
            self.memory.questions.pop(moved.id, None)
            self.memory.said.pop(moved.id, None)
        self.put(moved)
        self.event(
            "operation",
            moved.id,
            f"{current.state} -> {state}: {word}" + (f": {outcome}" if outcome else ""),
            service=moved.target.service,
            operation=moved.id,
            **{"kind": moved.kind, "class": moved.class_, "from": current.state, "to": state, "word": word},
        )
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
                    self.mark_node(record.target.node)
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
                self.members[record.key] = record
                known = self._members_of.setdefault(record.service, {})
                if record.key not in known:
                    self._members_of[record.service] = dict.fromkeys(sorted([*known, record.key]))
            case Operation():
                self.operations[record.key] = record
                for member in record.target.members:
                    self._on_member.setdefault(f"{record.target.service}.{member}", {})[record.id] = None
                shape = KINDS[record.kind].shape
                if shape in ("node", "system"):
                    _keep(self._standing, record.id, stays=record.state in ("open", "executing", "done"))
                else:
                    _keep(self._live.setdefault(record.target.service, {}), record.id, stays=record.live)

    def _unfile(self, record: Record) -> None:
        match record:
            case ServiceRecord():
                self.services.pop(record.key, None)
            case ConsentRecord():
                self.consents.pop(record.key, None)
            case MemberRecord():
                self.members.pop(record.key, None)
                self._members_of.get(record.service, {}).pop(record.key, None)
            case Operation():
                self.operations.pop(record.key, None)
                for member in record.target.members:
                    self._on_member.get(f"{record.target.service}.{member}", {}).pop(record.id, None)
                self._live.get(record.target.service, {}).pop(record.id, None)
                self._standing.pop(record.id, None)


def _keep(index: dict[str, None], key: str, *, stays: bool) -> None:
    if stays:
        index[key] = None
    else:
        index.pop(key, None)

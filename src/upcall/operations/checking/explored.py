"""When two states are one: what the explorer compares.

Numbers of incarnations and operations count from the current ones, ended operations that nothing derives from are
left out, times are relative to now and cut off where no deadline reaches, and versions, epochs and texts do not
count. Whatever the ledger can decide by is kept.
"""

from typing import Final

from upcall.operations.book import Book
from upcall.operations.ledger import Ledger
from upcall.operations.records import MemberRecord, Operation
from upcall.operations.table import KINDS

AGE_S_MAX: Final = 100.0
"""Older is the same: every deadline of the explored world is shorter."""


def canonical(ledger: Ledger) -> object:
    book = ledger.book
    kept = [o for o in sorted(book.operations.values(), key=lambda o: o.number) if _matters(book, o)]
    names = {operation.id: i for i, operation in enumerate(kept)}
    return (
        tuple((s.name, s.minimum) for s in book.services.values()),
        tuple(_member(book, m, names) for m in sorted(book.members.values(), key=lambda m: m.key)),
        tuple(_operation(book, o, names) for o in kept),
        tuple((name, book.node_state(name)) for name in sorted(book.memory.nodes)),
    )


def _matters(book: Book, operation: Operation) -> bool:
    if operation.live or (KINDS[operation.kind].shape in ("node", "system") and operation.state == "done"):
        return True
    for member in book.members.values():
        if operation.id in (member.by, member.ended_by):
            return True
        if operation.target.incarnation_of(member.name) == member.incarnation > 0:
            return True
    return False


def _member(book: Book, member: MemberRecord, names: dict[str, int]) -> object:
    seen, memory = book.seen(member), book.memory.members[member.key]
    crashes, place = memory.crashes, memory.next_place
    return (
        member.name,
        member.incarnation > 0,
        member.over,
        names.get(member.ended_by, -1) if member.over else -2,
        names.get(member.by, -1),
        member.started,
        member.initialised,
        member.hooks and member.back >= member.incarnation,
        member.finished,
        member.failed,
        member.removed is not None,
        member.place,
        member.node,
        (member.generation, member.next_generation, member.launched, member.revision),
        (member.leaving.place, member.leaving.node, memory.leaving_signalled) if member.leaving else None,
        seen.state if seen else "",
        memory.signalled == member.incarnation,
        _age(book, memory.launched_s) if seen and seen.state != "ready" else None,
        (crashes.count, _age(book, crashes.last_s), crashes.over, crashes.generation == member.launched)
        if crashes
        else None,
        (_age(book, seen.unwell_s), _age(book, seen.since_s)) if seen and seen.unwell_s is not None else None,
        (place.node, place.held, place.reason) if place is not None else None,
    )


def _operation(book: Book, operation: Operation, names: dict[str, int]) -> object:
    memory = book.memory.operations[operation.id]
    question = memory.question if operation.state == "open" else None
    given, word = book.answer(operation), memory.last_word
    live = operation.live
    return (
        operation.kind,
        operation.class_,
        operation.state,
        tuple((m, _relative(book, operation, m)) for m in operation.target.members),
        operation.nodes or operation.target.node,
        names.get(operation.parent, -1),
        operation.forced is not None,
        operation.choice,
        operation.revision,
        operation.paused is not None,
        operation.removes_node,
        _age(book, book.since_s(operation)) if live and _waits_by_the_clock(operation) else None,
        _age(book, operation.deadline_wall_s)
        if operation.kind != "maintenance"
        and (operation.state == "open" or (live and operation.on_deadline == "force"))
        else None,
        _age(book, memory.first_launched_s) if live else None,
        operation.prepared,
        question.stands if question else None,
        word.verdict if word and operation.kind == "lost" else None,
        (given.verdict, _age(book, given.until_s), _counted(book, given.counts_on)) if given and live else None,
    )


def _waits_by_the_clock(operation: Operation) -> bool:
    """Something happens to it when it is old enough (the explored service has data: its silence changes nothing)."""
    return operation.class_ == "cure" or operation.kind == "lost" or operation.begun


def _relative(book: Book, operation: Operation, name: str) -> int | None:
    named = operation.target.incarnation_of(name)
    member = book.members.get(f"{operation.target.service}.{name}")
    return named - member.incarnation if named and member else None


def _counted(book: Book, tasks: tuple[str, ...]) -> tuple[str, ...]:
    current = {member.task for member in book.members.values()}
    return tuple(task.rsplit(".", 1)[0] for task in tasks if task in current)


def _age(book: Book, at_s: float | None) -> float | None:
    return None if at_s is None else max(-AGE_S_MAX, round(at_s - book.now_s, 3))

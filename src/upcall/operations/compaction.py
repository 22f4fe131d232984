"""History is bounded: ended operations beyond a number are forgotten here (the journal keeps them).

Never those that something still derives from: a drain, stop or shutdown that is not lifted, the operation that ended
a member's last incarnation or began its current one, and the highest number, from which the next one is made. A member
that ends again and again has its latest losses on record, however long that goes on: it pushes nobody else's history
out.
"""

from typing import Final

from upcall.operations.book import OPERATIONS_KEPT_MAX, Book
from upcall.operations.declarations import TOMBSTONES_MAX
from upcall.operations.records import MemberRecord, Operation, Put, RecordChange

LOOKED_AT_EACH: Final = 4
"""For each new operation so many old ones are looked at: history shrinks faster than it grows, and an input that adds
nothing to it pays nothing."""


LOSSES_KEPT_MAX: Final = 20
"""Of one member."""


def forget_losses(book: Book, member: MemberRecord) -> None:
    """Before the next one is proposed."""
    losses = [o for o in book.operations_on(member) if o.kind == "lost" and not o.live]
    surplus = max(0, len(losses) + 1 - LOSSES_KEPT_MAX)
    for operation in losses[:surplus]:
        if operation.number != book.indexes.numbers[-1] and not _is_needed(book, operation):
            book.delete(operation)


def compact(book: Book) -> None:
    if len(book.operations) > OPERATIONS_KEPT_MAX and (new := sum(map(_is_new_operation, book.out.changes))):
        _forget_operations(book, LOOKED_AT_EACH * new)
    surplus = len(book.indexes.tombstones) - TOMBSTONES_MAX
    if surplus > 0 and any(_is_tombstone(change) for change in book.out.changes):
        _forget_tombstones(book, surplus)


def _forget_operations(book: Book, most: int) -> None:
    """The oldest first, from where the last look ended; after the newest it begins again."""
    memory = book.memory
    numbers = book.indexes.after(memory.compacted, most)
    for number in numbers:
        if len(book.operations) <= OPERATIONS_KEPT_MAX:
            return
        memory.compacted = number
        operation = book.operations[f"op-{number}"]
        if not _is_needed(book, operation):
            book.delete(operation)
    if len(numbers) < most:
        memory.compacted = 0


def _is_new_operation(change: RecordChange) -> bool:
    return isinstance(change, Put) and isinstance(change.record, Operation) and change.record.version == 1


def _is_tombstone(change: RecordChange) -> bool:
    return isinstance(change, Put) and isinstance(change.record, MemberRecord) and change.record.removed is not None


def _is_needed(book: Book, operation: Operation) -> bool:
    if operation.live or book.indexes.named(operation.id) or book.children(operation):
        return True
    if operation.kind in ("maintenance", "shutdown"):
        return operation.state == "done"
    members = (book.members.get(f"{operation.target.service}.{name}") for name in operation.target.members)
    return any(
        member is not None and operation.target.incarnation_of(member.name) == member.incarnation > 0
        for member in members
    )


def _forget_tombstones(book: Book, surplus: int) -> None:
    """The oldest whose volumes cannot be taken back any more: nothing of theirs is left to be mistaken for."""
    gone = sorted(
        (m for key in book.indexes.tombstones if book.wall_s >= (m := book.members[key]).volumes_until_wall_s),
        key=lambda m: (m.volumes_until_wall_s, m.key),
    )
    for member in gone[:surplus]:
        book.delete(member)

"""History is bounded: ended operations beyond a number are forgotten here (the journal keeps them).

Never those that something still derives from: a drain, stop or shutdown that is not lifted, the operation that ended
a member's last incarnation or began its current one, and the highest number, from which the next one is made.
"""

from upcall.operations.book import OPERATIONS_KEPT_MAX, Book
from upcall.operations.declarations import TOMBSTONES_MAX
from upcall.operations.records import Operation


def compact(book: Book) -> None:
    if len(book.operations) > OPERATIONS_KEPT_MAX:
        _forget_operations(book)
    tombstones = len(book.members) - sum(1 for m in book.members.values() if m.removed is None)
    if tombstones > TOMBSTONES_MAX:
        _forget_tombstones(book, tombstones - TOMBSTONES_MAX)


def _forget_operations(book: Book) -> None:
    oldest_first = sorted(book.operations.values(), key=lambda o: o.number)
    named = {o for m in book.members.values() for o in (m.by, m.ended_by) if o}
    named |= {o.parent for o in oldest_first if o.live and o.parent}
    for operation in oldest_first[:-1]:
        if len(book.operations) <= OPERATIONS_KEPT_MAX:
            break
        if not operation.live and operation.id not in named and not _in_effect(book, operation):
            book.delete(operation)


def _in_effect(book: Book, operation: Operation) -> bool:
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
        (m for m in book.members.values() if m.removed is not None and book.wall_s >= m.volumes_until_wall_s),
        key=lambda m: (m.volumes_until_wall_s, m.key),
    )
    for member in gone[:surplus]:
        book.delete(member)

"""What would be left of a service: known ready members that nothing begun takes, against the declared minimum.

Looked at before an operation begins (:mod:`upcall.operations.guard`), and again before an end that was put off
(:mod:`upcall.operations.ends`).
"""

from typing import Final

from upcall.operations import beside
from upcall.operations.book import Book
from upcall.operations.members import held_by, unreturned
from upcall.operations.records import MemberRecord, Operation
from upcall.operations.table import KINDS

NAMED_MAX: Final = 3
"""Members in one objection; a person needs an example, not a list."""


def shortfall(book: Book, operation: Operation) -> str:
    """How the service would fall below its minimum without what the operation takes; empty when it would not."""
    service = book.services.get(operation.target.service)
    if service is None:
        return ""
    members = [member for member in book.members_of(service.name) if member.counts]
    untaken = [member for member in members if book.ready(member) and _taken_by(book, member) in ("", operation.id)]
    left = [member for member in untaken if member.name not in operation.target.members]
    left += [member for member in members if member not in left and _taken_with(book, operation, member)]
    if len(left) >= service.minimum:
        return ""
    counts = f"{len(untaken)} of {len(members)} ready, {len(left)} afterwards, minimum {service.minimum}"
    return counts + _not_back(book, members)


def _taken_by(book: Book, member: MemberRecord) -> str:
    begun = book.begun_on(member)
    if begun is None or beside.waits_for_a_place(book, begun):
        return ""
    return begun.id


def _taken_with(book: Book, operation: Operation, member: MemberRecord) -> bool:
    """What the same maintenance took, or holds, on the same node does not count against the rest of it: that node goes,
    and no waiting brings it back. On another of its nodes it counts: a set of nodes goes as far as the minimum lets it.
    """
    parent = book.operations.get(operation.parent)
    if parent is None or KINDS[parent.kind].shape != "node" or member.name in operation.target.members:
        return False
    begun, node = book.begun_on(member), operation.target.node
    if begun is not None and begun.parent == parent.id:
        return begun.target.node == node
    holder = held_by(book, member) if member.over else None
    return holder is not None and holder.id == parent.id and member.node == node


def _not_back(book: Book, members: list[MemberRecord]) -> str:
    """Which of those that look ready do not count yet, and why."""
    waits = [f"{m.task} is ready, {what}" for m in members if (what := unreturned(book, m))]
    return f" ({'; '.join(waits[:NAMED_MAX])})" if waits else ""

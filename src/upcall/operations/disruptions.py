"""Disruptions that others began: operations with a foreign origin, as firm as the substrate can hold them.

What was only observed is recorded as it ends. What can be intercepted is proposed with the substrate's deadline, and
the substrate is asked to hold it while its service is asked; when it goes ahead anyway, the record says so.
"""

from upcall.operations import execution
from upcall.operations.book import Book
from upcall.operations.effects import HoldDisruption, Refused
from upcall.operations.inputs import DisruptionBegan, DisruptionEnded, DisruptionsListed
from upcall.operations.proposals import create
from upcall.operations.records import Operation, Target
from upcall.operations.table import Kind


def began(book: Book, given: DisruptionBegan) -> Operation | Refused:
    """Somebody else disturbs a task: an operation with a foreign origin, as firm as the substrate can hold it."""
    known = next((o for o in book.operations.values() if o.foreign_id == given.id and o.foreign_id), None)
    member = book.members.get(f"{given.service}.{given.member}")
    if member is None:
        return Refused(code="not_found", message=f"no member {given.service}.{given.member}", where="member")
    if given.deadline_s is not None and known is not None and known.live:
        book.memory.operations[known.id].notice_ends_s = book.now_s + given.deadline_s
    if known is not None:
        _hold(book, known, given)
        return known
    kind: Kind = "kill" if given.verb == "stop" else "evict"
    target = Target(service=given.service, members=(given.member,), incarnations=(given.incarnation,), node=member.node)
    operation = create(
        book,
        kind,
        target,
        reason=given.reason,
        asked_by=given.who,
        origin="foreign",
        foreign_id=given.id,
        firmness=given.firmness,
    )
    if given.deadline_s is not None:
        book.memory.operations[operation.id].notice_ends_s = book.now_s + given.deadline_s
    _hold(book, operation, given)
    return operation


def _hold(book: Book, operation: Operation, given: DisruptionBegan) -> None:
    if operation.kind == "evict" and given.firmness == "intercepted" and operation.live:
        book.emit(HoldDisruption(id=given.id, hold=operation.state == "open"))


def listed(book: Book, given: DisruptionsListed) -> None:
    """After a reconnect both sides compare. What the substrate does not list is over, and the news of it was lost:
    left open it would stand for ever, and one that was let go on would keep its member from everybody else."""
    for operation in list(book.operations.values()):
        if operation.kind == "evict" and operation.live and operation.foreign_id not in given.ids:
            execution.end(book, operation, "called off", outcome="the substrate does not know of it any more")


def ended(book: Book, given: DisruptionEnded) -> None:
    operation = next((o for o in book.operations.values() if o.foreign_id == given.id and o.live), None)
    if operation is None:
        return
    if not given.happened:
        execution.end(book, operation, "called off", outcome="the substrate called it off")
    elif operation.state == "open":
        execution.went_ahead(book, operation)

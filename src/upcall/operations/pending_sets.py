"""The set that a service is shown: all that is wanted from it, whole, with its epoch and a version of its own.

The version rises when an operation comes, goes on, is asked about afresh, or when the epoch moves; not with each
answer, which the service knows itself.
"""

from upcall.operations import beside
from upcall.operations.book import Book
from upcall.operations.effects import Show
from upcall.operations.records import Operation
from upcall.operations.table import CLASSES
from upcall.operations.views import PendingOperation, PendingSet
from upcall.operations.windows import window_over


def pending(book: Book, service: str) -> PendingSet:
    known = book.memory.services.get(service)
    shown = tuple(_pending(book, operation) for operation in book.live(service))
    return PendingSet(
        service=service, epoch=book.epoch(service), version=known.shown[0] if known else 0, operations=shown
    )


def _pending(book: Book, operation: Operation) -> PendingOperation:
    memory = book.memory.operations[operation.id]
    question, notice_ends_s = memory.question, memory.notice_ends_s
    window_left_s = None
    if operation.deadline_wall_s is not None:
        window_left_s = 0.0 if window_over(book, operation) else operation.deadline_wall_s - book.wall_s
    elif notice_ends_s is not None:
        window_left_s = max(0.0, notice_ends_s - book.now_s)
    return PendingOperation(
        operation=operation,
        asked=question is not None and question.stands and operation.state == "open",
        answer=book.answer(operation),
        window_left_s=window_left_s,
        who_wins=CLASSES[operation.class_],
        takes_nothing=beside.takes_nothing(book, operation),
    )


def show(book: Book, service: str) -> None:
    """Sends the set when it is another one than the last that was sent."""
    parts = [str(book.epoch(service))]
    for operation in book.live(service):
        question = book.memory.operations[operation.id].question
        marks = f"{bool(operation.forced)}:{bool(operation.paused)}"
        parts.append(f"{operation.id}:{operation.state}:{question.times if question else 0}:{marks}")
    fingerprint = " ".join(parts)
    remembered = book.memory.services.get(service)
    version, before = remembered.shown if remembered else (0, "")
    known = service in book.services or before
    if fingerprint != before and known:
        book.memory.service(service).shown = (version + 1, fingerprint)
        if len(parts) > 1 or " " in before:
            book.emit(Show(service=service))

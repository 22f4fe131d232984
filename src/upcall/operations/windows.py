"""How long a class waits for an answer: windows, by wall time, and the answer time of a cure."""

from upcall.operations.book import Book
from upcall.operations.records import Operation


def window_over(book: Book, operation: Operation) -> bool:
    return operation.deadline_wall_s is not None and book.wall_s >= operation.deadline_wall_s


def cure_end_s(book: Book, operation: Operation) -> float:
    """When the answer time of a cure is over. Of a member that flaps it counts from when it was first unwell: each time
    it is well the cure of that time ends, and the next does not begin to wait anew."""
    since_s = book.since_s(operation)
    for name in operation.target.members:
        member = book.members.get(f"{operation.target.service}.{name}")
        seen = book.seen(member) if member is not None else None
        if seen is not None and seen.unwell_s is not None:
            since_s = min(since_s, seen.unwell_s)
    return since_s + book.policy(operation.target.service).answer_s


def window_end_s(book: Book, operation: Operation) -> float | None:
    """The moment at which its class stops waiting for an answer, in monotonic time; ``None`` when it never does, or
    has already."""
    if operation.class_ == "cure":
        end_s = cure_end_s(book, operation)
    elif operation.class_ == "notice":
        ends_s = book.memory.operations[operation.id].notice_ends_s
        end_s = ends_s if ends_s is not None else book.now_s
    elif operation.deadline_wall_s is not None:
        end_s = book.now_s + operation.deadline_wall_s - book.wall_s
    else:
        return None
    return end_s if end_s > book.now_s else None

"""How far an operation is that its service carries out: a member leaves, load is spread.

The service says it in words, and as a share of the whole. It is forgotten at a start of the master and said again, so
nothing hangs on it but patience: what makes progress is waited for, and a person hears of what makes none, with the
last words of it.
"""

from upcall.operations.book import REASON_CHARS_MAX, Book
from upcall.operations.consents import policy_of
from upcall.operations.effects import Refused
from upcall.operations.inputs import Working
from upcall.operations.memory import Course
from upcall.operations.records import Operation
from upcall.operations.words import span


def learn(book: Book, given: Working) -> Refused | None:
    operation = book.operations.get(given.operation)
    if operation is None or operation.target.service != given.service:
        return Refused(code="not_found", message=f"no operation {given.operation!r}", where="operation")
    if not operation.begun:
        return Refused(
            code="conflict",
            message=f"{operation.id} ({operation.words()}) is {operation.state}",
            where=operation.id,
            expected="an operation that has begun",
        )
    known = book.memory.operations[operation.id]
    before = known.course
    if given.error:
        # What was called again is no progress: its last words stay, and the error beside them.
        said = before or Course(moved_s=book.since_s(operation))
        known.course = Course(said.text, said.share, said.moved_s, error=given.error[:REASON_CHARS_MAX])
        return None
    text = given.text[:REASON_CHARS_MAX]
    moved = before is None or (before.text, before.share) != (text, given.share)
    known.course = Course(text, given.share, book.now_s if moved or before is None else before.moved_s)
    return None


def moved_s(book: Book, operation: Operation) -> float:
    """When it made progress last; its begin, where it has said nothing."""
    said = book.memory.operations[operation.id].course
    return max(book.since_s(operation), said.moved_s) if said is not None else book.since_s(operation)


def leave_until_s(book: Book, operation: Operation) -> float:
    """When a member that leaves, and makes no progress, has failed to."""
    return moved_s(book, operation) + policy_of(book, operation.target.service).leave_s


def alert_s(book: Book, operation: Operation) -> float:
    return moved_s(book, operation) + policy_of(book, operation.target.service).stuck_after_s


def words(book: Book, operation: Operation) -> str:
    """``12 of 340 MiB (4 %), 50 s ago: it raised ...``; empty where nothing was said."""
    said = book.memory.operations[operation.id].course
    if said is None:
        return ""
    share = "" if said.share is None else f" ({said.share * 100:.0f} %)"
    text = f"{said.text}{share}" if said.text else "nothing was said of how far it is"
    idle_s = book.now_s - moved_s(book, operation)
    if idle_s >= policy_of(book, operation.target.service).stuck_after_s:
        text += f", no progress for {span(idle_s)}"
    return f"{text}; it raised: {said.error}" if said.error else text

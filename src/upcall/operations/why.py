"""``why``: who waits for whom, since when, for what reason, looked at next when.

It prints the judgement that the ledger itself acts on (:mod:`upcall.operations.judgement`), so it cannot pretend.
"""

from collections.abc import Mapping

from upcall.operations import looping
from upcall.operations.book import Book
from upcall.operations.effects import Alert
from upcall.operations.judgement import judge
from upcall.operations.records import Operation
from upcall.operations.table import CLASSES
from upcall.operations.underway import judge_begun
from upcall.operations.views import Why
from upcall.operations.waiting import Judgement
from upcall.operations.ways import ways_out


def judgement_of(book: Book, operation: Operation) -> Judgement:
    if operation.state == "open" and operation.kind != "maintenance":
        return judge(book, operation)
    if operation.live:
        return judge_begun(book, operation)
    return Judgement(reason=operation.outcome)


def why(book: Book, operation: Operation) -> Why:
    judgement = judgement_of(book, operation)
    look_s = judgement.look_s
    said = book.memory.operations[operation.id].said
    return Why(
        operation=operation,
        waits_for=judgement.waits_for,
        reason=judgement.reason,
        answered=judgement.answered,
        since_s=stands_s(book, operation),
        next_look_s=max(0.0, look_s - book.now_s) if look_s is not None else None,
        next_look_is=judgement.look_is,
        stuck=operation.alerted and operation.live,
        who_wins=CLASSES[operation.class_],
        firmness=operation.firmness,
        forced=operation.forced,
        paused=operation.paused,
        ways=ways_out(book, operation, judgement),
        said_times=said.times if said else 0,
        said_last_s=book.now_s - said.last_s if said else 0.0,
    )


def stands_s(book: Book, operation: Operation) -> float:
    """For how long it has been in its state. What a person is told of that does not begin anew with a start of the
    master, or after a sleep, as its deadlines do: the record has it, by the wall clock."""
    by_record_s = book.wall_s - operation.since_wall_s
    return max(by_record_s, book.now_s - book.since_s(operation)) if operation.live else by_record_s


def alert(book: Book, service: str, judged: Mapping[str, Judgement]) -> None:
    """Tells a person about what is stuck: once, which is in the record. ``judged``: what is known already of some."""
    for operation in book.live(service):
        if operation.alerted:
            continue
        judgement = judged.get(operation.id) or judgement_of(book, operation)
        loop = looping.alarm(book, operation)
        at_s = loop[0] if loop is not None else judgement.alert_s
        if at_s is None or (judgement.may and loop is None):
            continue
        if at_s > book.now_s:
            book.look_at(service, at_s)
            continue
        book.tell_once(operation)
        if loop is not None:
            if looping.is_told(book, operation):
                continue
            looping.note_told(book, operation)
        text = loop[1] if loop is not None else f"waits for {judgement.waits_for}: {judgement.reason}"
        book.emit(Alert(operation=operation.id, text=text, service=service))

"""Disruptions that others began: operations with a foreign origin, as firm as the substrate can hold them.

What was only observed is recorded as it ends. What can be intercepted is proposed with the substrate's deadline, and
the substrate is asked to hold it while its service is asked; when it goes ahead anyway, the record says so.

Whoever disturbs may be somebody who never heard of us, and asks the substrate alone. So the substrate is told why it
has to wait (:func:`explain`): what ``why`` says, whenever that is another reason.
"""

from collections.abc import Mapping
from typing import Final

from upcall.operations import execution
from upcall.operations.book import Book
from upcall.operations.effects import HoldDisruption, Refused, StillHeld
from upcall.operations.inputs import DisruptionBegan, DisruptionEnded, DisruptionsListed
from upcall.operations.proposals import create
from upcall.operations.records import MemberRecord, Operation, Target
from upcall.operations.table import Kind
from upcall.operations.waiting import Judgement, words_of
from upcall.operations.why import judgement_of

NO_ANSWER: Final = "asked, and no answer yet"


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
    if given.verb == "stop" and (ours := _ends_it(book, member, given.incarnation)) is not None:
        return ours
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


def _ends_it(book: Book, member: MemberRecord, incarnation: int) -> Operation | None:
    """The operation of ours that is ending this task. Machines that were told so before a master died see a task leave
    that the next one wants, and cannot know whose word it was; nothing is left to be decided about it."""
    begun, seen = book.begun_on(member), book.seen(member)
    if begun is None or begun.state != "executing" or member.over or member.incarnation != incarnation:
        return None
    told = book.memory.members[member.key].signalled == incarnation or seen is None or seen.state == "ending"
    return begun if told and begun.target.incarnation_of(member.name) == incarnation else None


def _hold(book: Book, operation: Operation, given: DisruptionBegan) -> None:
    """What the substrate was told before may be lost with it."""
    if not _is_held(operation):
        return
    if operation.state == "open":
        book.memory.operations[operation.id].told = None
        book.mark(given.service)
    else:
        book.emit(HoldDisruption(id=given.id, held=None))


def _is_held(operation: Operation) -> bool:
    return operation.kind == "evict" and operation.firmness == "intercepted" and operation.live


def explain(book: Book, service: str, judged: Mapping[str, Judgement]) -> None:
    """``judged``: what is known already of some."""
    for operation in book.live(service):
        if not _is_held(operation) or operation.state != "open":
            continue
        judgement = judged.get(operation.id) or judgement_of(book, operation)
        memory = book.memory.operations[operation.id]
        if judgement.may or memory.told == (held := _still_held(book, operation, judgement)):
            continue
        memory.told = held
        book.emit(HoldDisruption(id=operation.foreign_id, held=held))


def _still_held(book: Book, operation: Operation, judgement: Judgement) -> StillHeld:
    """Not how long ago it was asked, which is another word at each look. A deferral that is just being renewed stands
    for as long as its service may take for that."""
    memory, service = book.memory.operations[operation.id], operation.target.service
    reason, word = judgement.reason, book.answer(operation)
    if word is None and memory.question is not None and judgement.waits_for in (service, f"{service}'s host"):
        word, silent = memory.last_word, book.now_s >= memory.question.since_s + book.policy(service).answer_s
        before = words_of(service, word) if word is not None and word.verdict != "accept" else ""
        reason = before if before and not silent else f"{NO_ANSWER}; before, {before}" if before else NO_ANSWER
    return StillHeld(
        operation=operation.id,
        waits_for=judgement.waits_for,
        reason=reason,
        progress=word.progress if word is not None else None,
    )


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

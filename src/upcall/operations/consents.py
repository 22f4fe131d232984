"""Epochs, questions and answers.

**The epoch** says which world an answer is about. It moves when (a) a known-ready incarnation is lost without a begun
operation on it, (b) any operation of the service begins, (c) minimum or policy changes. Then answers on their way
are refused with the current set; a recorded acceptance is void if it counted on what was lost or taken, and stands
if it was given together with what began (it does not count on that). It does *not* move when a member becomes ready,
an operation is added, ends or is withdrawn, or an answer comes: the set has a version of its own for that. (If every
change moved it, one flapping member would starve a service.)

**A question** stands from the proposal until it is answered. It is asked again when an answer has run out or became
void, but only when the guard could pass: a blocked set is not asked for ever. A deferral that is not renewed in its
time counts as silence.
"""

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from upcall.operations import guard, places
from upcall.operations.book import REASON_CHARS_MAX, Book
from upcall.operations.effects import Refused
from upcall.operations.inputs import Answer, Answers, WithdrawAnswer
from upcall.operations.memory import Question, Said
from upcall.operations.news import Answered, AnswerVoid, Because, EpochMoved
from upcall.operations.records import AFTER_A_LOSS, BEFORE, THE_SYSTEM, ConsentRecord, Given, Operation, Policy, Way
from upcall.operations.superseding import behind
from upcall.operations.table import KINDS

ANSWERS_MAX: Final = 1000
"""In one call: more than a service can have pending."""
WAYS_MAX: Final = 8
"""Of what would help, in one answer: more than a person reads."""
ANSWER_S_MAX: Final = 86400.0
"""An acceptance or a deferral for longer than a day is a mistake."""


def policy_of(book: Book, service: str) -> Policy:
    return book.policy(service)


# -- the epoch ------------------------------------------------------------------------------------------------------


def move_epoch(book: Book, service: str, why: str, *, gone: tuple[str, ...] = ()) -> None:
    """``gone``: tasks that are lost or taken; acceptances that counted on them are void."""
    epoch = book.epoch(service)
    book.memory.service(service).epoch = epoch.n + 1
    moved = book.epoch(service)
    book.emit(EpochMoved(service=service, epoch=moved, why=why))
    book.mark(service)
    consent = _current(book, service)
    if consent is None:
        return
    void = [o for o, given in consent.answers.items() if given.verdict == "accept" and set(gone) & set(given.counts_on)]
    kept = {o: given for o, given in consent.answers.items() if o not in void}
    book.put(replace(consent, epoch=moved, answers=kept))
    for operation in (book.operations[o] for o in void):
        book.emit(AnswerVoid(operation=operation, verdict="accept", because="it counted on what is gone"))
        ask(book, operation)


# -- questions ------------------------------------------------------------------------------------------------------


def is_asked(operation: Operation) -> bool:
    return operation.state == "open" and KINDS[operation.kind].asked


def ask(book: Book, operation: Operation) -> None:
    memory = book.memory.operations[operation.id]
    times = memory.question.times + 1 if memory.question else 1
    memory.question = Question(since_s=book.now_s, times=times)
    service = operation.target.service
    book.look_at(service, book.now_s + policy_of(book, service).answer_s)  # Then it counts as silence.


def look(book: Book, service: str) -> None:
    """Drops answers that ran out, and asks (again) where an answer could change something."""
    for operation in book.live(service):
        if not is_asked(operation):
            continue
        question = book.memory.operations[operation.id].question
        given = book.answer(operation)
        if given is not None and given.until_s <= book.now_s:
            _drop(book, operation, given, "it ran out")
            given = None
        if given is not None:
            book.look_at(service, given.until_s)
        elif question is None or (not question.stands and _could_pass(book, operation)):
            if question is not None or _unblocked(book, operation):
                ask(book, operation)
        elif question.stands:
            silent_from = question.since_s + policy_of(book, service).answer_s
            if silent_from > book.now_s:
                book.look_at(service, silent_from)


def _unblocked(book: Book, operation: Operation) -> bool:
    if places.needed(book, operation) is not None:
        return False  # Nothing is asked about what cannot be.
    if KINDS[operation.kind].shape == "plan" and book.shutdown() is not None:
        return False
    return not any(behind(book, operation, member) for member in book.covered(operation))


def _could_pass(book: Book, operation: Operation) -> bool:
    return _unblocked(book, operation) and not guard.objection(book, operation)


# -- answers --------------------------------------------------------------------------------------------------------


def answer(book: Book, given: Answers) -> Refused | None:
    """Records one answer about a set, whole or not at all."""
    refused = _refusal(book, given)
    if refused is not None:
        return refused
    accepted = [o for o, a in given.answers.items() if a.verdict == "accept"]
    relied_on = _ready_besides(book, given.service, accepted) if accepted else ()
    _record(book, given.service, {o: a for o, a in given.answers.items() if not _repeats(book, o, a)}, relied_on)
    return None


def answered_by_a_step(book: Book, lost: Operation, why: str) -> None:
    """What its service wants of the member in the course of a change also says what follows the loss of it."""
    _record(book, lost.target.service, {lost.id: Answer(verdict="restart", reason=why)}, ())


def _record(book: Book, service: str, fresh: Mapping[str, Answer], relied_on: tuple[str, ...]) -> None:
    consent = _current(book, service) or _fresh_consent(book, service)
    answers = dict(consent.answers)
    for operation, one in fresh.items():
        answers[operation] = _given(book, one, relied_on)
    if fresh:
        book.put(replace(consent, epoch=book.epoch(service), answers=answers))
    for operation, one in fresh.items():
        book.memory.operations[operation].last_word = answers[operation]
        _note(book, book.operations[operation], one, answers[operation])


def withdraw(book: Book, given: WithdrawAnswer) -> Refused | None:
    operation = book.operations.get(given.operation)
    if operation is None or operation.target.service != given.service:
        return Refused(
            code="not_found",
            message=f"{given.service} has no operation {given.operation}",
            where="operation",
            expected="one of its pending set",
        )
    if operation.state != "open":
        return Refused(
            code="conflict",
            message=f"{operation.id} has begun: its acceptance cannot be taken back",
            where=operation.id,
            expected="an operation that has not begun",
        )
    if (answered := book.answer(operation)) is not None:
        _drop(book, operation, answered, "it was taken back")
        book.memory.operations[operation.id].last_word = None
        ask(book, operation)
    return None


def overtaken(book: Book, operation: Operation, why: str) -> None:
    """What was said of it is about a world that is over: it does not count, also not as the last word, and it is asked
    again."""
    if (answered := book.answer(operation)) is not None:
        _drop(book, operation, answered, "the world is another one", why)
    memory = book.memory.operations[operation.id]
    if memory.last_word is not None:
        memory.last_word = None
        ask(book, operation)


def forget(book: Book, operation: Operation) -> None:
    """The operation is not open any more: its answer has served."""
    if book.answer(operation) is not None:
        consent = book.consents[operation.target.service]
        book.put(replace(consent, answers={o: a for o, a in consent.answers.items() if o != operation.id}))


def _refusal(book: Book, given: Answers) -> Refused | None:
    service = given.service
    if service not in book.services:
        return Refused(code="not_found", message=f"no service {service!r}", where="service")
    if given.epoch != book.epoch(service):
        return Refused(
            code="stale",
            message=f"epoch is {book.epoch(service)}, the answer is about {given.epoch}",
            where="epoch",
            expected="an answer about the current set",
        )
    if len(given.answers) > ANSWERS_MAX:
        return Refused(
            code="invalid",
            message=f"{len(given.answers)} answers in one call",
            where="answers",
            expected=f"at most {ANSWERS_MAX}",
        )
    for name, one in given.answers.items():
        refused = _refusal_of_one(book, service, name, one)
        if refused is not None:
            return refused
    return None


def _refusal_of_one(book: Book, service: str, name: str, one: Answer) -> Refused | None:
    operation = book.operations.get(name)
    if operation is None or operation.target.service != service:
        return Refused(
            code="not_found",
            message=f"{name} is not an operation on {service}",
            where=name,
            expected="an operation of the service's own set",
        )
    if operation.state != "open":
        return Refused(
            code="conflict",
            message=f"{name} is {operation.state}: it is not asked any more",
            where=name,
            expected="an open operation",
        )
    if not KINDS[operation.kind].asked:
        return Refused(code="invalid", message=f"{name} is told, not asked", where=name)
    fitting = AFTER_A_LOSS if operation.kind == "lost" else BEFORE
    if one.verdict not in fitting:
        return Refused(
            code="invalid",
            message=f"{one.verdict} is no answer to a {operation.kind}",
            where=f"{name}.verdict",
            expected=", ".join(fitting),
        )
    for label, value in (("valid_s", one.valid_s), ("retry_after_s", one.retry_after_s)):
        if not 0 < value <= ANSWER_S_MAX:
            return Refused(
                code="invalid",
                message=f"{label} is {value:g}",
                where=f"{name}.{label}",
                expected=f"more than 0 and at most {ANSWER_S_MAX:g}",
            )
    if not one.waiting_helps and one.verdict not in ("defer", "decline"):
        return Refused(
            code="invalid",
            message=f"{one.verdict}, although waiting does not help",
            where=f"{name}.waiting_helps",
            expected="a deferral",
        )
    if len(one.would_help) > WAYS_MAX:
        return Refused(
            code="invalid",
            message=f"{len(one.would_help)} things that would help",
            where=f"{name}.would_help",
            expected=f"at most {WAYS_MAX}",
        )
    ready = {m.task for m in book.members_of(service) if book.ready(m)} if one.counts_on else set()
    missing = sorted(set(one.counts_on or ()) - ready)
    if missing:
        return Refused(
            code="conflict",
            message=f"counts on {missing[0]}, which is not known to be ready",
            where=name,
            expected="tasks of the service that are ready",
        )
    return None


def _ready_besides(book: Book, service: str, accepted: list[str]) -> tuple[str, ...]:
    """What an acceptance counts on unless it says otherwise: all that are ready and not taken by the same answer."""
    taking = [book.operations[o] for o in accepted]
    ready = (m for m in book.members_of(service) if book.ready(m))
    return tuple(m.task for m in ready if not any(book.covers(operation, m) for operation in taking))


def _repeats(book: Book, operation: str, one: Answer) -> bool:
    """The same acceptance twice for the same epoch is one answer: it does not become valid for longer."""
    before = book.answer(book.operations[operation])
    question = book.memory.operations[operation].question
    return (
        before is not None
        and before.verdict == one.verdict == "accept"
        and before.until_s > book.now_s
        and not (question and question.stands)
    )


def _given(book: Book, one: Answer, relied_on: tuple[str, ...]) -> Given:
    accepts = one.verdict == "accept"
    return Given(
        verdict=one.verdict,
        at_s=book.now_s,
        until_s=book.now_s + (one.valid_s if accepts else one.retry_after_s),
        reason=one.reason[:REASON_CHARS_MAX],
        progress=one.progress,
        counts_on=(relied_on if one.counts_on is None else one.counts_on) if accepts else (),
        waiting_helps=one.waiting_helps,
        would_help=tuple(map(_cut, one.would_help)),
        by_system=one.by_system,
    )


def _cut(way: Way) -> Way:
    return Way(
        does=way.does[:REASON_CHARS_MAX], command=way.command[:REASON_CHARS_MAX], costs=way.costs[:REASON_CHARS_MAX]
    )


def _note(book: Book, operation: Operation, one: Answer, given: Given) -> None:
    service = operation.target.service
    memory = book.memory.operations[operation.id]
    memory.question = replace(memory.question or Question(since_s=book.now_s), stands=False)
    if _is_news(book, operation, one):
        book.emit(Answered(operation=operation, given=given))
    if one.verdict == "decline" and book.allows(operation, "decline"):
        who = THE_SYSTEM if one.by_system else service
        book.advance(operation, "decline", outcome=f"declined by {who}: {one.reason[:REASON_CHARS_MAX]}")
        forget(book, operation)


def _is_news(book: Book, operation: Operation, one: Answer) -> bool:
    """A deferral that is renewed for the same reason is counted, not told again. An acceptance is always told: each is
    a reservation of its own."""
    memory = book.memory.operations[operation.id]
    if one.verdict == "accept":
        memory.said = None
        return True
    words = f"{one.verdict} {one.waiting_helps}: {one.reason[:REASON_CHARS_MAX]}"
    before = memory.said
    same = before is not None and before.words == words
    times = before.times + 1 if before is not None and same else 1
    memory.said = Said(words=words, last_s=book.now_s, times=times)
    return not same


def _drop(book: Book, operation: Operation, given: Given, because: Because, why: str = "") -> None:
    consent = book.consents[operation.target.service]
    book.put(replace(consent, answers={o: a for o, a in consent.answers.items() if o != operation.id}))
    book.emit(AnswerVoid(operation=operation, verdict=given.verdict, because=because, why=why))


def _current(book: Book, service: str) -> ConsentRecord | None:
    """The consent record, if it is of this start of the master; older ones are void."""
    consent = book.consents.get(service)
    return consent if consent is not None and consent.epoch.start == book.memory.start else None


def _fresh_consent(book: Book, service: str) -> ConsentRecord:
    return ConsentRecord(service=service, epoch=book.epoch(service))

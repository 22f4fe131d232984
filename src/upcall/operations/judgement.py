"""May it begin, and if not: who waits for whom.

One function judges; the ledger begins what it lets pass and ``why`` prints what it says, so an explanation can never
differ from what happens. The order of the questions is the order of the rules in :mod:`upcall.operations.table`.
"""

from typing import Final

import msgspec

from upcall.operations import beside, ends, guard, looping, members, places
from upcall.operations.aftermath import judge_lost
from upcall.operations.book import Book
from upcall.operations.consents import policy_of
from upcall.operations.records import Mark, Operation
from upcall.operations.superseding import behind
from upcall.operations.table import KINDS
from upcall.operations.waiting import (
    Judgement,
    answer_words,
    deferred_long_s,
    held_by_guard,
    homeless,
    paused_by,
    retry_s,
    unanswered,
)
from upcall.operations.ways import waits_for_a_person
from upcall.operations.windows import cure_end_s, window_end_s, window_over

SHUT_DOWN: Final = "the system is shut down"


class _Consent(msgspec.Struct, frozen=True, kw_only=True):
    """One of the alternatives of *may begin* holds."""

    reason: str
    skips_guard: bool = False
    over_consent: bool = False


def judge(book: Book, operation: Operation) -> Judgement:
    """Of an open operation."""
    paused = operation.paused or _paused_plan(book, operation)
    if paused is not None:
        return paused_by(paused)
    blocked = _blocked(book, operation)
    if blocked is not None:
        return blocked
    moved = places.needed(book, operation)
    if moved is not None:
        return homeless(book, operation, moved)
    sibling = _after_sibling(book, operation)
    if sibling is not None:
        return sibling
    if operation.kind == "lost":
        return judge_lost(book, operation)
    consent = _consent(book, operation)
    if isinstance(consent, Judgement):
        return consent
    objection = "" if consent.skips_guard else guard.objection(book, operation)
    if objection:
        return held_by_guard(book, operation, f"{consent.reason}, but {objection}")
    return Judgement(may=True, reason=consent.reason, over_consent=consent.over_consent)


def _paused_plan(book: Book, operation: Operation) -> Mark | None:
    """A step of a plan that a person holds."""
    parent = book.operations.get(operation.parent)
    return parent.paused if parent is not None and KINDS[parent.kind].shape == "plan" else None


# -- before any consent ---------------------------------------------------------------------------------------------


def _blocked(book: Book, operation: Operation) -> Judgement | None:
    if KINDS[operation.kind].shape == "system":
        return None
    if KINDS[operation.kind].shape == "plan":
        shutdown = book.shutdown()
        return Judgement(waits_for=shutdown.id, reason=SHUT_DOWN) if shutdown is not None else None
    for member in book.covered(operation):
        other = behind(book, operation, member)
        if other is not None:
            return Judgement(
                waits_for=other.id,
                reason=f"{other.words()} is {other.state}" if other.target.service else SHUT_DOWN,
            )
    return None


def _after_sibling(book: Book, operation: Operation) -> Judgement | None:
    """Two members of a service that one maintenance moves are not taken in the same instant: the second follows when
    the first is ready elsewhere, or had the time of its start for it."""
    if operation.kind != "vacate" or operation.forced is not None:
        return None
    for other in book.below(operation.parent):
        if other.kind != "vacate" or other.id == operation.id or other.target.service != operation.target.service:
            continue
        member = book.members.get(f"{other.target.service}.{other.target.members[0]}")
        moved = other.state == "done" or (member is not None and beside.has_left(other, member))
        if other.begun and not moved:
            return Judgement(waits_for=other.id, reason=f"{other.words()} goes first: one after the other")
        if not moved or member is None or member.removed is not None or book.ready(member):
            continue
        until_s = book.since_s(other) + member.start_timeout_s
        if members.runs_by(book, member) and book.now_s < until_s:
            reason = f"not ready elsewhere yet, after {other.id}: one after the other"
            return Judgement(waits_for=member.key, reason=reason, look_s=until_s)
    return None


# -- consent --------------------------------------------------------------------------------------------------------


def _consent(book: Book, operation: Operation) -> _Consent | Judgement:
    service = operation.target.service
    if operation.forced is not None:
        return _Consent(reason=f"forced by {operation.forced.who}", skips_guard=True, over_consent=True)
    if not KINDS[operation.kind].asked:
        return _Consent(reason="told", skips_guard=True)
    given = book.answer(operation)
    if given is not None and given.verdict == "accept" and given.until_s > book.now_s:
        return _Consent(reason=f"accepted by {service}")
    return _past_deadline(book, operation) or _silence(book, operation) or _waits(book, operation)


def _past_deadline(book: Book, operation: Operation) -> _Consent | Judgement | None:
    """What holds once the time for an answer is over."""
    service = operation.target.service
    if operation.class_ == "cure":
        if book.now_s >= cure_end_s(book, operation):
            return _Consent(reason="the answer time is over", over_consent=True)
    elif operation.class_ == "windowed" and window_over(book, operation):
        if operation.on_deadline in (None, "hold"):
            return Judgement(
                waits_for="a person" if waits_for_a_person(book, operation) else service,
                reason=f"the window is over, then hold: {answer_words(book, operation)}",
                answered=not waits_for_a_person(book, operation),
                look_s=retry_s(book, operation),
                alert_s=book.now_s,
            )
        return _Consent(
            reason=f"the window is over, then {operation.on_deadline}",
            skips_guard=operation.on_deadline == "force",
            over_consent=True,
        )
    elif operation.class_ == "notice" and _notice_over(book, operation):
        if KINDS[operation.kind].shape == "foreign":
            return Judgement(waits_for="the substrate", reason="the notice is over: it goes ahead when it likes")
        return _Consent(reason="the notice is over", over_consent=True)
    return None


def _notice_over(book: Book, operation: Operation) -> bool:
    ends_s = book.memory.operations[operation.id].notice_ends_s
    return ends_s is not None and book.now_s >= ends_s


def _silence(book: Book, operation: Operation) -> _Consent | None:
    """The static policy, when no answer came at all. Voluntary operations never proceed by it."""
    service = book.services.get(operation.target.service)
    question = book.memory.operations[operation.id].question
    if service is None or question is None or not question.stands or book.answer(operation) is not None:
        return None
    if book.now_s < question.since_s + service.policy.answer_s:
        return None
    if operation.class_ != "windowed" or service.silence != "proceed":
        return None
    taken = [o for o in book.live(service.name) if o.begun and not _takes_nothing(book, o)]
    if len(taken) >= service.policy.at_most or not _first_in_order(book, operation):
        return None
    return _Consent(reason="no answer: the static policy lets it proceed", over_consent=True)


def _takes_nothing(book: Book, begun: Operation) -> bool:
    """Of this service, now: it brings back what ends by itself, its end is still to come, or it has brought the member
    up elsewhere and only ends what is left."""
    if looping.loops(book, begun) or KINDS[begun.kind].shape == "plan":
        return True
    return ends.takes_nothing_yet(book, begun) or beside.only_ends(book, begun)


def _first_in_order(book: Book, operation: Operation) -> bool:
    order = policy_of(book, operation.target.service).order

    def rank(other: Operation) -> tuple[int, int]:
        places = [order.index(m) if m in order else len(order) for m in other.target.members]
        return (min(places, default=len(order)), other.number)

    waiting = [
        o
        for o in book.live(operation.target.service)
        if o.state == "open" and o.class_ == operation.class_ and o.paused is None
    ]
    return rank(operation) == min(rank(other) for other in waiting)


def _waits(book: Book, operation: Operation) -> Judgement:
    service = operation.target.service
    given = book.answer(operation)
    window_s = window_end_s(book, operation)
    if given is not None:
        look_s = min(given.until_s, window_s) if window_s is not None else given.until_s
        a_person = waits_for_a_person(book, operation)
        return Judgement(
            waits_for="a person" if a_person else service,
            reason=answer_words(book, operation),
            answered=not a_person,
            look_s=look_s,
            alert_s=given.at_s if a_person else deferred_long_s(book, operation),
        )
    question = book.memory.operations[operation.id].question
    if question is not None and not question.stands:
        objection = guard.objection(book, operation)
        if objection:
            return held_by_guard(book, operation, f"not asked again while {objection}")
    return unanswered(book, operation, question.since_s if question else book.since_s(operation), window_s)

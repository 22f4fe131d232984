"""The shape of a judgement, and the words for whom an operation waits.

What is judged open (:mod:`upcall.operations.judgement`), lost (:mod:`upcall.operations.aftermath`) and begun
(:mod:`upcall.operations.underway`) says it in the same form, which ``why`` prints.
"""

from typing import Final

import msgspec

from upcall.operations import places
from upcall.operations.book import Book
from upcall.operations.consents import policy_of
from upcall.operations.records import THE_SYSTEM, WINDOW, Choice, Given, Mark, MemberRecord, Operation, Verdict
from upcall.operations.windows import window_end_s
from upcall.operations.words import span


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    may: bool = False
    waits_for: str = ""
    reason: str = ""
    """Follows what is waited for, in one sentence: it does not name it again."""
    answered: bool = False
    """The reason is what the one that it waits for has answered, or that it has not: it names it."""
    look_s: float | None = None
    """When this judgement may change by itself (monotonic)."""
    look_is: str = "looked at again in"
    """What that moment is: a look, or the end of its time."""
    alert_s: float | None = None
    """When a person is to be told that it is stuck."""
    choice: Choice = ""
    over_consent: bool = False
    """It goes ahead without an acceptance."""
    needs_place: str = ""
    """It waits for another place for this member: it is to be looked for."""
    needs_same_node: bool = False
    """On the node where it is."""
    proof_of: str = ""
    """It waits for proof that nothing of this node runs any more: whoever can give it should."""


LONG: Final = 15
"""So many times ``stuck_after_s`` an answer may put off before a person is told."""
A_PLACE: Final = "a place"
"""What an operation waits for while nothing fits elsewhere."""
RESTART_PAUSE: Final = "the restart pause"
"""What a member waits for that ended again and again."""


def paused_by(mark: Mark) -> Judgement:
    """Of what is paused: by its maintenance window, or by a person."""
    why = f": {mark.why}" if mark.why else ""
    if mark.who == WINDOW:
        return Judgement(waits_for=WINDOW, reason=f"it goes on in {WINDOW}{why}; resume lets it go on at once")
    return Judgement(waits_for="a person", reason=f"paused by {mark.who}{why}; resume lets it go on")


def unanswered(book: Book, operation: Operation, asked_s: float, window_s: float | None) -> Judgement:
    service = operation.target.service
    policy = policy_of(book, service)
    silent_s = book.now_s - asked_s
    looks = [at for at in (window_s, asked_s + policy.answer_s) if at is not None and at > book.now_s]
    host = book.host(service)
    who = service if host is not None and host.subscribed else f"{service}'s host"
    return Judgement(
        waits_for=who,
        reason=f"silent for {span(silent_s)}" if silent_s >= policy.answer_s else f"asked {span(silent_s)} ago",
        look_s=min(looks, default=None),
        alert_s=max(asked_s, book.since_s(operation)) + policy.stuck_after_s,
    )


def put_off(book: Book, operation: Operation, given: Given) -> Judgement:
    """A loss of which its service says that nothing follows yet."""
    return Judgement(
        waits_for=operation.target.service,
        reason=answer_words(book, operation),
        answered=True,
        look_s=given.until_s,
        alert_s=deferred_long_s(book, operation),
    )


def deferred_long_s(book: Book, operation: Operation) -> float | None:
    """When a person hears of what is put off again and again, where no window ends that."""
    if operation.deadline_wall_s is not None or operation.class_ not in ("voluntary", "windowed", "involuntary"):
        return None
    return book.since_s(operation) + LONG * policy_of(book, operation.target.service).stuck_after_s


def homeless(
    book: Book, operation: Operation, member: MemberRecord, why: str = "", *, same_node: bool = False
) -> Judgement:
    """It waits for a place elsewhere; the member runs on, if it runs."""
    since_s = places.refused_since_s(book, member)
    return Judgement(
        waits_for=A_PLACE,
        reason=(f"{why}; " if why else "") + places.words(book, member),
        needs_place=member.key,
        needs_same_node=same_node,
        alert_s=since_s + policy_of(book, member.service).stuck_after_s if since_s is not None else None,
    )


def held_by_guard(book: Book, operation: Operation, reason: str) -> Judgement:
    given = book.answer(operation)
    window_s = window_end_s(book, operation)
    looks = [at for at in (given.until_s if given else None, window_s) if at is not None and at > book.now_s]
    return Judgement(
        waits_for="the guard",
        reason=reason,
        look_s=min(looks, default=None),
        alert_s=book.since_s(operation) + policy_of(book, operation.target.service).stuck_after_s,
    )


_BY: Final[dict[Verdict, str]] = {
    "accept": "accepted", "defer": "deferred", "decline": "declined", "wait": "told to wait",
    "restart": "told to restart it", "replace": "told to replace it", "renew": "told to renew it",
}  # fmt: skip


def answer_words(book: Book, operation: Operation) -> str:
    given = book.answer(operation)
    service = operation.target.service
    if given is None:
        return f"no answer from {service}"
    return words_of(service, given)


def words_of(service: str, given: Given) -> str:
    text = f"{_BY[given.verdict]} by {THE_SYSTEM if given.by_system else service}"
    if given.reason:
        text += f": {given.reason}"
    if given.progress is not None:
        text += f" (progress {given.progress:g})"
    if not given.waiting_helps:
        text += "; waiting does not help"
    return text


def retry_s(book: Book, operation: Operation) -> float | None:
    given = book.answer(operation)
    return given.until_s if given else None

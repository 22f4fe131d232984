"""How long a silent node is waited for, and who decides.

Silence proves nothing, and the proof of death is of the whole node: it ends all that is left there. So it is asked for
when something waits for it (a loss, or what has begun and cannot end), and not before the *longest* patience of what
stands on the node is over: ``replace_after_s`` of each service, or as long as one of them defers.

**The last word stands.** For a service with data, silence never gives anything up: a deferral that it does not renew,
because its host died or was late, holds until another answer comes or a person decides; and where nothing was ever
said, a member whose volumes are bound to a dead node is not replaced by an empty one either.
"""

from typing import Final

from upcall.operations import ends
from upcall.operations.book import Book
from upcall.operations.consents import policy_of
from upcall.operations.effects import ProveDeath
from upcall.operations.records import GIVES_UP, Given, MemberRecord, Operation
from upcall.operations.waiting import Judgement, answer_words, put_off, unanswered, words_of
from upcall.operations.words import span

LOOK_AGAIN_S: Final = 1.0
SLACK_S: Final = 30.0
"""Beyond its grace, for what was told to end on a node that has fallen silent since."""


def patience(book: Book, operation: Operation, member: MemberRecord, then: str = "replaced") -> Judgement | None:
    """What holds a loss on a silent node: ``replace_after_s``, unless the node is gone for good.

    A service may have it sooner (``elsewhere``), or hold it as long as it defers. Its ``wait`` agrees with the policy
    and lengthens nothing: a node lost for good would be waited for for ever.
    """
    given, word = book.answer(operation), last_word(book, operation)
    if word is not None and word.verdict in GIVES_UP:
        return None
    if given is not None and given.verdict == "defer":
        return put_off(book, operation, given)
    if word is not None and word.verdict == "defer":
        return _not_renewed(book, operation, word)
    until_s = book.since_s(operation) + policy_of(book, member.service).replace_after_s
    if book.node_state(member.node) == "gone" or book.now_s >= until_s:
        return None
    said = f"{answer_words(book, operation)}; " if given is not None and given.verdict == "wait" else ""
    return Judgement(
        waits_for=f"node {member.node}",
        reason=f"{said}silent; {then} in {span(until_s - book.now_s)} unless it returns",
        look_s=until_s,
    )


def last_word(book: Book, operation: Operation) -> Given | None:
    """What its service said last of it, also when that has run out since."""
    return book.answer(operation) or book.memory.operations[operation.id].last_word


def _not_renewed(book: Book, operation: Operation, word: Given) -> Judgement | None:
    """A deferral that has run out. It is asked about again, and what it held up (proof of death ends what is left on
    the node) must not happen in the moment between; for a service with data not even when nobody answers."""
    service = operation.target.service
    policy, question = policy_of(book, service), book.memory.operations[operation.id].question
    known = book.services.get(service)
    asked_s = question.since_s if question is not None and question.stands else book.now_s
    if known is not None and known.stateful:
        return Judgement(
            waits_for=service,
            reason=f"its last word stands: {words_of(service, word)}; silent for {span(book.now_s - asked_s)}",
            answered=True,
            look_s=asked_s + policy.answer_s if asked_s + policy.answer_s > book.now_s else None,
            alert_s=asked_s + policy.stuck_after_s,
        )
    if book.now_s >= asked_s + policy.answer_s:
        return None
    reason = f"it said to wait, and is asked again since {span(book.now_s - asked_s)}"
    return Judgement(waits_for=service, reason=reason, look_s=asked_s + policy.answer_s)


def silence_gives_nothing_up(book: Book, operation: Operation, member: MemberRecord) -> Judgement | None:
    """Its place and its volumes would go, and nobody has said that they may."""
    service = book.services.get(member.service)
    if service is None or not service.stateful or last_word(book, operation) is not None:
        return None
    waits = unanswered(book, operation, book.since_s(operation), None)
    return Judgement(
        waits_for=waits.waits_for,
        reason=f"{waits.reason}; its data on {member.node} is not given up by silence",
        look_s=waits.look_s,
        alert_s=waits.alert_s,
    )


def is_given_up(book: Book, operation: Operation) -> bool:
    """To let the loss begin would give a member's volumes up: they are on a node that is dead."""
    member = book.members.get(f"{operation.target.service}.{operation.target.members[0]}")
    bound = book.memory.volumes_bound_to_node
    return member is not None and member.over and bound and not book.node_hears(member)


def beside(book: Book, member: MemberRecord) -> Judgement | None:
    """The patience of what stands on the same node: the proof would end it, too."""
    for other in book.members_on(member.node):
        if other.key == member.key or other.removed is not None or other.over or ends.ending_of(book, other):
            continue
        holds = _holds(book, other)
        if holds is not None:
            # One that runs out at this very moment is asked about again before anything is looked at once more.
            again_s = holds.look_s if holds.look_s is not None else book.now_s + policy_of(book, other.service).answer_s
            return Judgement(
                waits_for=holds.waits_for,
                reason=f"the proof would end {other.task} beside it: {holds.reason}",
                look_s=max(again_s, book.now_s + LOOK_AGAIN_S),
                alert_s=holds.alert_s,
            )
    return None


def _holds(book: Book, other: MemberRecord) -> Judgement | None:
    loss = next((o for o in book.live_on(other) if o.kind == "lost" and o.state == "open"), None)
    if loss is not None:
        return None if loss.forced is not None else patience(book, loss, other)
    known = book.node_seen(other.node)
    until_s = (known.since_s if known else book.now_s) + policy_of(book, other.service).replace_after_s
    if book.now_s >= until_s or (known is not None and known.state == "gone"):
        return None
    return Judgement(waits_for=f"node {other.node}", reason=f"silent; waited for {span(until_s - book.now_s)} more",
                     look_s=until_s)  # fmt: skip


# -- what has begun and cannot end ----------------------------------------------------------------------------------


def holds_end(book: Book, operation: Operation, member: MemberRecord) -> Judgement | None:
    """Of a task on a silent node that an operation ends: what the proof of its end still waits for."""
    until_s = book.since_s(operation) + member.grace_s + SLACK_S
    if book.now_s < until_s and book.node_state(member.node) != "gone":
        reason = f"it was told to end, and has {span(until_s - book.now_s)} more"
        return Judgement(waits_for=f"node {member.node}", reason=reason, look_s=until_s)
    return beside(book, member)


def look(book: Book, service: str) -> None:
    """Asks for the proof that a begun operation waits for: its end would never be heard of."""
    for member in book.members_of(service) if book.anything_begun(service) else ():
        if member.over or book.node_hears(member):
            continue
        operation = ends.ending_of(book, member)
        if operation is None:
            continue
        holds = holds_end(book, operation, member)
        if holds is None:
            book.emit(ProveDeath(operation=operation.id, node=member.node))
        elif holds.look_s is not None:
            book.look_at(service, holds.look_s)

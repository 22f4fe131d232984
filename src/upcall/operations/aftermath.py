"""After a loss: wait, restart here, or replace elsewhere.

It happened, so nobody is asked whether; the service is asked what next, and the static policy decides when it does
not answer. A process that died on a node that is well comes back in place, which takes nothing from anybody. On a
node that is silent nothing is known: the member is waited for, and never replaced before the old incarnation is
proven dead or a person says so.
"""

from typing import Final

from upcall.operations import guard, looping, members, places
from upcall.operations.book import Book
from upcall.operations.consents import policy_of
from upcall.operations.records import MemberRecord, Operation
from upcall.operations.waiting import RESTART_PAUSE, Judgement, answer_words, held_by_guard, homeless, unanswered

LOOK_AGAIN_S: Final = 1.0


def judge_lost(book: Book, operation: Operation) -> Judgement:
    """Involuntary: it happened, and only what follows is asked."""
    member = book.members[f"{operation.target.service}.{operation.target.members[0]}"]
    if member.over and not members.is_lost(book, member):
        return Judgement(waits_for=member.ended_by, reason=f"{member.ended_by} decides how {member.key} comes back")
    if not member.over:
        return _lost_silent(book, operation, member)
    if not book.node_hears(member):
        bound = book.memory.volumes_bound_to_node
        return (_lost_with_node if bound else _lost_beside_its_volumes)(book, operation, member)
    return _lost_process(book, operation, member)


def _lost_process(book: Book, operation: Operation, member: MemberRecord) -> Judgement:
    """It died on a node that is well: back in place, which takes nothing from anybody, after a bounded pause. When that
    was tried and came to nothing, its service is asked first, whatever its policy says of a first end."""
    given = book.answer(operation)
    pause_s = members.launch_pause_s(book, member)
    policy = policy_of(book, member.service)
    if operation.forced is None and given is not None:
        if given.choice == "elsewhere":
            return _elsewhere(book, operation, f"{member.service} prefers elsewhere")
        if given.verdict in ("defer", "decline") or given.choice == "wait":
            return Judgement(waits_for=member.service, reason=answer_words(book, operation), look_s=given.until_s)
    elif operation.forced is None and (policy.on_lost != "restart" or looping.came_to_nothing(book, member)):
        asked_s = book.since_s(operation)
        if policy.on_lost == "wait" or book.now_s < asked_s + policy.answer_s:
            return unanswered(book, operation, asked_s, None)
    if pause_s > book.now_s:
        return Judgement(waits_for=RESTART_PAUSE, reason=f"ended again and again: {member.ended_how}", look_s=pause_s)
    return Judgement(may=True, choice="in_place", reason=f"restart here: {member.ended_how}")


def _lost_silent(book: Book, operation: Operation, member: MemberRecord) -> Judgement:
    """Nobody knows whether it still runs: wait, and never replace it without proof."""
    patience = _patience(book, operation, member) or _deferred_beside(book, member)
    if patience is not None:
        return patience
    return Judgement(
        waits_for=f"proof that {member.task} is dead",
        reason=f"node {member.node} is silent; a person may say --assume-dead",
        proof_of=member.node,
        alert_s=book.since_s(operation) + policy_of(book, member.service).replace_after_s,
    )


def _deferred_beside(book: Book, member: MemberRecord) -> Judgement | None:
    """The proof is of the whole node: it would end what stands beside, too. Who said "not yet" of that is heard."""
    for other in book.members_on(member.node):
        if other.key == member.key or other.removed is not None or other.over or book.begun_on(other) is not None:
            continue
        for loss in book.operations_on(other):
            if loss.kind != "lost" or loss.state != "open":
                continue
            given, renewal = book.answer(loss), _renewal(book, loss)
            if renewal is not None:
                until_s = renewal.look_s
            elif given is not None and given.verdict in ("defer", "decline"):
                # One that runs out at this very moment is asked about again before anything is looked at once more.
                until_s = max(given.until_s, book.now_s + LOOK_AGAIN_S)
            else:
                continue
            return Judgement(
                waits_for=other.service,
                reason=f"the proof would end {other.task} beside it: {answer_words(book, loss)}",
                look_s=until_s,
            )
    return None


def _lost_with_node(book: Book, operation: Operation, member: MemberRecord) -> Judgement:
    """Proven dead, and its node with it."""
    if operation.forced is not None:
        reason = f"assumed dead by {operation.forced.who}"
        if not places.held(book, member):
            return homeless(book, operation, member, reason)
        return Judgement(may=True, choice="elsewhere", reason=reason, over_consent=True)
    return _patience(book, operation, member) or _elsewhere(book, operation, f"{member.task} is proven dead")


def _lost_beside_its_volumes(book: Book, operation: Operation, member: MemberRecord) -> Judgement:
    """Proven dead, and its node with it, but its volumes follow it: it comes back with them wherever there is room. A
    ``wait`` was for that node, so it holds no longer than a node is waited for."""
    given = book.answer(operation)
    if operation.forced is None and given is not None and given.choice == "wait":
        return _patience(book, operation, member, "started again with its volumes") or Judgement(
            may=True, choice="in_place", reason=f"restart with its volumes: {member.ended_how}"
        )
    return _lost_process(book, operation, member)


def _patience(book: Book, operation: Operation, member: MemberRecord, then: str = "replaced") -> Judgement | None:
    """How long a silent node is waited for: ``replace_after_s``, unless it is gone for good.

    A service may have it sooner (``elsewhere``), or hold it as long as it defers. Its ``wait`` agrees with the policy
    and lengthens nothing: a node lost for good would be waited for for ever.
    """
    given = book.answer(operation)
    if given is not None and given.choice == "elsewhere":
        return None
    if given is not None and given.verdict in ("defer", "decline"):
        return Judgement(waits_for=member.service, reason=answer_words(book, operation), look_s=given.until_s)
    until_s = book.since_s(operation) + policy_of(book, member.service).replace_after_s
    if book.node_state(member.node) == "gone" or book.now_s >= until_s:
        return _renewal(book, operation)
    said = f"{answer_words(book, operation)}; " if given is not None and given.choice == "wait" else ""
    return Judgement(
        waits_for=f"node {member.node}",
        reason=f"{said}silent; {then} in {until_s - book.now_s:.0f} s unless it returns",
        look_s=until_s,
    )


def _renewal(book: Book, operation: Operation) -> Judgement | None:
    """A deferral that has just run out is asked about again, and has the answer time to be renewed: what it held up
    (proof of death ends what is left on the node) must not happen in the moment between the two."""
    question, service = book.memory.questions.get(operation.id), operation.target.service
    if question is None or not question.stands or operation.id not in book.memory.said:
        return None
    until_s = question.since_s + policy_of(book, service).answer_s
    if book.now_s >= until_s:
        return None
    reason = f"it said to wait, and is asked again since {book.now_s - question.since_s:.0f} s"
    return Judgement(waits_for=service, reason=reason, look_s=until_s)


def _elsewhere(book: Book, operation: Operation, why: str) -> Judgement:
    objection = guard.objection(book, operation)
    if objection:
        return held_by_guard(book, operation, f"{why}, held by the guard: {objection}")
    member = book.members[f"{operation.target.service}.{operation.target.members[0]}"]
    if not places.held(book, member):
        return homeless(book, operation, member, why)
    return Judgement(may=True, choice="elsewhere", reason=why)

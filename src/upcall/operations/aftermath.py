"""After a loss: wait, restart here, or replace elsewhere.

It happened, so nobody is asked whether; the service is asked what next, and the static policy decides when it does
not answer. A process that died on a node that is well comes back in place, which takes nothing from anybody. On a
node that is silent nothing is known: the member is waited for, and never replaced before the old incarnation is
proven dead or a person says so.
"""

from upcall.operations import guard, looping, members, places
from upcall.operations.book import Book
from upcall.operations.consents import policy_of
from upcall.operations.patience import beside, patience, silence_gives_nothing_up
from upcall.operations.records import GIVES_UP, MemberRecord, Operation
from upcall.operations.waiting import (
    RESTART_PAUSE,
    Judgement,
    answer_words,
    held_by_guard,
    homeless,
    put_off,
    unanswered,
)


def judge_lost(book: Book, operation: Operation) -> Judgement:
    """Involuntary: it happened, and only what follows is asked."""
    member = book.members[f"{operation.target.service}.{operation.target.members[0]}"]
    if member.over and not members.is_lost(book, member):
        return Judgement(waits_for=member.ended_by, reason=f"it decides how {member.key} comes back")
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
        if given.verdict in GIVES_UP:
            return _elsewhere(book, operation, answer_words(book, operation), same_node=given.verdict == "renew")
        if given.verdict in ("defer", "wait"):
            return put_off(book, operation, given)
    elif operation.forced is None and (policy.on_lost != "restart" or looping.came_to_nothing(book, member)):
        asked_s = book.since_s(operation)
        if policy.on_lost == "wait" or book.now_s < asked_s + policy.answer_s:
            return unanswered(book, operation, asked_s, None)
    if pause_s > book.now_s:
        return Judgement(waits_for=RESTART_PAUSE, reason=members.ended_words(book, member), look_s=pause_s)
    return Judgement(may=True, choice="restart", reason=f"restart here: {member.ended_how}")


def _lost_silent(book: Book, operation: Operation, member: MemberRecord) -> Judgement:
    """Nobody knows whether it still runs: wait, and never replace it without proof."""
    waits = patience(book, operation, member) or beside(book, member)
    if waits is not None:
        return waits
    return Judgement(
        waits_for=f"proof that {member.task} is dead",
        reason=f"node {member.node} is silent; a person may say --assume-dead",
        proof_of=member.node,
        alert_s=book.since_s(operation) + policy_of(book, member.service).replace_after_s,
    )


def _lost_with_node(book: Book, operation: Operation, member: MemberRecord) -> Judgement:
    """Proven dead, and its node with it."""
    if operation.forced is not None:
        reason = f"assumed dead by {operation.forced.who}"
        if not places.held(book, member):
            return homeless(book, operation, member, reason)
        return Judgement(may=True, choice="replace", reason=reason, over_consent=True)
    waits = patience(book, operation, member) or silence_gives_nothing_up(book, operation, member)
    return waits or _elsewhere(book, operation, f"{member.task} is proven dead")


def _lost_beside_its_volumes(book: Book, operation: Operation, member: MemberRecord) -> Judgement:
    """Proven dead, and its node with it, but its volumes follow it: it comes back with them wherever there is room. A
    ``wait`` was for that node, so it holds no longer than a node is waited for."""
    given = book.answer(operation)
    if operation.forced is None and given is not None and given.verdict == "wait":
        return patience(book, operation, member, "started again with its volumes") or Judgement(
            may=True, choice="restart", reason=f"restart with its volumes: {member.ended_how}"
        )
    return _lost_process(book, operation, member)


def _elsewhere(book: Book, operation: Operation, why: str, *, same_node: bool = False) -> Judgement:
    """Anew, with empty volumes: on another node, or on its own (``same_node``)."""
    objection = guard.objection(book, operation)
    if objection:
        return held_by_guard(book, operation, f"{why}, but {objection}")
    member = book.members[f"{operation.target.service}.{operation.target.members[0]}"]
    if not places.held(book, member, same_node=same_node):
        return homeless(book, operation, member, why, same_node=same_node)
    return Judgement(may=True, choice="renew" if same_node else "replace", reason=why)

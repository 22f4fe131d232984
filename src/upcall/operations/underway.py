"""What an operation that has begun still waits for. It needs no consent any more; this is for people, and for the
alert when its end does not come."""

from typing import Final

from upcall.operations import beside, course, ends, members
from upcall.operations.book import Book
from upcall.operations.consents import policy_of
from upcall.operations.patience import holds_end
from upcall.operations.records import MemberRecord, Operation
from upcall.operations.table import KINDS
from upcall.operations.waiting import RESTART_PAUSE, Judgement, homeless, paused_by
from upcall.operations.windows import window_end_s

MAY_TAKE: Final = "it has failed unless that is so in"
"""The end of its time, which is no look."""


def judge_begun(book: Book, operation: Operation) -> Judgement:
    """Of an operation that has begun (or a drain): what it still waits for."""
    service = operation.target.service
    if operation.state == "preparing":
        said = course.words(book, operation)
        return Judgement(
            waits_for=service,
            reason="the member leaves; " + (said or "its service confirms when it has"),
            look_s=course.leave_until_s(book, operation),
            look_is=MAY_TAKE,
            alert_s=course.alert_s(book, operation),
        )
    match KINDS[operation.kind].shape:
        case "node":
            return _drain_waits(book, operation)
        case "plan":
            return _plan_waits(book, operation)
        case "foreign":
            return Judgement(waits_for="the substrate", reason="it was let go on")
    if (waits := _beside_waits(book, operation)) is not None:
        return waits
    ending = [m for m in _covered(book, operation) if not m.over and _is_named(operation, m)]
    if ending:
        return _end_waits(book, operation, ending)
    return _start_waits(book, operation)


def _plan_waits(book: Book, operation: Operation) -> Judgement:
    if operation.paused is not None:
        return paused_by(operation.paused)
    steps = ", ".join(f"{step.id} ({step.words()})" for step in book.children(operation))
    if steps:
        return Judgement(waits_for=steps, reason="its steps are not over")
    said = course.words(book, operation)
    alert_s = course.alert_s(book, operation) if said else None
    return Judgement(waits_for=operation.target.service, reason=said or "the service works on it", alert_s=alert_s)


def _covered(book: Book, operation: Operation) -> list[MemberRecord]:
    services = [operation.target.service] if operation.target.service else sorted(book.services)
    return [m for service in services for m in book.members_of(service) if book.covers(operation, m)]


def _is_named(operation: Operation, member: MemberRecord) -> bool:
    return not operation.target.service or operation.target.incarnation_of(member.name) == member.incarnation


def _drain_waits(book: Book, operation: Operation) -> Judgement:
    children = book.children(operation)
    if children:
        names = ", ".join(
            f"{child.id} ({child.kind} of {child.target.service}.{child.target.members[0]})" for child in children
        )
        return Judgement(waits_for=names, reason="what lies below it is not over")
    where = " and ".join(operation.nodes)
    return Judgement(waits_for="its members", reason=f"not all members on {where} are held or gone")


def _beside_waits(book: Book, operation: Operation) -> Judgement | None:
    """It brings a member up elsewhere before it ends what runs."""
    for member in _covered(book, operation):
        if beside.comes_first(book, operation, member):
            known = "" if book.seen(member) else f"{member.task} is not heard of yet; "
            return homeless(book, operation, member, f"{known}it is brought up elsewhere first")
        if member.leaving is None or not beside.has_left(operation, member):
            continue
        patience_s = member.start_timeout_s + policy_of(book, member.service).stuck_after_s
        alert_s = book.since_s(operation) + patience_s
        if words := beside.held(book, operation):
            seen = book.seen(member)
            return Judgement(waits_for=member.task, reason=f"{words} ({seen.state if seen else 'not seen yet'})",
                             alert_s=alert_s)  # fmt: skip
        task = f"{member.key}.{member.leaving.incarnation}"
        return Judgement(waits_for="the substrate", reason=f"{task}: ending", alert_s=alert_s + member.grace_s)
    return None


def _end_waits(book: Book, operation: Operation, ending: list[MemberRecord]) -> Judgement:
    grace_s = max(m.grace_s for m in ending)
    slack_s = max(policy_of(book, m.service).stuck_after_s for m in ending)
    silent = sorted({m.node for m in ending if not book.node_hears(m)})
    tasks = ", ".join(m.task for m in ending)
    handing = [until for m in ending if (until := ends.hand_over_until_s(book, operation, m)) is not None]
    if handing:
        return Judgement(
            waits_for=operation.target.service,
            reason=f"{tasks}: its service prepares the end (before_stop)",
            look_s=max(handing),
            look_is="it ends at the latest in",
        )
    if unknown := [m.task for m in ending if ends.waits_to_be_known(book, operation, m)]:
        return Judgement(
            waits_for="the substrate",
            reason=f"{', '.join(unknown)}: not heard of yet, and its end is looked at again before it comes",
            alert_s=book.since_s(operation) + slack_s,
        )
    if too_few := ends.held(book, operation):
        prepares_s = policy_of(book, operation.target.service).before_stop_s
        return Judgement(
            waits_for="the guard",
            reason=f"{tasks}: runs on: {too_few}",
            look_s=window_end_s(book, operation) if operation.on_deadline == "force" else None,
            look_is="it ends at the latest in",
            alert_s=book.since_s(operation) + prepares_s + slack_s,
        )
    for member in ending:
        holds = None if book.node_hears(member) else holds_end(book, operation, member)
        if holds is not None:
            state = book.node_state(member.node)
            return Judgement(
                waits_for=holds.waits_for,
                reason=f"{member.task}: ending, and node {member.node} is {state}: {holds.reason}",
                look_s=holds.look_s,
                alert_s=holds.alert_s or book.since_s(operation) + grace_s + slack_s,
            )
    return Judgement(
        waits_for=f"proof that {tasks} is dead" if silent else "the substrate",
        reason=f"{tasks}: ending" + (f", and node {silent[0]} is silent" if silent else ""),
        proof_of=silent[0] if silent else "",
        alert_s=book.since_s(operation) + grace_s + slack_s,
    )


def _start_waits(book: Book, operation: Operation) -> Judgement:
    for member in _covered(book, operation):
        if member.over and members.launch_pause_s(book, member) > book.now_s:
            return Judgement(
                waits_for=RESTART_PAUSE,
                reason=members.ended_words(book, member),
                look_s=members.launch_pause_s(book, member),
            )
        seen = book.seen(member)
        state = seen.state if seen else "not seen yet"
        reason = state + (f": {seen.reason}" if seen and seen.reason else "")
        if waits := members.unreturned(book, member):
            reason = f"ready, {waits}"
        return Judgement(
            waits_for=member.task,
            reason=f"{reason}; it is over when this incarnation is back",
            look_s=book.first_launched_s(operation) + member.start_timeout_s,
            look_is=MAY_TAKE,
        )
    return Judgement(waits_for="its members", reason="they are not known any more")

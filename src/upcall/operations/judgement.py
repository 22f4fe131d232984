"""May it begin, and if not: who waits for whom.

One function judges; the ledger begins what it lets pass and ``why`` prints what it says, so an explanation can never
differ from what happens. The order of the questions is the order of the rules in :mod:`upcall.operations.table`.
"""

from typing import Final

import msgspec

from upcall.operations import guard, members
from upcall.operations.book import Book
from upcall.operations.consents import policy_of
from upcall.operations.records import Choice, MemberRecord, Operation
from upcall.operations.table import KINDS


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    may: bool = False
    waits_for: str = ""
    reason: str = ""
    look_s: float | None = None
    """When this judgement may change by itself (monotonic)."""
    alert_s: float | None = None
    """When a person is to be told that it is stuck."""
    choice: Choice = ""
    over_consent: bool = False
    """It goes ahead without an acceptance."""


RESTART_PAUSE: Final = "the restart pause"
"""What a member waits for that ended again and again."""


class _Consent(msgspec.Struct, frozen=True, kw_only=True):
    """One of the alternatives of *may begin* holds."""

    reason: str
    skips_guard: bool = False
    over_consent: bool = False


def judge(book: Book, operation: Operation) -> Judgement:
    """Of an open operation."""
    if operation.paused is not None:
        return Judgement(waits_for="a person", reason=f"paused by {operation.paused.who}: {operation.paused.why}")
    blocked = _blocked(book, operation)
    if blocked is not None:
        return blocked
    if operation.kind == "lost":
        return _lost(book, operation)
    consent = _consent(book, operation)
    if isinstance(consent, Judgement):
        return consent
    objection = "" if consent.skips_guard else guard.objection(book, operation)
    if objection:
        return _held_by_guard(book, operation, f"{consent.reason}, held by the guard: {objection}")
    return Judgement(may=True, reason=consent.reason, over_consent=consent.over_consent)


# -- before any consent ---------------------------------------------------------------------------------------------


def _blocked(book: Book, operation: Operation) -> Judgement | None:
    if KINDS[operation.kind].shape in ("system", "plan"):
        return None
    for member in book.members_of(operation.target.service):
        if not book.covers(operation, member):
            continue
        other = book.begun_on(member)
        if other is not None and operation.kind == "uninstall" and KINDS[other.kind].shape == "back":
            continue  # What brings a member back is pointless once all of it goes; it may be crashing for ever.
        if other is not None and other.id != operation.id:
            return Judgement(
                waits_for=other.id,
                reason=f"behind {other.id} ({other.kind} of {member.key}, {other.state})"
                if other.target.service
                else f"behind {other.id}: the system is shut down",
            )
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
        until_s = book.since_s(operation) + policy_of(book, service).answer_s
        if book.now_s >= until_s:
            return _Consent(reason="the answer time is over", over_consent=True)
    elif operation.class_ == "windowed" and window_over(book, operation):
        if operation.on_deadline in (None, "hold"):
            return Judgement(
                waits_for=service,
                reason=f"the window is over, on_deadline is hold: {_answer_words(book, operation)}",
                look_s=_retry_s(book, operation),
                alert_s=book.now_s,
            )
        return _Consent(
            reason=f"the window is over, on_deadline is {operation.on_deadline}",
            skips_guard=operation.on_deadline == "force",
            over_consent=True,
        )
    elif operation.class_ == "notice" and book.now_s >= book.memory.notices.get(operation.id, book.now_s + 1):
        if KINDS[operation.kind].shape == "foreign":
            return Judgement(waits_for="the substrate", reason="the notice is over: it goes ahead when it likes")
        return _Consent(reason="the notice is over", over_consent=True)
    return None


def _silence(book: Book, operation: Operation) -> _Consent | None:
    """The static policy, when no answer came at all. Voluntary operations never proceed by it."""
    service = book.services.get(operation.target.service)
    question = book.memory.questions.get(operation.id)
    if service is None or question is None or not question.stands or book.answer(operation) is not None:
        return None
    if book.now_s < question.since_s + service.policy.answer_s:
        return None
    if operation.class_ == "grant":
        return _Consent(reason="told, and not declined")
    if operation.class_ != "windowed" or service.silence != "proceed":
        return None
    taken = [o for o in book.live(service.name) if o.begun]
    if len(taken) >= service.policy.at_most or not _first_in_order(book, operation):
        return None
    return _Consent(reason="no answer: the static policy lets it proceed", over_consent=True)


def _first_in_order(book: Book, operation: Operation) -> bool:
    order = policy_of(book, operation.target.service).order

    def rank(other: Operation) -> tuple[int, int]:
        places = [order.index(m) if m in order else len(order) for m in other.target.members]
        return (min(places, default=len(order)), other.number)

    waiting = [o for o in book.live(operation.target.service) if o.state == "open" and o.class_ == operation.class_]
    return rank(operation) == min(rank(other) for other in waiting)


def _waits(book: Book, operation: Operation) -> Judgement:
    service = operation.target.service
    given = book.answer(operation)
    window_s = _window_end_s(book, operation)
    if given is not None:
        look_s = min(given.until_s, window_s) if window_s is not None else given.until_s
        return Judgement(waits_for=service, reason=_answer_words(book, operation), look_s=look_s)
    question = book.memory.questions.get(operation.id)
    if question is not None and not question.stands:
        objection = guard.objection(book, operation)
        if objection:
            return _held_by_guard(book, operation, f"not asked again while the guard holds it: {objection}")
    return _unanswered(book, operation, question.since_s if question else book.since_s(operation), window_s)


def _unanswered(book: Book, operation: Operation, asked_s: float, window_s: float | None) -> Judgement:
    service = operation.target.service
    policy = policy_of(book, service)
    silent_s = book.now_s - asked_s
    looks = [at for at in (window_s, asked_s + policy.answer_s) if at is not None and at > book.now_s]
    host = book.memory.hosts.get(service)
    who = service if host is not None and host.subscribed else f"{service}'s host"
    return Judgement(
        waits_for=who,
        reason=f"silent for {silent_s:.0f} s" if silent_s >= policy.answer_s else f"asked {silent_s:.0f} s ago",
        look_s=min(looks, default=None),
        alert_s=max(asked_s, book.since_s(operation)) + policy.stuck_after_s,
    )


def _held_by_guard(book: Book, operation: Operation, reason: str) -> Judgement:
    given = book.answer(operation)
    window_s = _window_end_s(book, operation)
    looks = [at for at in (given.until_s if given else None, window_s) if at is not None and at > book.now_s]
    return Judgement(
        waits_for="the guard",
        reason=reason,
        look_s=min(looks, default=None),
        alert_s=book.since_s(operation) + policy_of(book, operation.target.service).stuck_after_s,
    )


def _answer_words(book: Book, operation: Operation) -> str:
    given = book.answer(operation)
    service = operation.target.service
    if given is None:
        return f"no answer from {service}"
    words = {
        "accept": "accepted",
        "defer": "deferred",
        "decline": "declined",
        "prefer": f"{given.choice or 'other'} preferred",
    }
    text = f"{words[given.verdict]} by {service}"
    if given.reason:
        text += f": {given.reason}"
    if given.progress is not None:
        text += f" (progress {given.progress:g})"
    return text


def _retry_s(book: Book, operation: Operation) -> float | None:
    given = book.answer(operation)
    return given.until_s if given else None


# -- windows, by wall time ------------------------------------------------------------------------------------------


def window_over(book: Book, operation: Operation) -> bool:
    return operation.deadline_wall_s is not None and book.wall_s >= operation.deadline_wall_s


def _window_end_s(book: Book, operation: Operation) -> float | None:
    """The moment at which its class stops waiting for an answer, in monotonic time; ``None`` when it never does, or
    has already."""
    if operation.class_ == "cure":
        end_s = book.since_s(operation) + policy_of(book, operation.target.service).answer_s
    elif operation.class_ == "notice":
        end_s = book.memory.notices.get(operation.id, book.now_s)
    elif operation.deadline_wall_s is not None:
        end_s = book.now_s + operation.deadline_wall_s - book.wall_s
    else:
        return None
    return end_s if end_s > book.now_s else None


# -- what is lost ---------------------------------------------------------------------------------------------------


def _lost(book: Book, operation: Operation) -> Judgement:
    """Involuntary: it happened, and only what follows is asked."""
    member = book.members[f"{operation.target.service}.{operation.target.members[0]}"]
    if not member.over:
        return _lost_silent(book, operation, member)
    if book.memory.volumes_bound_to_node and not book.node_hears(member):
        return _lost_with_node(book, operation, member)
    return _lost_process(book, operation, member)


def _lost_process(book: Book, operation: Operation, member: MemberRecord) -> Judgement:
    """It died on a node that is well: back in place, which takes nothing from anybody, after a bounded pause."""
    given = book.answer(operation)
    pause_s = members.launch_pause_s(book, member)
    policy = policy_of(book, member.service)
    if operation.forced is None and given is not None:
        if given.choice == "elsewhere":
            return _elsewhere(book, operation, f"{member.service} prefers elsewhere")
        if given.verdict in ("defer", "decline") or given.choice == "wait":
            return Judgement(waits_for=member.service, reason=_answer_words(book, operation), look_s=given.until_s)
    elif operation.forced is None and policy.on_lost != "restart":
        asked_s = book.since_s(operation)
        if policy.on_lost == "wait" or book.now_s < asked_s + policy.answer_s:
            return _unanswered(book, operation, asked_s, None)
    if pause_s > book.now_s:
        return Judgement(waits_for=RESTART_PAUSE, reason=f"ended again and again: {member.ended_how}", look_s=pause_s)
    return Judgement(may=True, choice="in_place", reason=f"restart here: {member.ended_how}")


def _lost_silent(book: Book, operation: Operation, member: MemberRecord) -> Judgement:
    """Nobody knows whether it still runs: wait, and never replace it without proof."""
    patience = _patience(book, operation, member)
    if patience is not None:
        return patience
    return Judgement(
        waits_for=f"proof that {member.task} is dead",
        reason=f"node {member.node} is silent; a person may say --assume-dead",
        alert_s=book.since_s(operation) + policy_of(book, member.service).replace_after_s,
    )


def _lost_with_node(book: Book, operation: Operation, member: MemberRecord) -> Judgement:
    """Proven dead, and its node with it."""
    if operation.forced is not None:
        return Judgement(
            may=True, choice="elsewhere", reason=f"assumed dead by {operation.forced.who}", over_consent=True
        )
    return _patience(book, operation, member) or _elsewhere(book, operation, f"{member.task} is proven dead")


def _patience(book: Book, operation: Operation, member: MemberRecord) -> Judgement | None:
    """How long a silent node is waited for: the service's wish, or ``replace_after_s``, unless it is gone for good."""
    given = book.answer(operation)
    if given is not None and given.choice == "elsewhere":
        return None
    if given is not None and (given.verdict in ("defer", "decline") or given.choice == "wait"):
        return Judgement(waits_for=member.service, reason=_answer_words(book, operation), look_s=given.until_s)
    until_s = book.since_s(operation) + policy_of(book, member.service).replace_after_s
    if book.node_state(member.node) == "gone" or book.now_s >= until_s:
        return None
    return Judgement(
        waits_for=f"node {member.node}",
        reason=f"silent; replaced in {until_s - book.now_s:.0f} s unless it returns",
        look_s=until_s,
    )


def _elsewhere(book: Book, operation: Operation, why: str) -> Judgement:
    objection = guard.objection(book, operation)
    if objection:
        return _held_by_guard(book, operation, f"{why}, held by the guard: {objection}")
    return Judgement(may=True, choice="elsewhere", reason=why)


# -- what has begun -------------------------------------------------------------------------------------------------


def judge_begun(book: Book, operation: Operation) -> Judgement:
    """Of an operation that has begun (or a drain): what it still waits for."""
    service = operation.target.service
    if operation.state == "preparing":
        policy = policy_of(book, service)
        return Judgement(
            waits_for=service,
            reason="the member leaves; its service confirms when it has",
            look_s=book.since_s(operation) + policy.leave_s,
        )
    match KINDS[operation.kind].shape:
        case "node":
            return _drain_waits(book, operation)
        case "plan":
            return Judgement(waits_for=service, reason="the service works on it")
        case "foreign":
            return Judgement(waits_for="the substrate", reason="it was let go on")
    ending = [m for m in _covered(book, operation) if not m.over and _is_named(operation, m)]
    if ending:
        return _end_waits(book, operation, ending)
    return _start_waits(book, operation)


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
    return Judgement(waits_for="its members", reason=f"not all members on {operation.target.node} are held or gone")


def _end_waits(book: Book, operation: Operation, ending: list[MemberRecord]) -> Judgement:
    grace_s = max(m.grace_s for m in ending)
    slack_s = max(policy_of(book, m.service).stuck_after_s for m in ending)
    silent = sorted({m.node for m in ending if not book.node_hears(m)})
    tasks = ", ".join(m.task for m in ending)
    return Judgement(
        waits_for=f"node {silent[0]}" if silent else "the substrate",
        reason=f"{tasks}: not known to have ended" + (", and the node is silent" if silent else ""),
        alert_s=book.since_s(operation) + grace_s + slack_s,
    )


def _start_waits(book: Book, operation: Operation) -> Judgement:
    for member in _covered(book, operation):
        if member.over and members.launch_pause_s(book, member) > book.now_s:
            return Judgement(
                waits_for=RESTART_PAUSE,
                reason=f"ended again and again: {member.ended_how}",
                look_s=members.launch_pause_s(book, member),
            )
        seen = book.seen(member)
        state = seen.state if seen else "not seen yet"
        reason = f"{member.task} is {state}" + (f": {seen.reason}" if seen and seen.reason else "")
        first_s = book.memory.first_launched.get(operation.id, book.since_s(operation))
        return Judgement(
            waits_for=member.task,
            reason=f"{reason}; it is over when this incarnation is ready",
            look_s=first_s + member.start_timeout_s,
        )
    return Judgement(waits_for="its members", reason="they are not known any more")

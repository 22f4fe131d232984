"""One input, one small function: it changes what the input says, and nothing that follows from it."""

from typing import TypeVar

from msgspec.structs import replace

from upcall.operations import carry, consents, declarations, losses, maintenance, members, proposals
from upcall.operations.book import REASON_CHARS_MAX, Book, HostSeen
from upcall.operations.effects import Cordon, Refused, Release, Reserve, Show
from upcall.operations.inputs import (
    Answers,
    AssumeDead,
    Cancel,
    ClockJumped,
    Confirm,
    DeclareMembers,
    DeclareService,
    DisruptionBegan,
    DisruptionEnded,
    Force,
    HostSubscribed,
    HostUnsubscribed,
    Input,
    NodeObserved,
    Pause,
    Propose,
    Started,
    StartMembers,
    TaskObserved,
    Tick,
    Undrain,
    Up,
    WithdrawAnswer,
    WithdrawMembers,
)
from upcall.operations.records import ConsentRecord, Mark, MemberRecord, Operation
from upcall.operations.table import KINDS

K = TypeVar("K")


def take(book: Book, given: Input) -> None:
    """Changes what the input says, or fills in ``refused`` and changes nothing."""
    result = _take(book, given)
    if isinstance(result, Refused):
        book.out.refused = result
    elif isinstance(result, Operation):
        book.out.operation = result.id


def _take(book: Book, given: Input) -> Operation | Refused | None:
    match given:
        case DisruptionBegan():
            return proposals.disruption(book, given)
        case DeclareService():
            return declarations.declare_service(book, given)
        case DeclareMembers():
            return declarations.declare_members(book, given)
        case StartMembers():
            return declarations.start_members(book, given, who=given.service)
        case WithdrawMembers():
            return declarations.withdraw_members(book, given)
        case Answers():
            return consents.answer(book, given)
        case WithdrawAnswer():
            return consents.withdraw(book, given)
        case Confirm():
            return _confirm(book, given)
        case Propose():
            return proposals.propose(book, given)
        case Force():
            return _force(book, given)
        case Pause():
            return _pause(book, given)
        case Cancel():
            return _cancel(book, given)
        case Undrain():
            return _undrain(book, given)
        case Up():
            return _up(book, given)
        case AssumeDead():
            return _assume_dead(book, given)
        case _:
            _learn(book, given)
            return None


def _learn(book: Book, given: Input) -> None:
    """What cannot be refused: it has happened."""
    match given:
        case Started():
            _started(book, given)
        case ClockJumped():
            _clock_jumped(book, given)
        case TaskObserved():
            losses.observe_task(book, given)
        case NodeObserved():
            losses.observe_node(book, given)
        case DisruptionEnded():
            _disruption_ended(book, given)
        case HostSubscribed() | HostUnsubscribed():
            _host(book, given)
        case Tick():
            pass


# -- the driver -----------------------------------------------------------------------------------------------------


def wanted(book: Book) -> list[MemberRecord]:
    """Every incarnation that should run now."""
    return [
        m
        for m in sorted(book.members.values(), key=lambda m: m.key)
        if m.removed is None and m.incarnation > 0 and not m.over and members.ending_of(book, m) is None
    ]


def _started(book: Book, given: Started) -> None:
    """Repeats what still stands; all of it is harmless when it was done already."""
    book.memory.firmness = given.firmness
    book.memory.volumes_bound_to_node = given.volumes_bound_to_node
    for operation in book.standing():
        if operation.kind == "maintenance":
            book.emit(Cordon(node=operation.target.node, closed=True))
    for member in sorted(book.members.values(), key=lambda m: m.key):
        if member.removed is not None:
            keep_s = max(0.0, member.volumes_until_wall_s - book.wall_s)
            book.emit(Release(service=member.service, member=member.name, keep_volumes_s=keep_s))
    for service in sorted(book.services):
        places = {m.name: m.place for m in book.members_of(service) if m.incarnation == 0}
        if places:
            book.emit(Reserve(service=service, places=places))
    for member in wanted(book):
        members.emit_launch(book, member)
    book.mark_all()
    book.mark("")


def _clock_jumped(book: Book, given: ClockJumped) -> None:
    """The judge slept: every monotonic deadline starts anew, so nothing is lost or expired because of the sleep.
    Windows are by wall time and may be over; they say so when they are judged."""
    memory, now_s = book.memory, book.now_s
    memory.since = _all_now(memory.since, now_s)
    memory.launched = _all_now(memory.launched, now_s)
    memory.first_launched = _all_now(memory.first_launched, now_s)
    memory.started_s = now_s
    memory.questions = {o: replace(question, since_s=now_s) for o, question in memory.questions.items()}
    memory.crashes = {m: replace(crashes, last_s=now_s) for m, crashes in memory.crashes.items()}
    memory.notices = {o: at_s + given.slept_s for o, at_s in memory.notices.items()}
    for service in sorted(book.consents):
        _renew(book, book.consents[service])
    book.event("clock", "clock", f"slept for {given.slept_s:.0f} s: every deadline starts anew")
    memory.due = {}
    book.mark_all()
    book.mark("")


def _renew(book: Book, consent: ConsentRecord) -> None:
    if consent.epoch.start == book.memory.start and consent.answers:
        renewed = {
            o: replace(given, at_s=book.now_s, until_s=book.now_s + given.until_s - given.at_s)
            for o, given in consent.answers.items()
        }
        book.put(replace(consent, answers=renewed))


def _all_now(times: dict[K, float], now_s: float) -> dict[K, float]:
    return dict.fromkeys(times, now_s)


def _host(book: Book, given: HostSubscribed | HostUnsubscribed) -> None:
    """Unanswered questions come again after a reconnect."""
    subscribed = isinstance(given, HostSubscribed)
    before = book.memory.hosts.get(given.service)
    if before is None or before.subscribed != subscribed:
        book.memory.hosts[given.service] = HostSeen(subscribed=subscribed, since_s=book.now_s)
        book.event("host", given.service, "subscribed" if subscribed else "gone", service=given.service)
    if subscribed:
        book.emit(Show(service=given.service))
    book.mark(given.service)


# -- services -------------------------------------------------------------------------------------------------------


def _confirm(book: Book, given: Confirm) -> Refused | None:
    operation = book.operations.get(given.operation)
    if operation is None or operation.target.service != given.service:
        return _not_found(given.operation)
    if operation.state == "preparing":
        carry.execute_removal(book, operation, f"{given.service} confirms that it has left")
    elif operation.state == "executing" and book.allows(operation, "finished"):
        carry.end(book, operation, "finished", outcome=f"{given.service} has finished it")
    elif operation.state not in ("executing", "done"):
        return Refused(
            code="conflict",
            message=f"{operation.id} is {operation.state}",
            where=operation.id,
            expected="a removal that prepares, or a plan that has begun",
        )
    return None


# -- people ---------------------------------------------------------------------------------------------------------


def _force(book: Book, given: Force) -> Operation | Refused:
    operation = book.operations.get(given.operation)
    if operation is None:
        return _not_found(given.operation)
    if not given.why.strip():
        return Refused(code="invalid", message="force needs a reason, which stays in the record", where="why")
    if operation.state not in ("open", "preparing"):
        return Refused(
            code="conflict",
            message=f"{operation.id} is {operation.state}: there is nothing to force",
            where=operation.id,
            expected="an operation that has not begun",
        )
    mark = Mark(who=given.who, why=given.why[:REASON_CHARS_MAX], wall_s=book.wall_s)
    for found in [operation, *book.children(operation)]:
        if found.state in ("open", "preparing") and found.forced is None:
            book.put(replace(found, forced=mark, paused=None))
            book.event(
                "operation",
                found.id,
                f"forced by {mark.who}: {mark.why}",
                service=found.target.service,
                operation=found.id,
            )
    return book.operations[operation.id]


def _pause(book: Book, given: Pause) -> Operation | Refused:
    operation = book.operations.get(given.operation)
    if operation is None:
        return _not_found(given.operation)
    if operation.state != "open" or operation.kind == "maintenance":
        return Refused(
            code="conflict",
            message=f"{operation.id} is a {operation.kind} that is {operation.state}",
            where=operation.id,
            expected="an operation on a service that has not begun",
        )
    mark = Mark(who=given.who, why=given.why[:REASON_CHARS_MAX], wall_s=book.wall_s) if given.on == "pause" else None
    book.put(replace(operation, paused=mark))
    book.event(
        "operation",
        operation.id,
        f"{given.on}d by {given.who}",
        service=operation.target.service,
        operation=operation.id,
    )
    return book.operations[operation.id]


def _cancel(book: Book, given: Cancel) -> Operation | Refused:
    operation = book.operations.get(given.operation)
    if operation is None:
        return _not_found(given.operation)
    mark = Mark(who=given.who, why=given.why[:REASON_CHARS_MAX], wall_s=book.wall_s)
    if operation.kind == "maintenance" and book.allows(operation, "lift"):
        maintenance.lift(book, operation, mark)
        return book.operations[operation.id]
    parent = book.operations.get(operation.parent)
    if parent is not None and parent.kind == "maintenance" and parent.state == "open":
        return Refused(
            code="conflict",
            message=f"{operation.id} follows from {parent.id}, asked by {parent.asked_by}",
            where=operation.id,
            expected=f"undrain {parent.target.node}",
        )
    if not KINDS[operation.kind].by_people or operation.class_ == "cure":
        return Refused(
            code="conflict",
            message=f"{operation.id} ({operation.class_} {operation.kind}) is nobody's wish",
            where=operation.id,
            expected="pause it, or remove its cause",
        )
    if not book.allows(operation, "cancel"):
        return Refused(
            code="conflict",
            message=f"{operation.id} is {operation.state}: what has begun goes on",
            where=operation.id,
            expected="an operation that has not begun",
        )
    carry.end(
        book,
        operation,
        "cancel",
        outcome=f"cancelled by {given.who}" + (f": {mark.why}" if mark.why else ""),
        cancelled=mark,
    )
    return book.operations[operation.id]


def _undrain(book: Book, given: Undrain) -> Operation | Refused:
    drain = maintenance.of_node(book, given.node)
    if drain is None:
        return Refused(
            code="not_found",
            message=f"{given.node} is not in maintenance",
            where="node",
            expected=", ".join(o.target.node for o in book.standing() if o.target.node) or "a drained node",
        )
    maintenance.lift(book, drain, Mark(who=given.who, why=given.why[:REASON_CHARS_MAX], wall_s=book.wall_s))
    return book.operations[drain.id]


def _up(book: Book, given: Up) -> Operation | Refused | None:
    shutdown = book.shutdown()
    if shutdown is None:
        return None
    maintenance.lift(book, shutdown, Mark(who=given.who, wall_s=book.wall_s))
    return book.operations[shutdown.id]


def _assume_dead(book: Book, given: AssumeDead) -> Operation | Refused:
    member = book.members.get(f"{given.service}.{given.member}")
    if member is None or member.removed is not None:
        return Refused(code="not_found", message=f"{given.service} has no member {given.member!r}", where="member")
    lost = next((o for o in book.operations_on(member) if o.kind == "lost" and o.state == "open"), None)
    if lost is None or member.over:
        return Refused(
            code="conflict",
            message=f"{member.task} is not waiting for proof of death",
            where=member.key,
            expected="a member that is lost with its node",
        )
    if not given.why.strip():
        return Refused(
            code="invalid", message="a word against proof needs a reason, which stays in the record", where="why"
        )
    mark = Mark(who=given.who, why=given.why[:REASON_CHARS_MAX], wall_s=book.wall_s)
    book.put(replace(lost, forced=mark))
    book.put(replace(member, ended=member.incarnation, ended_how=f"assumed dead by {given.who}: {mark.why}"))
    book.event(
        "member", member.task, f"assumed dead by {given.who}: {mark.why}", service=member.service, operation=lost.id
    )
    return book.operations[lost.id]


# -- the substrate --------------------------------------------------------------------------------------------------


def _disruption_ended(book: Book, given: DisruptionEnded) -> None:
    operation = next((o for o in book.operations.values() if o.foreign_id == given.id and o.live), None)
    if operation is None:
        return
    if not given.happened:
        carry.end(book, operation, "called off", outcome="the substrate called it off")
    elif operation.state == "open":
        carry.went_ahead(book, operation)


def _not_found(operation: str) -> Refused:
    return Refused(code="not_found", message=f"no operation {operation!r}", where="operation")

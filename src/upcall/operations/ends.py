"""The end of what runs: which operation ends it, and what that end still waits for.

A task is ended for one reason alone: an executing operation that names it. Its end may come later than the begin: its
service prepares it first (``before_stop``), or the member left before. The world goes on meanwhile, so what a service
decides about (voluntary, windowed) meets the minimum once more at the moment of such an end, and waits while too few
would be left. It has taken nothing yet, so it holds no cure and no loss of another member up, and nobody's uninstall.
What ``before_stop`` took itself is taken: a member that is not ready any more by then gives nothing back by running on.

A start of the master in between changes nothing of that: what the service said is on record, and such an end waits
until it is known again what it would end.
"""

from typing import Final

from upcall.operations import beside, minimum
from upcall.operations.book import Book
from upcall.operations.dependents import dependents_down
from upcall.operations.effects import EndTask
from upcall.operations.records import MemberRecord, Operation
from upcall.operations.table import KINDS, Class
from upcall.operations.windows import window_end_s, window_over

LOOKED_AT_AGAIN: Final[tuple[Class, ...]] = ("voluntary", "windowed")
"""What others decide by the clock, or has happened, goes on once it has begun."""


def ending_of(book: Book, member: MemberRecord) -> Operation | None:
    """The executing operation that ends the current incarnation. The only reason for which a task is ever ended."""
    if member.over:
        return None
    operation = book.begun_on(member)
    if operation is None or operation.state != "executing":
        return None
    shape = KINDS[operation.kind].shape
    if shape == "system":
        return operation if dependents_down(book, member.service) else None
    if shape == "foreign" or operation.target.incarnation_of(member.name) != member.incarnation:
        return None
    waits = (
        hand_over_until_s(book, operation, member) is not None
        or waits_to_be_known(book, operation, member)
        or waits_for_others(book, operation, member)
        or beside.comes_first(book, operation, member)
    )
    return None if waits else operation


def hand_over_until_s(book: Book, operation: Operation, member: MemberRecord) -> float | None:
    """Until when the end of a member that is well, as far as is known, waits for what its service does before it
    (``before_stop``); ``None`` when it does not: it was said to be done, its time is over, or nobody would do it. After
    a start of the master the time is counted from there."""
    allowed_s = book.policy(member.service).before_stop_s
    if not allowed_s or operation.prepared or operation.kind == "uninstall" or operation.forced is not None:
        return None
    if not (book.well(member) or unknown(book, member)) or beside.comes_first(book, operation, member):
        return None
    host = book.host(member.service)
    until_s = book.since_s(operation) + allowed_s
    if until_s <= book.now_s or (host is not None and not host.subscribed):
        return None
    return until_s


def waits_to_be_known(book: Book, operation: Operation, member: MemberRecord) -> bool:
    """The master started, or the member's node was silent: nobody has said yet whether it runs, and so whether too few
    would be left without it. Whoever runs it says so, or its node is silent (again)."""
    return _looked_at_again(book, operation) and member.counts and unknown(book, member)


def unknown(book: Book, member: MemberRecord) -> bool:
    """It may run well, or not at all: nobody has said so since the master started, or since its node is heard again."""
    return not member.over and book.seen(member) is None and book.node_hears(member)


# -- the minimum at the moment of the end ---------------------------------------------------------------------------


def waits_for_others(book: Book, operation: Operation, member: MemberRecord) -> str:
    """Why the end of this member, which runs and counts, waits although its operation has begun: too few would be
    left. Empty when it does not, or was told to end already."""
    if not _looked_at_again(book, operation) or not book.ready(member) or not member.counts:
        return ""
    if book.memory.members[member.key].signalled == member.incarnation:
        return ""
    return minimum.shortfall(book, operation)


def held(book: Book, operation: Operation) -> str:
    """Why an operation that has begun has not taken (all of) what it names: the minimum keeps its end."""
    if operation.state != "executing" or not _looked_at_again(book, operation):
        return ""
    found = (book.members.get(f"{operation.target.service}.{name}") for name in operation.target.members)
    named = (m for m in found if m is not None and operation.target.incarnation_of(m.name) == m.incarnation)
    return next((words for m in named if (words := waits_for_others(book, operation, m))), "")


def takes_nothing_yet(book: Book, operation: Operation) -> bool:
    """It has begun, and nothing is taken so far: the minimum keeps its end, or it waits for the place at which it
    brings its member up first."""
    return bool(held(book, operation)) or beside.waits_for_a_place(book, operation)


def _may_be_two(book: Book, operation: Operation) -> bool:
    """It may have begun with a launch beside what runs, and so without the minimum."""
    found = (book.members.get(f"{operation.target.service}.{name}") for name in operation.target.members)
    return any(member is not None and member.two_at_once for member in found)


def _looked_at_again(book: Book, operation: Operation) -> bool:
    """Its end was put off, and nobody decided that it goes below the minimum. Without that, begin and end are one
    moment, and were judged."""
    row, policy = KINDS[operation.kind], book.policy(operation.target.service)
    put_off = policy.before_stop_s > 0 or (row.shape == "removal" and (policy.leaves or _may_be_two(book, operation)))
    if not put_off or row.waives_minimum or operation.class_ not in LOOKED_AT_AGAIN or book.shutdown() is not None:
        return False
    forced_by_window = operation.on_deadline == "force" and (operation.over_consent or window_over(book, operation))
    return operation.forced is None and not forced_by_window


# -- telling it to end ----------------------------------------------------------------------------------------------


def signal(book: Book, service: str) -> None:
    """Tells every task to end that an executing operation ends; once, and again when it is seen alive after all."""
    for member in book.leaving_of(service):
        beside.signal(book, member)
    for member in book.members_of(service) if book.anything_begun(service) else ():
        operation = ending_of(book, member)
        if operation is None and (begun := book.begun_on(member)) is not None and begun.state == "executing":
            _look_again(book, begun, member)
        if operation is None or book.memory.members[member.key].signalled == member.incarnation:
            continue
        book.memory.members[member.key].signalled = member.incarnation
        book.emit(
            EndTask(
                service=member.service,
                member=member.name,
                incarnation=member.incarnation,
                grace_s=member.grace_s,
                operation=operation.id,
                reason=operation.reason or operation.kind,
            )
        )


def _look_again(book: Book, operation: Operation, member: MemberRecord) -> None:
    """When what its end waits for may be over by the clock alone; all else is observed."""
    hand_over_s = hand_over_until_s(book, operation, member)
    forced_s = window_end_s(book, operation) if operation.on_deadline == "force" else None
    for at_s in (hand_over_s, forced_s):
        if at_s is not None:
            book.look_at(member.service, at_s)

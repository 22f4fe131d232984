"""The next place of a member is held before anything of the present one is given up.

``replace``, ``move``, ``vacate`` and a loss that is answered with *elsewhere* bring a member up at another place. That
place is asked for first (``HoldPlace``), and held beside the present one. Only then may the operation begin, and only
the launch there gives the old place up, with its data. While nothing fits, the operation waits, all is as it was, and
``why`` says what is missing. A place that nobody has a use for any more is called off.

What stands in effect holds for what comes later: on a node in maintenance nothing starts for the first time, and once
all there is held, nothing starts at all; a place there that was never used is exchanged for another, or waits.

What is known of places is memory: told at each start, and whenever it changes.
"""

from typing import Literal

from msgspec.structs import replace

from upcall.operations.book import Book
from upcall.operations.effects import CallOffPlace, HoldPlace, Reserve
from upcall.operations.memory import NextPlace
from upcall.operations.records import GIVES_UP, MemberRecord, Operation
from upcall.operations.table import KINDS


def held(book: Book, member: MemberRecord, *, same_node: bool = False) -> bool:
    """Its next place is there, on a node that is well and stays; ``here``: on the node of the present one."""
    known = _asked(book, member)
    return known is not None and known.held and _alike(book, member, known, same_node) and _usable(book, known.node)


def hold(book: Book, member: MemberRecord, *, same_node: bool = False) -> bool:
    """Asks for the next place, once; anew when the node of the one that was held has fallen away, or another kind of
    place is wanted now. While both places are in use there is no third. Gives whether it was asked for now."""
    if _both_in_use(book, member):
        return False
    known = _asked(book, member)
    if (
        known is not None
        and _alike(book, member, known, same_node)
        and not (known.held and not _usable(book, known.node))
    ):
        return False
    if known is not None:
        book.emit(CallOffPlace(service=member.service, member=member.name, place=known.place))
    number, takes = member.place + 1, takes_back(book, member)
    book.memory.members[member.key].next_place = NextPlace(place=number, same_node=same_node, takes=takes)
    book.emit(HoldPlace(service=member.service, member=member.name, place=number, same_node=same_node, takes=takes))
    return True


def _both_in_use(book: Book, member: MemberRecord) -> bool:
    """One of it leaves, and the new place is kept: one that ended there comes back there. It is given up when its node
    does not answer, when the service has said so of the loss, or when a person forces what brings it up elsewhere;
    no other wish gives it up."""
    if member.leaving is None:
        return False
    if not member.over:
        return True
    given_up = comes_elsewhere(book, member) or any(_gives_up(book, o, member) for o in book.live_on(member))
    return book.node_hears(member) and not given_up


def _gives_up(book: Book, operation: Operation, member: MemberRecord) -> bool:
    if operation.kind != "lost":
        has_left = 0 < operation.target.incarnation_of(member.name) < member.incarnation
        return operation.forced is not None and KINDS[operation.kind].gives_back == "elsewhere" and not has_left
    given = book.answer(operation)
    answered = operation.state == "open" and given is not None and given.verdict in GIVES_UP
    return operation.choice in GIVES_UP or answered


def is_its_own(book: Book, member: MemberRecord) -> bool:
    """The next place is on the node where the member is."""
    known = _asked(book, member)
    return known is not None and known.held and known.node != "" and known.node == member.node


def takes_back(book: Book, member: MemberRecord) -> int:
    """The set of volumes with which it comes up next, because a person wants it; 0: with empty ones."""
    cause = book.operations.get(member.ended_by)
    wishes = book.live_on(member) if cause is None else [cause, *book.live_on(member)]
    return next((o.takes for o in wishes if o.takes), 0)


def _alike(book: Book, member: MemberRecord, known: NextPlace, same_node: bool) -> bool:
    """The next place that is known is of the kind that is wanted now."""
    takes = takes_back(book, member)
    return known.takes == takes and (takes > 0 or known.same_node == same_node)


def refusal(book: Book, member: MemberRecord) -> str:
    """Why there is no next place; empty while it is not known, or when there is one."""
    known = _asked(book, member)
    return known.reason if known is not None and not known.held else ""


def refused_since_s(book: Book, member: MemberRecord) -> float | None:
    known = _asked(book, member)
    return known.since_s if known is not None and known.reason else None


def words(book: Book, member: MemberRecord) -> str:
    if member.leaving is not None and _both_in_use(book, member):
        return f"{member.key}.{member.leaving.incarnation} runs on at the place before, until {member.task} is back"
    known = _asked(book, member)
    reason = known.reason if known is not None and not known.held else ""
    where = "beside its old volumes" if known is not None and known.same_node else "elsewhere"
    where = "where the volumes are that it takes back" if known is not None and known.takes else where
    return f"nothing fits {where}: {reason}" if reason else f"a place {where} is looked for"


def needed(book: Book, operation: Operation) -> MemberRecord | None:
    """The member for which this open operation needs a next place, and has none."""
    if KINDS[operation.kind].gives_back != "elsewhere" or len(operation.target.members) != 1:
        return None
    member = book.members.get(f"{operation.target.service}.{operation.target.members[0]}")
    if member is None or member.removed is not None or member.incarnation == 0 or held(book, member):
        return None
    return member


# -- nodes in maintenance ------------------------------------------------------------------------------------------


def node_of(book: Book, member: MemberRecord) -> str:
    """Where its place is; empty where nobody knows."""
    return book.memory.members[member.key].place_node or (member.node if member.leaving is not None else "")


def closed_by(book: Book, member: MemberRecord) -> Operation | None:
    """The maintenance of the node on which its place is, when it does not start there: not at all once all there is
    held, or when the node is to be removed; not for the first time before that. (Who was there already, and crashes
    before its stop began, comes back until then.)"""
    node = node_of(book, member)
    for operation in book.standing() if node else ():
        if operation.kind != "maintenance" or node not in operation.nodes:
            continue
        if operation.state == "done" or operation.removes_node or not member.has_data:
            return operation
    return None


def keep_from(book: Book, member: MemberRecord) -> bool:
    """Whether the member has to wait for its node's maintenance. One that has nothing there yet gets another place, if
    there is one."""
    closed = closed_by(book, member)
    if closed is None:
        return False
    node = book.memory.node(node_of(book, member))
    if member.service not in node.keeps:
        node.keeps = (*node.keeps, member.service)
    if not member.has_data:
        move_unused(book, member)
    return True


def move_unused(book: Book, member: MemberRecord) -> None:
    """It was never started at its place: another one takes nothing from it, and it is what it was."""
    if not held(book, member):
        hold(book, member)
        return
    number = member.place + 1
    first = number if member.place == member.first_place else member.first_place
    book.put(replace(member, place=number, first_place=first))
    book.memory.members[member.key].place_node = ""
    book.emit(Reserve(service=member.service, places={member.name: number}))


# -- what is learned ------------------------------------------------------------------------------------------------


def learn(book: Book, service: str, name: str, place: int, *, node: str = "", reason: str = "") -> None:
    """The next place is held on ``node``, or there is none, for this reason."""
    member = book.members.get(f"{service}.{name}")
    if member is None or member.removed is not None:
        book.emit(CallOffPlace(service=service, member=name, place=place))
        return
    memory = book.memory.members[member.key]
    before = memory.next_place
    since_s = before.since_s if before is not None and before.reason and before.place == place else book.now_s
    same = before is not None and before.place == place
    same_node, takes = (before.same_node, before.takes) if before is not None and same else (False, 0)
    memory.next_place = NextPlace(
        place=place, node=node, same_node=same_node, takes=takes, held=not reason, reason=reason, since_s=since_s
    )
    book.mark(service)


# -- what is not needed any more ------------------------------------------------------------------------------------


def look(book: Book, service: str) -> None:
    """Calls off what nobody has a use for."""
    for member in book.with_next_place(service):
        known = book.memory.members[member.key].next_place
        if known is not None and (known.place <= member.place or not _wanted(book, member)):
            call_off(book, member)


def call_off(book: Book, member: MemberRecord) -> None:
    """Nobody wants its next place any more, or it is the present one by now."""
    memory = book.memory.members[member.key]
    known, memory.next_place = memory.next_place, None
    if known is not None and known.place > member.place:
        book.emit(CallOffPlace(service=member.service, member=member.name, place=known.place))


def comes_elsewhere(book: Book, member: MemberRecord) -> bool:
    """Its place was given up, or the node with its volumes is gone."""
    cause = book.operations.get(member.ended_by)
    given_up = cause is not None and KINDS[cause.kind].gives_back == "elsewhere"
    return given_up or (book.memory.volumes_bound_to_node and book.node_state(member.node) == "gone")


def _wanted(book: Book, member: MemberRecord) -> bool:
    if member.over and comes_elsewhere(book, member):
        return True
    if not member.has_data and closed_by(book, member) is not None:
        return True
    return any(map(_may_use, book.live_on(member)))


def _may_use(operation: Operation) -> bool:
    if operation.kind == "lost":
        return operation.state == "open" or operation.choice in GIVES_UP
    return KINDS[operation.kind].gives_back == "elsewhere"


def _asked(book: Book, member: MemberRecord) -> NextPlace | None:
    known = book.memory.members[member.key].next_place
    return known if known is not None and known.place == member.place + 1 else None


def _usable(book: Book, node: str) -> bool:
    if not node:
        return True  # Whoever places finds one when the member is launched.
    state: Literal["", "up", "silent", "gone"] = book.node_state(node)
    return state not in ("silent", "gone") and not any(node in o.nodes for o in book.standing())

"""Members: what is held, what is gone, and what is launched.

A launch is one write of the member's record (the next incarnation; with a new place it is also the proof that the
old one was given up), and only then the effect. Nothing is launched twice: an incarnation's number is used once, and
the next is written only when the one before is known to have ended.
"""

from typing import Final

from msgspec.structs import replace

from upcall.operations import places
from upcall.operations.book import Book
from upcall.operations.effects import Launch, Reserve
from upcall.operations.news import Launched, MemberRetargeted
from upcall.operations.records import Leaving, MemberRecord, Operation
from upcall.operations.table import CHANGES, KINDS

PAUSE_S_MIN: Final = 1.0
PAUSE_S_MAX: Final = 60.0
"""Between restarts of a member that dies again and again: doubled each time, up to a minute."""
LONG_PAUSE_S: Final = 300.0
LONG_PAUSE_FROM: Final = 20
"""Who died so often (a quarter of an hour) gets longer pauses; a person may end one (``task restart``)."""
STABLE_S: Final = 300.0
"""A member that lived for so long, and was ready in that time, is not in a crash loop any more."""


# -- what stands ----------------------------------------------------------------------------------------------------


def held_by(book: Book, member: MemberRecord) -> Operation | None:
    """The drain (or the plain stop) that keeps the member down: derived, never stored on the member. What lies below a
    drain is lifted with it; any other stop (a plan's is one too) by starting the member."""
    if moved_away(book, member):
        return None
    for operation in book.operations_on(member):
        if KINDS[operation.kind].shape != "away" or operation.state not in ("executing", "done"):
            continue
        if operation.target.incarnation_of(member.name) != member.incarnation:
            continue
        parent = book.operations.get(operation.parent)
        if not operation.parent or (parent is not None and KINDS[parent.kind].shape != "node"):
            return operation
        node = operation.target.node
        if parent is not None and parent.state != "lifted" and node in parent.nodes and book.node_state(node) != "gone":
            return parent
    return None


def moved_away(book: Book, member: MemberRecord) -> bool:
    """Whatever held it, it was given up there since, to come up elsewhere."""
    cause = book.operations.get(member.ended_by)
    return cause is not None and KINDS[cause.kind].gives_back == "elsewhere" and cause.state == "done"


def way_back(holder: Operation, member: MemberRecord) -> str:
    """What to do for a held member to run again."""
    return f"undrain {member.node}" if KINDS[holder.kind].shape == "node" else f"start {member.key}"


def held_words(book: Book, member: MemberRecord) -> str:
    """What holds a member that is down, and what gives it back; empty when nothing does. That it is held is its state,
    which stands before these words."""
    holder = held_by(book, member) if member.over else None
    closed = places.closed_by(book, member) if holder is None and member.over and runs_by(book, member) else None
    if closed is not None:
        room = "" if member.has_data else f"; {places.words(book, member)}"
        node = places.node_of(book, member)
        way = "" if closed.removes_node else f"; `upcall node undrain {node}` lets it start there"
        return f"its place is on {node}, where {closed.id} lets nothing start{room}{way}"
    if holder is None:
        return ""
    of = f"the drain of {member.node}" if KINDS[holder.kind].shape == "node" else f"a {holder.kind}"
    verb = "node" if KINDS[holder.kind].shape == "node" else "task"
    return f"{of} ({holder.id}); `upcall {verb} {way_back(holder, member)}` gives it back"


def runs_by(book: Book, member: MemberRecord) -> bool:
    """It should run now, as far as its own record goes."""
    return member.started and member.removed is None and not member.at_its_end


def is_lost(book: Book, member: MemberRecord) -> bool:
    """It ended in the course of no operation, or of one that was to bring it back and does so no more."""
    if not member.over or member.incarnation == 0:
        return False
    cause = book.operations.get(member.ended_by)
    gave_up = cause is not None and KINDS[cause.kind].shape == "back" and cause.state in ("failed", "withdrawn")
    return gave_up or not member.ended_by or _drained_to_death(book, member, cause)


def _drained_to_death(book: Book, member: MemberRecord, cause: Operation | None) -> bool:
    """It was held by a drain, and its node is gone for good: there is no undrain that gives it back."""
    if cause is None or KINDS[cause.kind].shape != "away" or book.node_state(member.node) != "gone":
        return False
    drain = book.operations.get(cause.parent)
    return drain is not None and KINDS[drain.kind].shape == "node"


def is_brought_back(book: Book, member: MemberRecord) -> bool:
    """It is down, and comes back by itself: nothing that somebody wanted has ended it."""
    cause = book.operations.get(member.ended_by)
    return member.over and (not member.ended_by or (cause is not None and KINDS[cause.kind].shape == "back"))


# -- launches -------------------------------------------------------------------------------------------------------


def launch_pause_s(book: Book, member: MemberRecord) -> float:
    """Not before this time: bounded, exponential, forgotten once it was stable."""
    crashes = book.memory.members[member.key].crashes
    if crashes is None or crashes.count < 2:
        return 0.0
    if crashes.count > LONG_PAUSE_FROM:
        return crashes.last_s + LONG_PAUSE_S
    return crashes.last_s + min(PAUSE_S_MAX, PAUSE_S_MIN * 2.0 ** min(crashes.count - 2, 16))


def unreturned(book: Book, member: MemberRecord) -> str:
    """What a member that is ready still waits for, and so does not count; empty when it does, or is not ready."""
    if not book.well(member) or book.ready(member):
        return ""
    failed = book.memory.members[member.key].hook
    said = f": {failed.error}" if failed is not None and failed.incarnation == member.incarnation else ""
    return f"its after_ready has not returned{said}"


def ends_again(book: Book, member: MemberRecord) -> int:
    """How often it ended in short succession, while that goes on: from the second time until it has been ready for as
    long as the longest pause, or is ready by another declaration than the one that ended. A member that is ready for a
    second between two crashes is not well."""
    crashes = book.memory.members[member.key].crashes
    if (
        crashes is None
        or crashes.count < 2
        or crashes.over
        or not runs_by(book, member)
        or held_by(book, member) is not None
    ):
        return 0
    seen = book.seen(member)
    well = book.well(member) and seen is not None and book.now_s >= seen.since_s + PAUSE_S_MAX
    return 0 if well else crashes.count


def ended_words(book: Book, member: MemberRecord) -> str:
    """Why a member waits for its next start. How it ended the last time is told with its loss."""
    crashes = book.memory.members[member.key].crashes
    return f"it ended {crashes.count if crashes is not None else 0} times in short succession"


def bring_up(book: Book, member: MemberRecord, *, by: str, elsewhere: bool, same_node: bool = False) -> None:
    """Launches it; elsewhere once there is a place, for the write that names it gives the old one up."""
    if elsewhere and member.incarnation > 0 and not places.held(book, member, same_node=same_node):
        places.hold(book, member, same_node=same_node)
    else:
        launch(book, member, by=by, elsewhere=elsewhere)


def launch(book: Book, member: MemberRecord, *, by: str = "", elsewhere: bool = False, beside: bool = False) -> None:
    """``beside``: at the next place, which is held, and the one that runs leaves (:mod:`upcall.operations.beside`)."""
    assert member.over or beside, f"{member.task} is not known to have ended"
    leaves = Leaving(incarnation=member.incarnation, place=member.place, launched=member.launched, node=member.node)
    takes = places.takes_back(book, member) if elsewhere else 0
    generation = member.generation if _is_its_turn(book, by) else member.next_generation
    launched = replace(
        member,
        incarnation=member.incarnation + 1,
        launched=generation,
        target=generation,
        place=member.place + (1 if elsewhere else 0),
        starts_before=member.incarnation if elsewhere else member.starts_before,
        taken_back=takes > 0 if elsewhere else member.taken_back,
        took=takes if elsewhere else member.took,
        node="" if elsewhere or not book.memory.volumes_bound_to_node else member.node,
        by=by,
        ended_by="",
        leaving=leaves if beside else member.leaving,
    )
    book.put(launched)
    memory = book.memory.members[member.key]
    memory.launched_s, memory.seen, memory.hook = book.now_s, None, None
    if beside:
        memory.place_node = memory.next_place.node if memory.next_place is not None else ""
        memory.leaving_signalled = False
    if by in book.operations and book.operations[by].live:
        cause = book.memory.operations[by]
        cause.first_launched_s = book.now_s if cause.first_launched_s is None else cause.first_launched_s
    if elsewhere and launched.leaving is None:
        book.emit(Reserve(service=member.service, places={member.name: launched.place}))
    emit_launch(book, launched)
    book.emit(
        Launched(
            service=launched.service,
            member=launched.name,
            incarnation=launched.incarnation,
            by=by,
            place=launched.place if elsewhere else 0,
            takes=takes,
            beside=member.incarnation if beside else 0,
        )
    )


def _is_its_turn(book: Book, by: str) -> bool:
    """What makes the launch necessary is a step of a change that goes on: it brings the newest declaration, in the same
    write. (Of a change that went no further the newest is not known to be any good, or is another one's.)"""
    step = book.operations.get(by)
    return step is not None and is_step(book, step)


def is_step(book: Book, operation: Operation) -> bool:
    """A restart by which a change that goes on comes to its member."""
    plan = book.operations.get(operation.parent)
    return operation.kind == "restart" and plan is not None and plan.kind in CHANGES and plan.state == "executing"


def take_newest(book: Book, member: MemberRecord) -> None:
    """Its next incarnation gets the newest declaration. What runs is not touched."""
    if member.behind:
        book.put(replace(member, target=member.generation))
        book.emit(MemberRetargeted(service=member.service, member=member.name, generation=member.generation))


def emit_launch(book: Book, member: MemberRecord) -> None:
    book.emit(
        Launch(
            service=member.service,
            member=member.name,
            incarnation=member.incarnation,
            place=member.place,
            generation=member.launched,
            beside=member.leaving is not None,
        )
    )


def still_leaves(begun: Operation) -> bool:
    """Its member is to go for good, and has not left: what it has is still to be moved, so it is kept running."""
    return begun.kind == "scale_in" and begun.state == "preparing"


def look(book: Book, service: str) -> None:
    """Plain launches: the first one; what comes back after an operation that is over or lifted; who dies while it
    leaves for good. Initialised members that are all down start together; what was lost comes back by its own
    operation."""
    if service not in book.services or book.shutdown() is not None:
        return
    for member in book.down(service):
        if not runs_by(book, member):
            continue
        begun = book.begun_on(member)
        if begun is not None and not still_leaves(begun):
            continue
        if is_lost(book, member) or held_by(book, member) is not None:
            continue
        pause_s = launch_pause_s(book, member)
        if pause_s > book.now_s:
            book.look_at(service, pause_s)
            continue
        elsewhere = places.comes_elsewhere(book, member)
        if not elsewhere and places.keep_from(book, member):
            continue
        bring_up(book, member, by=member.ended_by, elsewhere=elsewhere)

"""What people say about an operation that stands: force, pause, cancel, give back, undrain, up, assume dead.

Each leaves a mark with who and why, in the record for good. What has begun goes on; only what has not can be taken
back, and a member that leaves: nothing of it has ended yet. Force also lets an end come that waits for the minimum.
"""

from typing import Literal

from msgspec.structs import replace

from upcall.operations import beside, ends, execution, losses, maintenance, members
from upcall.operations.book import REASON_CHARS_MAX, Book
from upcall.operations.effects import Refused
from upcall.operations.inputs import AssumeDead, Cancel, Force, GiveBack, GiveUpVolumes, Pause, Undrain, Up
from upcall.operations.naming import member_of
from upcall.operations.news import AssumedDead, Overruled
from upcall.operations.records import WINDOW, Mark, MemberRecord, Operation
from upcall.operations.table import KINDS
from upcall.operations.words import span


def force(book: Book, given: Force) -> Operation | Refused:
    operation = book.operations.get(given.operation)
    if operation is None:
        return not_found(given.operation)
    if not given.why.strip():
        return Refused(code="invalid", message="force needs a reason, which stays in the record", where="why")
    if not _may_be_forced(book, operation):
        return Refused(
            code="conflict",
            message=f"{operation.id} is {operation.state}: there is nothing to force",
            where=operation.id,
            expected="an operation that has not begun",
        )
    mark = Mark(who=given.who, why=given.why[:REASON_CHARS_MAX], wall_s=book.wall_s)
    for found in [operation, *book.children(operation)]:
        if _may_be_forced(book, found) and (found.forced is None or found.paused is not None):
            book.put(replace(found, forced=mark, paused=None, in_window=False))
            book.emit(Overruled(operation=book.operations[found.id], how="forced", who=mark.who, why=mark.why))
    return book.operations[operation.id]


def _may_be_forced(book: Book, operation: Operation) -> bool:
    waits = ends.takes_nothing_yet(book, operation) or bool(beside.held(book, operation))
    return operation.state in ("open", "preparing") or waits


def pause(book: Book, given: Pause) -> Operation | Refused:
    """Nothing begins while it is paused, whatever is answered and whichever window ends; what makes it pointless still
    withdraws it. A wait for a person is no alarm, and nobody else waits behind it. Of a drain, its stops are paused."""
    operation = book.operations.get(given.operation)
    if operation is None:
        return not_found(given.operation)
    goes_on_in_steps = operation.state == "executing" and KINDS[operation.kind].shape == "plan"
    if not (operation.state == "open" or goes_on_in_steps) or operation.kind == "maintenance":
        return Refused(
            code="conflict",
            message=f"{operation.id} is a {operation.kind} that is {operation.state}",
            where=operation.id,
            expected="an operation on a service that has not begun",
        )
    same = (operation.paused is not None) == (given.on == "pause")
    if same and not (given.window and operation.paused is not None and operation.paused.who == WINDOW):
        return operation  # It is so already; whoever paused it first stays on record.
    if given.window and not (operation.in_window and (operation.paused is None or operation.paused.who == WINDOW)):
        return operation  # Not the window's to say: a person paused it, or let it go on at once.
    mark = Mark(who=given.who, why=given.why[:REASON_CHARS_MAX], wall_s=book.wall_s) if given.on == "pause" else None
    in_window = operation.in_window and (given.window or given.on == "pause")
    book.put(replace(operation, paused=mark, in_window=in_window))
    operation = book.operations[operation.id]
    how: Literal["paused", "resumed"] = "paused" if given.on == "pause" else "resumed"
    book.emit(Overruled(operation=operation, how=how, who=given.who, why=given.why[:REASON_CHARS_MAX]))
    return operation


def cancel(book: Book, given: Cancel) -> Operation | Refused:
    operation = book.operations.get(given.operation)
    if operation is None:
        return not_found(given.operation)
    mark = Mark(who=given.who, why=given.why[:REASON_CHARS_MAX], wall_s=book.wall_s)
    if operation.kind == "maintenance" and book.allows(operation, "lift"):
        maintenance.lift(book, operation, mark)
        return book.operations[operation.id]
    parent = book.operations.get(operation.parent)
    if parent is not None and parent.kind == "maintenance" and parent.state == "open":
        return Refused(
            code="conflict",
            message=f"{operation.id} is not cancelled alone: it follows from {parent.id} ({parent.words()}), asked by "
            f"{parent.asked_by}",
            where=operation.id,
            expected=f"undrain {operation.target.node}",
        )
    if not KINDS[operation.kind].by_people or operation.class_ == "cure":
        return Refused(
            code="conflict",
            message=f"{operation.id} ({operation.words()}) is "
            + ("nobody's wish" if operation.live else f"{operation.state}: there is nothing to cancel"),
            where=operation.id,
            expected="pause it, or remove its cause" if operation.live else "an operation that has not begun",
        )
    if not book.allows(operation, "cancel"):
        held = [m for m in book.members_of(operation.target.service) if members.held_by(book, m) == operation]
        return Refused(
            code="conflict",
            message=f"{operation.id} is {operation.state}: what has begun goes on",
            where=operation.id,
            expected=members.way_back(operation, held[0]) if held else "an operation that has not begun",
        )
    leaves = operation.state == "preparing"
    execution.end(
        book,
        operation,
        "cancel",
        outcome=f"cancelled by {given.who}"
        + (f": {mark.why}" if mark.why else "")
        + (f"; {execution.stays(operation)}" if leaves else ""),
        cancelled=mark,
    )
    return book.operations[operation.id]


def give_up_volumes(book: Book, given: GiveUpVolumes) -> Refused | None:
    member = book.members.get(f"{given.service}.{given.member}")
    if member is None or book.wall_s >= member.volumes_until_wall_s:
        return None  # Nothing of it would be taken back.
    if member.removed is None:
        return Refused(
            code="conflict",
            message=f"{member.key} is at its end, and takes its volumes back when it is started once more",
            where=member.key,
            expected=f"volumes of a member that is gone; these go by themselves in "
            f"{span(member.volumes_until_wall_s - book.wall_s)}",
        )
    if not member.begins_anew:
        book.put(replace(member, begins_anew=True))
    return None


def give_back(book: Book, given: GiveBack) -> Operation | Refused:
    member = member_of(book, given.service, given.member)
    if isinstance(member, Refused):
        return member
    holder = members.held_by(book, member)
    if holder is None and member.at_its_end:
        return losses.start_again(book, member, given.who, given.why[:REASON_CHARS_MAX])
    if holder is None:
        return Refused(
            code="conflict",
            message=f"{member.key} is not held by a stop" + ("" if member.started else ": its plan has not started it"),
            where=member.key,
            expected="a member that was stopped",
        )
    if not book.allows(holder, "lift"):
        return Refused(
            code="conflict",
            message=f"{holder.id} ({holder.kind} of {member.task}) has begun, and {member.task} has not ended yet",
            where=member.key,
            expected="the same again when it has",
        )
    if KINDS[holder.kind].shape != "away":
        return Refused(
            code="conflict",
            message=f"{member.key} is held by {holder.id} ({holder.kind}), asked by {holder.asked_by}",
            where=member.key,
            expected=members.way_back(holder, member),
        )
    maintenance.lift(book, holder, Mark(who=given.who, why=given.why[:REASON_CHARS_MAX], wall_s=book.wall_s))
    return book.operations[holder.id]


def undrain(book: Book, given: Undrain) -> Operation | Refused:
    named = tuple(dict.fromkeys(given.nodes or (given.node,)))
    drain = maintenance.of_node(book, named[0])
    other = next((node for node in named if drain is None or node not in drain.nodes), None)
    if drain is None or other is not None:
        return Refused(
            code="not_found",
            message=f"{other} is not in maintenance" + (f" with {named[0]}, which is by {drain.id}" if drain else ""),
            where="node",
            expected=", ".join(node for o in book.standing() for node in o.nodes) or "a drained node",
        )
    mark = Mark(who=given.who, why=given.why[:REASON_CHARS_MAX], wall_s=book.wall_s)
    if set(named) >= set(drain.nodes):
        maintenance.lift(book, drain, mark)
    else:
        maintenance.give_back(book, drain, named, mark)
    return book.operations[drain.id]


def up(book: Book, given: Up) -> Operation | Refused | None:
    shutdown = book.shutdown()
    if shutdown is None:
        return None
    maintenance.lift(book, shutdown, Mark(who=given.who, wall_s=book.wall_s))
    return book.operations[shutdown.id]


def assume_dead(book: Book, given: AssumeDead) -> Operation | Refused:
    """Counts for whatever waits for proof: a loss, and what has begun and cannot end."""
    found = _assumed(book, given)
    if isinstance(found, Refused):
        return found
    if not given.why.strip():
        return Refused(
            code="invalid", message="a word against proof needs a reason, which stays in the record", where="why"
        )
    mark = Mark(who=given.who, why=given.why[:REASON_CHARS_MAX], wall_s=book.wall_s)
    for member, operation in found:
        begun = operation.begun
        if operation.state == "open":
            book.put(replace(operation, forced=mark))
        ended_by = operation.id if begun else member.ended_by
        how = f"assumed dead by {given.who}: {mark.why}"
        book.put(replace(member, ended=member.incarnation, ended_how=how, ended_by=ended_by))
        book.emit(
            AssumedDead(
                service=member.service,
                member=member.name,
                incarnation=member.incarnation,
                operation=operation.id,
                how=how,
            )
        )
    return book.operations[found[0][1].id]


def _assumed(book: Book, given: AssumeDead) -> list[tuple[MemberRecord, Operation]] | Refused:
    """What waits for proof of death: members, and for each the operation that waits."""
    if given.operation:
        operation = book.operations.get(given.operation)
        if operation is None:
            return not_found(given.operation)
        there = [m for m in book.members_of(operation.target.service) if book.covers(operation, m)]
    else:
        member = member_of(book, given.service, given.member)
        if isinstance(member, Refused):
            return member
        there = [member]
    found = []
    for member in there:
        waiting = _waits_for_proof(book, member)
        if waiting is not None:
            found.append((member, waiting))
    if found:
        return found
    named = ", ".join(member.task for member in there) or given.operation
    return Refused(
        code="conflict",
        message=f"{named} is not waiting for proof of death",
        where=there[0].key if there else given.operation,
        expected="a member that is lost with its node, or that an operation ends on a node that does not answer",
    )


def _waits_for_proof(book: Book, member: MemberRecord) -> Operation | None:
    if member.over or book.node_hears(member):
        return None
    lost = next((o for o in book.live_on(member) if o.kind == "lost" and o.state == "open"), None)
    return lost or ends.ending_of(book, member)


def not_found(operation: str) -> Refused:
    return Refused(code="not_found", message=f"no operation {operation!r}", where="operation")

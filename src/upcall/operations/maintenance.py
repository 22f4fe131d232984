"""Maintenance and shutdown: a parent, what lies below it, and its reverse.

A drain is one operation on a node, or on several that go together (those of a zone), which moves what can move and
holds the rest. Below it is a ``vacate`` for each member there that nothing binds to the node, and for the others, and
for what finds no room elsewhere, a ``stop``, proposed against an incarnation that is not known to have ended. When the
node is removed for good, all are vacated. A drain is done when every member there is held or gone and no child is
live, and it stays in effect until it is lifted: one write, on the drain, from which everything else follows. One of
several nodes may be given back before the others, in one write too; the last lifts the drain. A drain of one node may
become a removal. A member that crashes on a draining node before its stop began comes back, until its stop begins.
One maintenance a node: the second who asks is told whose it is.

Shutdown is told, not asked. It ends first what needs others, then what is needed, all members of one service
together, and keeps the volumes; lifting it brings everything back.
"""

from upcall.operations import consents, members, places
from upcall.operations.book import Book
from upcall.operations.effects import Cordon, Tell
from upcall.operations.proposals import create
from upcall.operations.records import Mark, MemberRecord, Operation, Target
from upcall.operations.table import KINDS


def of_node(book: Book, node: str) -> Operation | None:
    """The maintenance in effect on the node."""
    for operation in book.standing():
        if operation.kind == "maintenance" and node in operation.nodes:
            return operation
    return None


# -- drains ---------------------------------------------------------------------------------------------------------


def look(book: Book, service: str) -> None:
    """Proposes what is missing below the drains that are open."""
    if service not in book.services:
        return
    for drain in book.standing():
        if drain.kind != "maintenance" or drain.state != "open":
            continue
        nodes = drain.nodes
        for member in book.members_of(service):
            if member.node in nodes and members.runs_by(book, member) and _wants_child(book, drain, member):
                _propose_child(book, drain, member)
            elif drain.removes_node and not member.has_data and _is_closed(book, drain, member):
                places.keep_from(book, member)


def _is_closed(book: Book, drain: Operation, member: MemberRecord) -> bool:
    closed = places.closed_by(book, member)
    return closed is not None and closed.id == drain.id


def _propose_child(book: Book, drain: Operation, member: MemberRecord) -> None:
    tried = [o for o in book.operations_on(member) if o.parent == drain.id and o.kind == "vacate"]
    moves = drain.removes_node or (member.portable and not any(o.state == "withdrawn" for o in tried))
    reason = drain.reason or f"{'removal' if drain.removes_node else 'maintenance'} of {member.node}"
    if tried and not moves:
        reason += f" ({tried[-1].outcome})"
    target = Target(
        service=member.service,
        members=(member.name,),
        node=member.node,
        incarnations=() if moves else (member.incarnation,),
    )
    create(book, "vacate" if moves else "stop", target, reason=reason, asked_by=drain.asked_by, parent=drain)


def _wants_child(book: Book, drain: Operation, member: MemberRecord) -> bool:
    if any(o.parent == drain.id for o in book.live_on(member)):
        return False
    if member.over and _vacated(book, drain, member):
        return False  # It was given up here, and waits to be launched elsewhere (after the pause of a crash loop).
    if drain.removes_node:
        # Who is stopped by a person stays so; when started again, it comes up elsewhere.
        return member.incarnation > 0 and (not _is_held(book, member) or _holds(book, drain, member))
    # Only what is seen there: where a new incarnation lands is not known before it does.
    if members.held_by(book, member) is not None:
        return False
    if member.over:
        # Down for a moment between two ends: it would come back, so keeping it down is asked for now.
        return members.ends_again(book, member) > 0 and members.is_brought_back(book, member)
    return book.seen(member) is not None


def _vacated(book: Book, drain: Operation, member: MemberRecord) -> bool:
    by = book.operations.get(member.ended_by)
    return by is not None and by.kind == "vacate" and by.parent == drain.id and by.state == "done"


def finish(book: Book) -> None:
    """Drains and shutdowns that have reached what they want."""
    for operation in book.standing():
        if operation.kind == "maintenance" and operation.state == "open" and _all_held(book, operation):
            book.advance(operation, "all held", outcome="every member there is held or gone")
        elif KINDS[operation.kind].shape == "system":
            _shut_down(book, operation)


def _all_held(book: Book, drain: Operation) -> bool:
    if book.children(drain):
        return False
    return all(_all_held_on(book, drain, node) for node in drain.nodes)


def _all_held_on(book: Book, drain: Operation, node: str) -> bool:
    if book.node_state(node) == "gone":
        return True
    if any(m.leaving is not None and m.leaving.node == node for m in book.leaving()):
        return False  # it serves there until it is back elsewhere
    there = [m for m in book.members_on(node) if members.runs_by(book, m) and m.incarnation > 0]
    if drain.removes_node:
        to_move = (m for m in there if not _is_held(book, m) or _holds(book, drain, m))
        return not any(to_move) and not _unused_places(book, node)
    return all(_is_held(book, m) for m in there)


def _unused_places(book: Book, node: str) -> list[MemberRecord]:
    """Members that were never started and have their place there."""
    known = book.memory.nodes.get(node)
    members = (m for service in (known.keeps if known else ()) for m in book.members_of(service))
    return [m for m in members if not m.has_data and book.memory.members[m.key].place_node == node]


def _holds(book: Book, drain: Operation, member: MemberRecord) -> bool:
    holder = members.held_by(book, member)
    return holder is not None and holder.id == drain.id


def _is_held(book: Book, member: MemberRecord) -> bool:
    return members.held_by(book, member) is not None and (member.over or book.node_state(member.node) == "gone")


def lift(book: Book, operation: Operation, mark: Mark) -> None:
    """Undrain, or up: what has not begun is withdrawn, what has goes on and comes back."""
    lifted = book.advance(
        operation, "lift", lifted=mark, outcome=f"lifted by {mark.who}" + (f": {mark.why}" if mark.why else "")
    )
    if lifted.kind == "maintenance":
        for node in lifted.nodes:
            _open(book, lifted, node)
    elif KINDS[lifted.kind].shape == "system":
        for service in sorted(book.services):
            book.emit(Tell(service=service, operation=lifted.id, what="up"))
        book.mark_all()


def give_back(book: Book, drain: Operation, nodes: tuple[str, ...], mark: Mark) -> None:
    """Undrain of some of its nodes: as lifted for what is there, and it goes on for the others."""
    given_back = tuple(node for node in drain.target.nodes if node in nodes or node in drain.given_back)
    words = f"{', '.join(nodes)} given back by {mark.who}" + (f": {mark.why}" if mark.why else "")
    drain = book.advance(drain, "given back", given_back=given_back, outcome=words)
    for node in nodes:
        _open(book, drain, node)


def _open(book: Book, drain: Operation, node: str) -> None:
    book.emit(Cordon(node=node, closed=False))
    there = {m.service for m in book.members_on(node) if m.removed is None}
    for service in sorted(there):
        book.emit(Tell(service=service, operation=drain.id, what="maintenance over", text=f"node {node}", node=node))


# -- shutdown -------------------------------------------------------------------------------------------------------


def _shut_down(book: Book, operation: Operation) -> None:
    if operation.state == "open":
        begun = book.advance(operation, "may begin", outcome="told")
        for service in sorted(book.services):
            consents.move_epoch(
                book, service, f"{begun.id} begins", gone=tuple(m.task for m in book.members_of(service))
            )
            book.emit(Tell(service=service, operation=begun.id, what="begun", text=operation.reason))
    elif operation.state == "executing" and not _running(book):
        kept = any(service.stateful for service in book.services.values())
        words = "everything has ended; volumes are kept" if kept else "everything has ended"
        book.advance(operation, "incarnation over", outcome=words)
        for service in sorted(book.services):
            book.emit(Tell(service=service, operation=operation.id, what="ended"))


def _running(book: Book) -> list[MemberRecord]:
    def runs(member: MemberRecord) -> bool:
        return member.leaving is not None or (not member.over and book.node_state(member.node) != "gone")

    return [m for m in book.members.values() if m.removed is None and runs(m)]

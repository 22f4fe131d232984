"""What people, services and substrates ask for, checked before anything is written.

Every operation comes into being in :func:`create`. Two people who ask opposite things: the second is told whose wish
stands, and may cancel it. The same key, or the same wish again, gives the same operation.
"""

from typing import Final, Literal

from msgspec.structs import replace

from upcall.operations import looping, members, steps
from upcall.operations.book import REASON_CHARS_MAX, Book
from upcall.operations.effects import Cordon, Refused
from upcall.operations.inputs import Propose
from upcall.operations.naming import member_of
from upcall.operations.news import Overruled, Proposed
from upcall.operations.records import WINDOW, Firmness, Mark, MemberRecord, Operation, Origin, Target
from upcall.operations.table import CHANGES, KINDS, ONE_AT_A_TIME, Class, Kind, OnDeadline

OPEN_MAX: Final = 1000
"""Live operations of one service; a flood is refused, and no other service notices."""
WINDOW_S_MAX: Final = 30 * 86400.0


def create(
    book: Book,
    kind: Kind,
    target: Target,
    *,
    reason: str,
    asked_by: str,
    class_: Class | None = None,
    parent: Operation | None = None,
    window_s: float | None = None,
    on_deadline: OnDeadline | None = None,
    removes_node: bool = False,
    forced: Mark | None = None,
    origin: Origin = "ours",
    foreign_id: str = "",
    firmness: Firmness | None = None,
    impact: str = "",
    key: str = "",
    takes: int = 0,
    revision: int = 0,
    in_window: bool = False,
) -> Operation:
    """One write. What lies below another operation inherits its class, its window and what a person forced."""
    service = book.services.get(target.service)
    if parent is not None:
        class_ = parent.class_
        on_deadline = parent.on_deadline
        if KINDS[parent.kind].shape != "plan":
            # Who forces a change goes over the answer to the change; each step of it is asked about all the same.
            forced = parent.forced
    if on_deadline is None and service is not None:
        on_deadline = "hold" if service.stateful else "proceed"
    operation = Operation(
        id=book.new_operation_id(),
        kind=kind,
        class_=class_ or KINDS[kind].class_,
        target=target,
        reason=reason[:REASON_CHARS_MAX],
        asked_by=asked_by,
        key_given=key,
        origin=origin,
        foreign_id=foreign_id,
        parent=parent.id if parent else "",
        firmness=firmness or book.firmness(kind),
        impact=impact[:REASON_CHARS_MAX] or _impact(kind, removes_node=removes_node, takes=takes),
        deadline_wall_s=parent.deadline_wall_s if parent else None if window_s is None else book.wall_s + window_s,
        on_deadline=on_deadline,
        takes=takes,
        revision=revision,
        in_window=in_window,
        paused=Mark(who=WINDOW, wall_s=book.wall_s) if in_window else None,
        removes_node=removes_node,
        proposed_wall_s=book.wall_s,
        since_wall_s=book.wall_s,
        forced=forced,
    )
    book.put(operation)
    operation = book.operations[operation.id]
    book.memory.operations[operation.id].since_s = book.now_s
    book.emit(Proposed(operation=operation))
    if forced is not None:
        book.emit(Overruled(operation=operation, how="forced", who=forced.who, why=forced.why))
    return operation


def _impact(kind: Kind, *, removes_node: bool, takes: int) -> str:
    if takes:
        return "the member comes up with the volumes that it takes back; what it has now is set aside"
    if KINDS[kind].releases:
        return "volumes are kept for a grace, then deleted"
    if removes_node or KINDS[kind].gives_back == "elsewhere":
        return "the member comes up elsewhere with empty volumes"
    return "volumes are kept"


# -- people and services --------------------------------------------------------------------------------------------


def propose(book: Book, given: Propose) -> Operation | Refused:
    refused = _out_of_scope(given)
    if refused is not None:
        return refused
    known = _same_key(book, given)
    if known is not None:
        return known
    row = KINDS[given.kind]
    refused = _check(book, given)
    if refused is not None:
        return refused
    if row.shape == "node":
        return _maintenance(book, given)
    if row.shape == "system":
        return book.shutdown() or _create(book, given, Target())
    if given.service not in book.services:
        return Refused(code="not_found", message=f"no service {given.service!r}", where="service")
    if len([o for o in book.live(given.service) if o.class_ == "voluntary"]) >= OPEN_MAX:
        return Refused(
            code="conflict",
            message=f"{given.service} has {OPEN_MAX} operations that wait",
            where="service",
            expected="one of them to end first",
        )
    if given.kind == "uninstall":
        return _uninstall(book, given)
    if given.kind in ONE_AT_A_TIME:
        return steps.another_change(book, given) or _create(book, given, Target(service=given.service))
    if row.shape == "plan":
        if (refused := steps.of_what_goes(book, given.service)) is not None:
            return refused
        same = (o for o in book.live(given.service) if o.kind == given.kind and o.target.members == given.members)
        if not given.impact and (standing := next(same, None)) is not None:
            return standing
        return _create(book, given, Target(service=given.service, members=given.members))
    return _on_members(book, given)


def _same_key(book: Book, given: Propose) -> Operation | None:
    """The operation of this key: while it is live, and once it is done. One that ended without doing what was wished
    (withdrawn, declined, failed) does not stand in the way of the same wish again."""
    known = book.operations.get(book.indexes.by_key.get(given.key, "")) if given.key else None
    return None if known is not None and known.state in ("withdrawn", "declined", "failed") else known


def _out_of_scope(given: Propose) -> Refused | None:
    """A service's code proposes for itself: what is shared (a node, the system), what is another's, and the power to
    force are people's."""
    if not given.scope:
        return None
    row = KINDS[given.kind]
    if row.by_people and not row.by_services:
        return Refused(
            code="forbidden",
            message=f"{given.scope} may not propose {given.kind}: it touches more than one service",
            where="kind",
            expected=", ".join(kind for kind, row in KINDS.items() if row.by_services),
        )
    if given.service != given.scope or given.node or given.force:
        what = "force" if given.force else f"an operation on {given.service or given.node or 'the whole system'}"
        return Refused(
            code="forbidden",
            message=f"{given.scope} may not propose {what}",
            where="force" if given.force else "service",
            expected=f"an operation on {given.scope} that it is asked about",
        )
    return None


def _check(book: Book, given: Propose) -> Refused | None:
    if not KINDS[given.kind].by_people:
        return Refused(
            code="invalid",
            message=f"{given.kind} is not proposed: it happens",
            where="kind",
            expected=", ".join(
                kind for kind, row in KINDS.items() if (row.by_services if given.scope else row.by_people)
            ),
        )
    if given.force and not given.reason.strip():
        return Refused(code="invalid", message="force needs a reason, which stays in the record", where="reason")
    if given.window_s is not None and not 0 <= given.window_s <= WINDOW_S_MAX:
        return Refused(
            code="invalid",
            message=f"window_s is {given.window_s:g}",
            where="window_s",
            expected=f"0 to {WINDOW_S_MAX:g}",
        )
    if given.kind in CHANGES and given.revision <= 0:
        return Refused(
            code="invalid",
            message=f"{given.kind} without a revision changes nothing",
            where="revision",
            expected="`upcall update SERVICE --set ...`, which asks for one",
        )
    if given.parent:
        parent = book.operations.get(given.parent)
        if parent is None or not parent.live:
            return Refused(code="not_found", message=f"{given.parent} is not a live operation", where="parent")
        if parent.target.service != given.service:
            return Refused(
                code="invalid", message=f"{given.parent} is not an operation on {given.service}", where="parent"
            )
        return steps.objection(parent)
    return None


def _create(book: Book, given: Propose, target: Target) -> Operation:
    return create(
        book,
        given.kind,
        target,
        reason=given.reason,
        asked_by=given.asked_by,
        window_s=given.window_s,
        parent=book.operations.get(given.parent),
        on_deadline=given.on_deadline,
        removes_node=given.remove,
        forced=_forced(book, given),
        impact=given.impact,
        key=given.key,
        takes=given.takes,
        revision=given.revision,
        in_window=given.in_window and not given.force,
    )


def _forced(book: Book, given: Propose) -> Mark | None:
    if not given.force:
        return None
    return Mark(who=given.asked_by, why=given.reason[:REASON_CHARS_MAX], wall_s=book.wall_s)


def _maintenance(book: Book, given: Propose) -> Operation | Refused:
    """Of one node, or of several that go together: one operation, or none at all."""
    nodes = tuple(dict.fromkeys(given.nodes or (given.node,)))
    for node in nodes:
        if not node or (book.node_seen(node) is None and not book.members_on(node)):
            return Refused(
                code="not_found",
                message=f"no node {node!r}",
                where="node",
                expected=", ".join(sorted(n for n in book.memory.nodes if book.node_seen(n))) or "a node that was seen",
            )
    if given.remove and len(nodes) > 1:
        return Refused(
            code="invalid", message=f"removal of {len(nodes)} nodes", where="node", expected="one node: each is removed"
        )
    for node in nodes:
        standing = next((o for o in book.standing() if node in o.nodes), None)
        if standing is None:
            continue
        if given.remove and not standing.removes_node and standing.nodes == nodes:
            return _becomes_removal(book, given, standing)
        return _in_maintenance(node, nodes, standing)
    one, several = (nodes[0], ()) if len(nodes) == 1 else ("", nodes)
    operation = _create(book, given, Target(node=one, nodes=several, zone=given.zone))
    for node in nodes:
        book.emit(Cordon(node=node, closed=True))
    for member, known in book.memory.members.items():
        if known.place_node in nodes:
            book.mark(member.partition(".")[0])  # Also who has a place there and was never started.
    return operation


def _becomes_removal(book: Book, given: Propose, standing: Operation) -> Operation:
    return book.advance(
        standing,
        "becomes removal",
        outcome=f"{given.asked_by} removes the node" + (f": {given.reason}" if given.reason else ""),
        removes_node=True,
        deadline_wall_s=standing.deadline_wall_s if given.window_s is None else book.wall_s + given.window_s,
        on_deadline=given.on_deadline or standing.on_deadline,
        forced=_forced(book, given) or standing.forced,
    )


def _in_maintenance(node: str, wanted: tuple[str, ...], standing: Operation) -> Refused:
    """The second who asks is told whose it is, and nothing of what he asked begins."""
    together = f" with {', '.join(n for n in standing.nodes if n != node)}" if len(standing.nodes) > 1 else ""
    free = [n for n in wanted if n not in standing.nodes]
    return Refused(
        code="conflict",
        where=node,
        expected="undrain it first" + (f", or ask for {', '.join(free)} alone" if free else ""),
        message=f"{node} is {'being removed' if standing.removes_node else 'in maintenance'}{together} already: "
        f"{standing.id}, asked by {standing.asked_by}",
    )


def _uninstall(book: Book, given: Propose) -> Operation | Refused:
    standing = next((o for o in book.live(given.service) if o.kind == "uninstall"), None)
    if standing is not None:
        return standing
    needed_by = sorted(s.name for s in book.services.values() if given.service in s.needs and s.name != given.service)
    if needed_by and not given.force:
        return Refused(
            code="conflict",
            message=f"{given.service} is needed by {', '.join(needed_by)}",
            where=given.service,
            expected=f"uninstall {' and '.join(needed_by)} first, or force it with a reason",
        )
    return _create(book, given, Target(service=given.service))


def _on_members(book: Book, given: Propose) -> Operation | Refused:
    found: list[MemberRecord] = []
    for name in dict.fromkeys(given.members):
        member = member_of(book, given.service, name, where="members")
        if isinstance(member, Refused):
            return member
        found.append(member)
    single = given.kind != "scale_in"
    if not found or (single and len(found) != 1):
        return Refused(
            code="invalid",
            message=f"{given.kind} of {len(found)} members",
            where="members",
            expected="exactly one member" if single else "at least one member",
        )
    if given.kind == "restart" and found[0].over:
        again = _bringing_back(book, found[0])
        if again is not None:
            return steps.of_what_is_down(book, given.parent, found[0], again) or _tried_now(
                book, given, found[0], again
            )
    for member in found:
        refused = _opposed(book, given, member)
        if refused is not None:
            return refused
    by_incarnation = KINDS[given.kind].shape in ("away", "back")
    target = Target(
        service=given.service,
        members=tuple(m.name for m in found),
        node=found[0].node if single else "",
        incarnations=tuple(m.incarnation for m in found) if by_incarnation else (),
    )
    same = next((o for o in book.live(given.service) if _same_wish(o, given, target)), None)
    return same or _create(book, given, target)


def _bringing_back(book: Book, member: MemberRecord) -> Operation | None:
    """What brings back a member that is down already, and comes back by an operation."""
    bringing = (o for o in book.live_on(member) if KINDS[o.kind].shape == "back")
    return next((o for o in bringing if o.kind == "lost" or o.begun), None)


def _tried_now(book: Book, given: Propose, member: MemberRecord, found: Operation) -> Operation:
    """A restart of what comes back by this operation: that one does not wait for its pause any more, and forced it does
    not wait for its service either."""
    looping.try_now(book, member)
    if given.force and found.state == "open":
        mark = Mark(who=given.asked_by, why=given.reason[:REASON_CHARS_MAX], wall_s=book.wall_s)
        book.put(replace(found, forced=mark, paused=None))
    found, why = book.operations[found.id], given.reason[:REASON_CHARS_MAX]
    how: Literal["forced", "to be tried now"] = "forced" if given.force else "to be tried now"
    book.emit(Overruled(operation=found, how=how, who=given.asked_by, why=why))
    return found


def _same_wish(operation: Operation, given: Propose, target: Target) -> bool:
    return (
        operation.kind == given.kind
        and operation.target == target
        and operation.parent == given.parent
        and operation.class_ != "cure"
        and operation.takes == given.takes
        and not given.force
    )


def _other_volumes(book: Book, given: Propose, member: MemberRecord) -> Refused | None:
    """A member comes up with one set of volumes: whoever wants it with another one is second."""
    if KINDS[given.kind].gives_back != "elsewhere":
        return None
    if given.takes and (member.incarnation == 0 or member.at_its_end):
        return Refused(
            code="conflict",
            message=f"{member.key} {'is at its end' if member.at_its_end else 'was never launched'}",
            where=member.key,
            expected="a member that runs, or is to run",
        )
    other = next((o for o in book.live_on(member) if o.takes != given.takes and _gives_up(o)), None)
    if other is None or not (given.takes or other.takes):
        return None
    return Refused(
        code="conflict",
        message=f"{member.key} is to come up with other volumes: {other.id} ({other.kind}), asked by {other.asked_by}",
        where=member.key,
        expected=f"cancel {other.id} first",
    )


def _gives_up(operation: Operation) -> bool:
    return operation.kind != "lost" and KINDS[operation.kind].gives_back == "elsewhere"


def _opposed(book: Book, given: Propose, member: MemberRecord) -> Refused | None:
    """Whose wish stands against this one."""
    holder = members.held_by(book, member)
    if holder is not None and given.kind in ("restart", "stop"):
        return Refused(
            code="conflict",
            where=member.key,
            expected=f"{members.way_back(holder, member)} first",
            message=f"{member.key} is held by {holder.id} ({holder.kind}), asked by {holder.asked_by}",
        )
    if refused := _other_volumes(book, given, member):
        return refused
    begun = book.begun_on(member)
    if begun is not None and begun.kind in ("uninstall", "scale_in"):
        return Refused(
            code="conflict",
            where=member.key,
            expected="wait until it is over",
            message=f"{member.key} is taken by {begun.id} ({begun.kind}), asked by {begun.asked_by}",
        )
    to_stay_down = given.kind == "stop" and members.ends_again(book, member) > 0
    if KINDS[given.kind].shape in ("away", "back") and member.over and not to_stay_down:
        return Refused(
            code="conflict",
            message=f"{member.key} does not run: {member.ended_how or 'it was never launched'}",
            where=member.key,
            expected="a member that runs",
        )
    return None

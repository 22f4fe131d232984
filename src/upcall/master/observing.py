"""Each thing that the substrate observed, taken in: what the ledger must know of it, and what the master keeps itself.

The substrate says what *is*, of tasks, nodes, places and the disruptions of others; it has done none of it for a reason
of its own. What may follow from it is the ledger's to say, so each case becomes an input of the ledger
(:func:`as_input`, pure), a fact that the master keeps (where a member is, since when it is as it is), or an event.
"""

from typing import TypeAlias

from upcall.master import filling, whereabouts
from upcall.master.open_turn import OpenTurn
from upcall.operations import inputs as given
from upcall.substrate import interface as sub

OfPlace: TypeAlias = given.PlaceObserved | given.PlaceHeld | given.PlaceRefused


def as_input(up: sub.Up) -> given.Input | None:
    """What was observed, in the ledger's words; ``None`` for what is none of its business."""
    match up:
        case sub.Observed(task=task):
            return given.TaskObserved(
                service=task.service,
                member=task.member,
                incarnation=task.incarnation,
                state=up.state,
                node=up.node,
                reason=up.exit.reason if up.exit and up.exit.reason else up.reason,
                exit_code=up.exit.number if up.exit else None,
                not_started=up.exit is not None and up.exit.not_started,
                without_data=up.exit is not None and up.exit.without_data,
                with_its_node=up.exit is not None and up.exit.with_its_node,
                generation=up.generation,
                progress=up.progress,
            )
        case sub.NodeObserved():
            return given.NodeObserved(node=up.node, state=up.state, reason=up.reason)
        case sub.Placed(member_id=member_id):
            service, _, member = member_id.partition(".")
            return given.PlaceObserved(service=service, member=member, node=up.node)
        case sub.Promised(member_id=member_id):
            service, _, member = member_id.partition(".")
            return given.PlaceHeld(service=service, member=member, place=up.place, node=up.node)
        case sub.Unpromised(member_id=member_id):
            service, _, member = member_id.partition(".")
            return given.PlaceRefused(service=service, member=member, place=up.place, reason=up.reason)
        case sub.Disruption(task=task):
            return given.DisruptionBegan(
                id=up.id,
                service=task.service,
                member=task.member,
                incarnation=task.incarnation,
                verb=up.verb,
                firmness=up.firmness,
                reason=up.reason,
                who=up.who,
                deadline_s=up.deadline_s,
            )
        case sub.DisruptionOver():
            return given.DisruptionEnded(id=up.id, happened=up.happened)
        case sub.Disruptions():
            return given.DisruptionsListed(ids=up.ids)
        case sub.NodeExpected() | sub.Unplaced() | sub.VolumesSetAside() | sub.Filling() | sub.Guest():
            return None


def observe(tx: OpenTurn, up: sub.Up) -> None:
    """The master's own facts first: what follows in the ledger may need them."""
    _keep(tx, up)
    item = as_input(up)
    if isinstance(item, OfPlace):
        item = _with_those_that_follow(tx, item)
    if item is not None:
        tx.hand_to_ledger(item)


def _with_those_that_follow(tx: OpenTurn, first: OfPlace) -> given.Input:
    """What is said of places comes in numbers, and is looked at once."""
    said = [first]
    while tx.queue and isinstance(up := tx.queue[0], sub.Up) and isinstance(item := as_input(up), OfPlace):
        _keep(tx, up)
        said.append(item)
        tx.queue.popleft()
    return given.PlacesObserved(places=tuple(said)) if len(said) > 1 else first


def _keep(tx: OpenTurn, up: sub.Up) -> None:
    core = tx.core
    match up:
        case sub.Observed(task=task):
            whereabouts.found_of_task(tx, up)
            whereabouts.seen(tx, up)
            tx.dirty_members.add(task.service)
        case sub.NodeObserved():
            _tell_closed(tx, up)
            before = core.description(up.node)
            core.note_node(up)
            if up.state != "up":
                whereabouts.found_silent(tx, up.node)
            tx.changed.nodes[up.node] = None
            if core.description(up.node) != before:
                # All that a service is shown of machines: whether one is heard just now is not among it.
                tx.dirty_wanted.update(core.state.services)
        case sub.NodeExpected():
            core.expected[up.node] = up
        case sub.Filling():
            filling.observed(tx, up)
        case sub.Guest():
            core.guests[up.service] = up
            tx.changed.guests = True
        case sub.Placed():
            _placed(tx, up)
        case sub.Promised(member_id=member_id):
            core.state.next_nodes[member_id] = up.node
        case sub.Unplaced(service=name):
            if (service := core.state.services.get(name)) and service.unplaced != up.reason:
                service.unplaced, service.unplaced_members = up.reason, up.members
                tx.event("placement", name, f"no place for {', '.join(up.members)}: {up.reason}", service=name)
            tx.dirty_members.add(name)
        case sub.VolumesSetAside(member_id=member_id):
            text = f"volumes {', '.join(up.volumes)} of {member_id} on {up.node} are set aside: {up.reason}"
            tx.event("volumes", member_id, text, node=up.node, fence=up.fence)


def _tell_closed(tx: OpenTurn, up: sub.NodeObserved) -> None:
    """Maintenance that somebody else begins, and ends. One that was there at our start is told of once more."""
    before = tx.core.nodes.get(up.node)
    was = before.closed if before is not None else ""
    if up.closed and up.closed != was:
        tx.event("node", up.node, f"in maintenance {up.closed}", node=up.node)
    elif was and not up.closed and up.state == "up":
        tx.event("node", up.node, "whoever had it in maintenance has opened it again", node=up.node)


def _placed(tx: OpenTurn, up: sub.Placed) -> None:
    name, _, member = up.member_id.partition(".")
    whereabouts.found_of_place(tx, up)
    whereabouts.unplaced_no_more(tx, name, {member})
    tx.dirty_members.add(name)

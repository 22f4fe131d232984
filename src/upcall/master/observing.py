"""Each thing that the substrate observed, taken in: what the ledger must know of it, and what the master keeps itself.

The substrate says what *is*, of tasks, nodes, places and the disruptions of others; it has done none of it for a reason
of its own. What may follow from it is the ledger's to say, so each case ends in an input of the ledger, in a fact that
the master keeps (where a member is, since when it is as it is), or in an event.
"""

from upcall.master import filling, whereabouts
from upcall.master.gathering import Gathering
from upcall.operations import inputs as given
from upcall.substrate import interface as sub


def observe(tx: Gathering, up: sub.Up) -> None:
    core = tx.core
    match up:
        case sub.Observed():
            _task(tx, up)
        case sub.NodeObserved():
            core.note_node(up)
            tx.changed.nodes[up.node] = None
            tx.hand_to_ledger(given.NodeObserved(node=up.node, state=up.state, reason=up.reason))
            tx.dirty_wanted.update(core.state.services)
        case sub.NodeExpected():
            core.expected[up.node] = up
        case sub.Filling():
            filling.observed(tx, up)
        case sub.Placed():
            _placed(tx, up)
        case sub.Promised(member_id=member_id):
            name, _, member = member_id.partition(".")
            tx.hand_to_ledger(given.PlaceHeld(service=name, member=member, place=up.place, node=up.node))
        case sub.Unpromised(member_id=member_id):
            name, _, member = member_id.partition(".")
            tx.hand_to_ledger(given.PlaceRefused(service=name, member=member, place=up.place, reason=up.reason))
        case sub.Unplaced(service=name):
            if (service := core.state.services.get(name)) and service.unplaced != up.reason:
                service.unplaced, service.unplaced_members = up.reason, up.members
                tx.event("placement", name, f"no place for {', '.join(up.members)}: {up.reason}", service=name)
            tx.dirty_members.add(name)
        case sub.VolumesSetAside(member_id=member_id):
            text = f"volumes {', '.join(up.volumes)} of {member_id} on {up.node} are set aside: {up.reason}"
            tx.event("volumes", member_id, text, node=up.node, fence=up.fence)
        case sub.Disruption():
            _disruption(tx, up)
        case sub.DisruptionOver():
            tx.hand_to_ledger(given.DisruptionEnded(id=up.id, happened=up.happened))
        case sub.Disruptions():
            tx.hand_to_ledger(given.DisruptionsListed(ids=up.ids))


def _task(tx: Gathering, up: sub.Observed) -> None:
    task = up.task
    if up.node:
        _, known = tx.core.state.places.get(task.member_id, ("", ""))
        whereabouts.found(tx, task.member_id, up.node, up.address or known)
    whereabouts.seen(tx, up)
    tx.hand_to_ledger(
        given.TaskObserved(
            service=task.service,
            member=task.member,
            incarnation=task.incarnation,
            state=up.state,
            node=up.node,
            reason=up.exit.reason if up.exit and up.exit.reason else up.reason,
            exit_code=up.exit.number if up.exit else None,
            generation=up.generation,
            progress=up.progress,
        )
    )
    tx.dirty_members.add(task.service)


def _placed(tx: Gathering, up: sub.Placed) -> None:
    name, _, member = up.member_id.partition(".")
    before = tx.core.state.places.get(up.member_id)
    if before and before[1] and before[1] != up.address:
        whereabouts.replaced(tx, up.member_id, before[1])
    whereabouts.found(tx, up.member_id, up.node, up.address)
    whereabouts.unplaced_no_more(tx, name, {member})
    tx.hand_to_ledger(given.PlaceObserved(service=name, member=member, node=up.node))
    tx.dirty_members.add(name)


def _disruption(tx: Gathering, up: sub.Disruption) -> None:
    """Somebody else is about to end a task, and says so."""
    tx.hand_to_ledger(
        given.DisruptionBegan(
            id=up.id,
            service=up.task.service,
            member=up.task.member,
            incarnation=up.task.incarnation,
            verb=up.verb,
            firmness=up.firmness,
            reason=up.reason,
            who=up.who,
            deadline_s=up.deadline_s,
        )
    )

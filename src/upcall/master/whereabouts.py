"""Where each member is and since when it is as it is, as the master has it beside the ledger.

The ledger counts places (the first, the second, ...), the substrate says which node and address a place is. What peers
and endpoints are told follows from both, so each change is marked: launches may wait for it. Two of the facts outlive a
restart of the master, as records: the address that a member's present place took over from (its system may have to be
told), and how it was seen last.
"""

from collections.abc import Mapping

from upcall.master import past
from upcall.master import records as r
from upcall.master.core import Core
from upcall.master.open_turn import OpenTurn
from upcall.operations.views import MemberView
from upcall.protocol.errors import NotFound
from upcall.substrate import interface as sub


def of_task(core: Core, member_id: str) -> tuple[str, str]:
    """A member's newest task, and its node; for what is asked of the machines beside it."""
    service, _, name = member_id.partition(".")
    for view in core.state.ledger.members(service):
        if view.name == name and view.incarnation:
            return f"{member_id}.{view.incarnation}", of_newest(core, view)[0]
    raise NotFound(f"{member_id} has no task", where="member", expected="a member that runs")


def of_newest(core: Core, member: MemberView) -> tuple[str, str]:
    """Node and address of a member's newest incarnation; names may still lead to one that leaves."""
    state, member_id = core.state, f"{member.service}.{member.name}"
    if 0 < state.ledger.leaving(member.service, member.name) < member.incarnation:
        seen = state.seen.get(member_id)
        if seen is not None and seen.incarnation == member.incarnation and seen.node:
            return seen.node, seen.address
        return state.next_nodes.get(member_id, ""), ""
    return state.places.get(member_id, (member.node, ""))


def found(tx: OpenTurn, member_id: str, node: str, address: str) -> None:
    """Launches may wait for its address, or for an endpoint that it is behind."""
    places = tx.core.state.places
    if places.get(member_id) != (node, address):
        places[member_id] = (node, address)
        tx.changed.names[member_id.partition(".")[0]] = None


def leads_to(tx: OpenTurn, up: sub.Observed) -> bool:
    """Whether names lead to where it is. Of two that run at once: to the old one, until the new one is ready."""
    seen = tx.core.state.seen.get(up.task.member_id)
    newest = seen is None or up.task.incarnation >= seen.incarnation
    leaving = tx.core.state.ledger.leaving(up.task.service, up.task.member)
    if not leaving:
        return newest
    if up.task.incarnation == leaving:
        return newest or (seen is not None and seen.state != "ready")
    return newest and up.state == "ready"


def replaced(tx: OpenTurn, member_id: str, address: str) -> None:
    """Whoever is there now takes over from this address."""
    tx.core.state.replaced[member_id] = address
    tx.put(r.REPLACED, member_id, address.encode())


def given_up(tx: OpenTurn, service: str, places: Mapping[str, int]) -> None:
    """Where somebody else places, nobody says when a place is given up: it is when the ledger asks for another."""
    state, delegated = tx.core.state, tx.core.substrate.capabilities.placement == "delegated"
    for member, place in places.items():
        member_id = f"{service}.{member}"
        before, state.place_numbers[member_id] = state.place_numbers.get(member_id, place), place
        seen = state.seen.get(member_id)
        address = state.places.get(member_id, ("", ""))[1] or (seen.address if seen else "")
        if delegated and before < place and address:
            replaced(tx, member_id, address)


def seen(tx: OpenTurn, up: sub.Observed) -> None:
    """Since when it is as it is. Seen again in the same state, after a restart of ours too, it has been so all the
    time."""
    known, key = tx.core.state.seen, up.task.member_id
    if up.task.service not in tx.core.state.services:
        return
    before = known.get(key)
    if before and up.task.incarnation < before.incarnation:
        return  # what is left of one that was given up
    if before and (up.task.incarnation, up.state) == (before.incarnation, before.state):
        return
    ended = up.exit or sub.Exit(reason=before.exit_reason if before else "", lines=before.last_lines if before else ())
    known[key] = r.SeenRecord(
        incarnation=up.task.incarnation,
        state=up.state,
        since=tx.wall_s,
        exit_code=ended.number if up.exit is not None or before is None else before.exit_code,
        exit_reason=ended.reason,
        last_lines=ended.lines,
        address=up.address or (before.address if before else ""),
        node=up.node or (before.node if before else ""),
    )
    tx.put(r.SEEN, key, known[key])


def forgotten(tx: OpenTurn, member_id: str) -> None:
    """It was released: whoever has this name next begins anew."""
    state = tx.core.state
    state.places.pop(member_id, None)
    state.place_numbers.pop(member_id, None)
    tx.core.filling.pop(member_id, None)
    state.next_nodes.pop(member_id, None)
    if known := state.seen.pop(member_id, None):
        past.remember(tx, member_id, known)
        tx.delete(r.SEEN, member_id)


def unplaced_no_more(tx: OpenTurn, service: str, members: set[str]) -> None:
    """A plan is placed whole: with one of its members, all have a place; and asked for anew, it has no answer yet."""
    known = tx.core.state.services.get(service)
    if known is not None and not members.isdisjoint(known.unplaced_members):
        known.unplaced, known.unplaced_members = "", ()

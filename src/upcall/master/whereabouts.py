"""Where each member is and since when it is as it is, as the master has it beside the ledger.

The ledger counts places (the first, the second, ...), the substrate says which node and address a place is. What peers
and endpoints are told follows from both, so each change is marked: launches may wait for it. Two of the facts outlive a
restart of the master, as records: the address that a member's present place took over from (its system may have to be
told), and how it was seen last.
"""

from collections.abc import Mapping

import msgspec

from upcall.master import past
from upcall.master import records as r
from upcall.master.core import Core
from upcall.master.open_turn import OpenTurn
from upcall.master.state import OldPlace
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


def found_of_task(tx: OpenTurn, up: sub.Observed) -> None:
    """Where names lead, by what was observed of a task. Of two that run at once: to the old one, until the new one is
    ready and for as long as it is."""
    state, member_id = tx.core.state, up.task.member_id
    before = state.seen.get(member_id)
    newest = before is None or up.task.incarnation >= before.incarnation
    leaving = state.ledger.leaving(up.task.service, up.task.member)
    if not leaving:
        state.old_places.pop(member_id, None)
        leads = newest
    elif up.task.incarnation == leaving:
        _keep_old(tx, member_id, up.node, up.address)
        ready = before is not None and before.incarnation > leaving and before.state == "ready"
        leads = newest or not ready or member_id not in state.places
    else:
        if before is not None and before.incarnation <= leaving and member_id in state.places:
            _keep_old(tx, member_id, *state.places[member_id])  # Of the new one nothing was seen yet.
        leads = newest and up.state == "ready"
        if newest and not leads:
            _back_to_old(tx, member_id)
    if up.node and leads:
        _, known = state.places.get(member_id, ("", ""))
        found(tx, member_id, up.node, up.address or known)


def found_of_place(tx: OpenTurn, up: sub.Placed) -> None:
    """Where names lead, by what was said of a member's place. While one of two leaves, it is that one's: what runs
    beside it may be where names lead by now."""
    state, member_id = tx.core.state, up.member_id
    name, _, member = member_id.partition(".")
    before = state.places.get(member_id)
    if state.ledger.leaving(name, member):
        _keep_old(tx, member_id, up.node, up.address)
        if before is not None:
            return
    if before and before[1] and before[1] != up.address:
        replaced(tx, member_id, before[1])
    found(tx, member_id, up.node, up.address)


def found_silent(tx: OpenTurn, node: str) -> None:
    """The new one of two is on a node that is not heard of: names lead back to the old one, if that is."""
    core = tx.core
    for member_id, old in list(core.state.old_places.items()):
        known = core.nodes.get(old.node)
        if core.node_of(member_id) == node != old.node and known is not None and known.state == "up":
            _back_to_old(tx, member_id)
            tx.dirty_members.add(member_id.partition(".")[0])


def _keep_old(tx: OpenTurn, member_id: str, node: str, address: str) -> None:
    """Where the one that leaves is, for as long as it runs on. By what agents list it is known after a restart too."""
    old_places = tx.core.state.old_places
    leaving = tx.core.state.ledger.leaving(*member_id.split(".", 1))
    kept = old_places.get(member_id)
    if kept is not None and kept.incarnation == leaving and kept.node == node:
        address = address or kept.address
    if node:
        old_places[member_id] = OldPlace(leaving, node, address)


def _back_to_old(tx: OpenTurn, member_id: str) -> None:
    old = tx.core.state.old_places.get(member_id)
    if old is not None and old.incarnation == tx.core.state.ledger.leaving(*member_id.split(".", 1)):
        found(tx, member_id, old.node, old.address)


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
    now = msgspec.structs.replace(
        before or r.SeenRecord(incarnation=up.task.incarnation, state=up.state, since=tx.wall_s),
        incarnation=up.task.incarnation,
        state=up.state,
        since=tx.wall_s,
    )
    if up.exit is not None:
        now = msgspec.structs.replace(
            now,
            exit_code=up.exit.number,
            exit_reason=up.exit.reason,
            last_lines=up.exit.lines,
            ended=up.task.incarnation,
            ended_at=tx.wall_s,
        )
    known[key] = msgspec.structs.replace(now, address=up.address or now.address, node=up.node or now.node)
    tx.put(r.SEEN, key, known[key])


def forgotten(tx: OpenTurn, member_id: str) -> None:
    """It was released: whoever has this name next begins anew."""
    state = tx.core.state
    state.places.pop(member_id, None)
    state.old_places.pop(member_id, None)
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

"""Each effect of the ledger, performed: a call of the substrate, or something that somebody is told.

The ledger decides and names what follows; here it is done, and nothing is decided any more. What the substrate answers
is taken in by the turn, where it is the next input.

This module holds the only call of ``substrate.end``: nothing ends a task but an effect of a begun operation.
"""

import msgspec

from upcall.master import reporting, whereabouts
from upcall.master.open_turn import OpenTurn
from upcall.operations import effects as fx
from upcall.operations.news import MemberReleased, News, OfTask, TaskSeen
from upcall.operations.table import KINDS
from upcall.substrate import interface as sub


def perform(tx: OpenTurn, effect: fx.Effect) -> None:
    substrate = tx.core.substrate
    match effect:
        case News():  # as most are
            _tell(tx, effect)
        case fx.Reserve():
            _reserve(tx, effect)
        case fx.HoldPlace():
            _hold_place(tx, effect)
        case fx.CallOffPlace(service=name, member=member, place=place):
            tx.take_from_substrate(substrate.call_off_place(f"{name}.{member}", place, tx.now_s))
        case fx.Launch():
            _launch(tx, effect)
        case fx.EndTask():
            task = sub.TaskId(effect.service, effect.member, effect.incarnation)
            if _is_only_let_go(tx, effect):
                tx.take_from_substrate(substrate.let_go(task, tx.now_s))
            else:
                tx.take_from_substrate(substrate.end(task, effect.grace_s, tx.now_s))
            tx.dirty_members.add(effect.service)
        case fx.Release(service=name, member=member, keep_volumes_s=keep_s):
            tx.take_from_substrate(substrate.release(f"{name}.{member}", tx.now_s, keep_volumes_s=keep_s))
            if not effect.stays:
                whereabouts.forgotten(tx, f"{name}.{member}")
            tx.dirty_members.add(name)
        case fx.Cordon(node=node, closed=closed):
            tx.take_from_substrate(substrate.cordon(node, tx.now_s, closed=closed))
        case fx.ProveDeath(node=node):
            tx.take_from_substrate(substrate.prove_death(node, tx.now_s))
        case fx.HoldDisruption(id=disruption, held=held):
            tx.take_from_substrate(substrate.hold_disruption(disruption, tx.now_s, held=_still_held(held)))
        case fx.Show(service=name):
            tx.shown.add(name)
            tx.dirty_members.add(name)
        case fx.Tell():
            tx.told.append(effect)
            tx.dirty_members.add(effect.service)
            tx.dirty_wanted.add(effect.service)
        case fx.Alert():
            about = {"service": effect.service, "operation": effect.operation}
            tx.event("alert", effect.operation, effect.text, detail=False, alert=True, **about)


def _is_only_let_go(tx: OpenTurn, effect: fx.EndTask) -> bool:
    """A member of somebody else's workload that leaves for good, or with all of ours, is not asked about any more, and
    goes on. What moves it, or starts it anew, ends it: its owner brings another."""
    member_id = f"{effect.service}.{effect.member}"
    operation = tx.core.state.ledger.operation(effect.operation)
    if operation is None or not tx.core.state.is_guest(member_id):
        return False
    row = KINDS[operation.kind]
    return row.releases or row.shape == "system"


def _still_held(held: fx.StillHeld | None) -> sub.StillHeld | None:
    if held is None:
        return None
    return sub.StillHeld(operation=held.operation, waits_for=held.waits_for, reason=held.reason, progress=held.progress)


def _reserve(tx: OpenTurn, effect: fx.Reserve) -> None:
    core, name, places = tx.core, effect.service, effect.places
    found = {
        member: core.declaration(name, member, place, effect.generations.get(member, 0))
        for member, place in places.items()
    }
    wanted = {member: each for member, each in found.items() if each is not None}
    if not wanted:
        return
    whereabouts.unplaced_no_more(tx, name, set(places))
    whereabouts.given_up(tx, name, places)
    tx.take_from_substrate(core.substrate.reserve(name, wanted, tx.now_s, places=places))
    tx.dirty_members.add(name)


def _hold_place(tx: OpenTurn, effect: fx.HoldPlace) -> None:
    declaration = tx.core.declaration(effect.service, effect.member, effect.place)
    if declaration is not None:
        member_id = f"{effect.service}.{effect.member}"
        tx.take_from_substrate(
            tx.core.substrate.hold_place(
                member_id, declaration, effect.place, tx.now_s, same_node=effect.same_node, takes=effect.takes
            )
        )


def _launch(tx: OpenTurn, effect: fx.Launch) -> None:
    declaration = tx.core.declaration(effect.service, effect.member, effect.place, effect.generation)
    if declaration is None:
        tx.event("master", f"{effect.service}.{effect.member}", "cannot be launched: it is not declared")
        return
    task = sub.TaskId(effect.service, effect.member, effect.incarnation)
    wanted = sub.Wanted(
        task=task,
        declaration=declaration,
        generation=effect.generation,
        place=effect.place,
        beside=effect.beside,
    )
    tx.take_from_substrate(tx.core.substrate.launch(wanted, tx.now_s))
    tx.dirty_members.add(effect.service)


def _has_no_volumes(tx: OpenTurn, news: MemberReleased) -> bool:
    """Of a member whose declarations are still known; the ledger itself knows nothing of volumes."""
    service = tx.core.state.services.get(news.service)
    generations = service.members.get(news.member, {}) if service is not None else {}
    return bool(generations) and not any(wanted.declaration.volumes for wanted in generations.values())


def _tell(tx: OpenTurn, news: News) -> None:
    """The ledger's news in the words that a person reads, with the facts that a program reads."""
    state, ledger = tx.core.state, tx.core.state.ledger
    data = news.data
    operation, by = ledger.operation(data.get("operation", "")), None
    if isinstance(news, OfTask):
        data["node"] = data.get("node") or state.places.get(news.member_id, ("", ""))[0]
        by = ledger.made_necessary(news.subject)
    detail = reporting.is_detail(news, operation, by)
    if isinstance(news, TaskSeen) and (seen := state.seen.get(news.member_id)) is not None:
        # As it was before a restart of ours: found again, not changed.
        same = (seen.incarnation, seen.state) == (news.incarnation, news.state)
        detail = detail or (same and seen.since < tx.wall_s)
    known = {key: value for key, value in data.items() if value not in ("", None)}
    if isinstance(news, MemberReleased) and _has_no_volumes(tx, news):
        news = msgspec.structs.replace(news, keep_volumes_s=0.0)  # Nothing is kept that a person could want back.
    text = reporting.text(news, ledger, data.get("node", ""))
    tx.event(news.kind, news.subject, text, detail=detail, **known)
    if service := data.get("service"):
        tx.dirty_members.add(service)

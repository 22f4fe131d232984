"""Between the ledger's words and the wire's, as the master translates them."""

from typing import Final

import msgspec

from upcall.operations import effects as fx
from upcall.operations.records import Policy
from upcall.operations.views import MemberView, PendingOperation
from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict, Forbidden, Invalid, NotFound, Stale, UpcallError
from upcall.testing.seen import Seen

WORDS: Final = {
    "declared": "wanted", "held": "held", "unknown": "lost", "finished": "finished", "failed": "failed", "gone": "gone",
}  # fmt: skip

REFUSED: Final[dict[str, type[UpcallError]]] = {
    "invalid": Invalid,
    "not_found": NotFound,
    "conflict": Conflict,
    "stale": Stale,
    "forbidden": Forbidden,
}


def policy(said: wire.Policy) -> Policy:
    return msgspec.convert(said, Policy, from_attributes=True)


def operation(world: Seen, pending: PendingOperation) -> wire.Operation:
    op = pending.operation
    member = op.target.members[0] if len(op.target.members) == 1 and op.kind != "uninstall" else ""
    return wire.Operation(
        id=op.id,
        kind=op.kind,
        klass=op.class_,
        state=op.state,
        reason=op.reason,
        asked_by=op.asked_by,
        member=member,
        incarnation=op.target.incarnation_of(member) if member else 0,
        node=op.target.node or world.places.get(f"{op.target.service}.{member}", ("", ""))[0],
        parent=op.parent,
        origin=op.origin,
        firmness=op.firmness,
        on_deadline=op.on_deadline or "",
        deadline_s=pending.window_left_s,
        keeps_volumes=op.kind not in ("replace", "move", "vacate", "scale_in"),
        takes_back=pending.operation.takes > 0,
        comes_back=op.kind not in ("uninstall", "scale_in"),
        answer=pending.answer.verdict if pending.answer and not pending.asked else "",
    )


def members(world: Seen, service: str) -> wire.Members:
    refused = world.refused.get(service)
    found = tuple(_member(world, view) for view in world.ledger.members(service))
    return wire.Members(version=0, members=found, unplaced=refused.reason if refused else "")


def _member(world: Seen, view: MemberView) -> wire.Member:
    member_id = f"{view.service}.{view.name}"
    node, address = world.places.get(member_id, (view.node, ""))
    generations = world.generations.get(member_id, [])
    described = world.nodes.get(node)
    return wire.Member(
        name=view.name,
        incarnation=view.incarnation,
        place=view.place - view.first_place + 1,
        state=_state(view),
        generation=view.generation,
        declared_generation=len(generations),
        node=node,
        zone=described.attributes.get("zone", "") if described else "",
        address=address,
        ports={port.name: port.number for port in generations[-1].declaration.ports} if generations else {},
        back=view.back,
        reason=view.reason,
        exit_code=world.exits.get(member_id),
        starts=view.starts,
        ended_times=view.ended_times,
        role=view.role,
        taken_back=view.taken_back,
    )


def _state(view: MemberView) -> str:
    return WORDS.get(view.status) or view.observed or {"launching": "pending"}.get(view.status, view.status)


def error(refused: fx.Refused) -> UpcallError:
    return REFUSED[refused.code](refused.message, where=refused.where, expected=refused.expected)

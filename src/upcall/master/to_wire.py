"""What a service hears: the ledger's records and views in the wire's words.

Pure, and the only place that has these words: what is known beside the ledger (where a member is, what was declared of
it, how it was seen) is given by whoever asks. :mod:`~upcall.master.from_wire` is the other way.
"""

from collections.abc import Callable, Iterable
from typing import Final, Literal, NamedTuple

from msgspec.structs import replace

from upcall.master.records import SeenRecord, ServiceRecord
from upcall.operations import effects as fx
from upcall.operations.ledger import Ledger
from upcall.operations.records import Operation
from upcall.operations.views import MemberView, PendingOperation, PendingSet
from upcall.protocol import service as wire
from upcall.protocol.declaration import Declaration
from upcall.substrate.interface import DiskUse, Node

Desired = Literal["running", "uninstalling", "shut_down"]
NodeOf = Callable[[str], str]
"""Where a member is, by its id; empty: nobody knows."""

Brings = Callable[[Operation], wire.Revision | None]
"""The revision of an update or upgrade, as its service is shown it."""

STATUS_WORDS: Final = {
    "declared": "wanted", "held": "held", "unknown": "lost", "finished": "finished", "failed": "failed",
}  # fmt: skip
"""Members that are in none of the substrate's states."""


# -- operations -----------------------------------------------------------------------------------------------------


def operations(pending: PendingSet, node_of: NodeOf, brings: Brings) -> wire.Operations:
    return wire.Operations(
        epoch=str(pending.epoch),
        version=pending.version,
        operations=tuple(pending_operation(each, node_of, brings) for each in pending.operations),
    )


def news(effect: fx.Tell, operation: Operation, node_of: NodeOf, brings: Brings) -> wire.Told:
    what = operation.state if effect.what == "ended" else effect.what
    alone = operation_alone(operation, node_of, brings)
    operation_then = replace(alone, node=effect.node) if effect.node else alone
    return wire.Told(what=what, operation=operation_then, text=effect.text)


def operation_alone(operation: Operation, node_of: NodeOf, brings: Brings) -> wire.Operation:
    """One that nobody is asked about."""
    return pending_operation(PendingOperation(operation=operation, asked=False), node_of, brings)


def pending_operation(pending: PendingOperation, node_of: NodeOf, brings: Brings) -> wire.Operation:
    operation = pending.operation
    member = operation.target.members[0] if len(operation.target.members) == 1 else ""
    return wire.Operation(
        id=operation.id,
        kind=operation.kind,
        klass=operation.class_,
        state=operation.state,
        reason=operation.reason,
        asked_by=operation.asked_by,
        member=member if operation.kind != "uninstall" else "",
        incarnation=operation.target.incarnation_of(member) if member else 0,
        node=operation.target.node or node_of(f"{operation.target.service}.{member}"),
        parent=operation.parent,
        origin=operation.origin,
        firmness=operation.firmness,
        on_deadline=operation.on_deadline or "",
        deadline_s=pending.window_left_s,
        keeps_volumes=operation.kind not in ("replace", "move", "vacate", "scale_in"),
        takes_back=operation.takes > 0,
        takes_nothing=pending.takes_nothing,
        comes_back=operation.kind not in ("uninstall", "scale_in"),
        revision=brings(operation) if operation.revision else None,
        paused=operation.paused is not None,
        answer=pending.answer.verdict if pending.answer and not pending.asked else "",
    )


# -- members --------------------------------------------------------------------------------------------------------


class Known(NamedTuple):
    """What is known of a member beside the ledger."""

    node: str
    address: str
    zone: str
    generation: int
    """Of its newest declaration."""
    declaration: Declaration | None
    seen: SeenRecord | None
    filling: tuple[DiskUse, ...] = ()


def member_state(view: MemberView) -> str:
    return STATUS_WORDS.get(view.status) or view.observed or {"launching": "pending"}.get(view.status, view.status)


def member(view: MemberView, known: Known) -> wire.Member:
    seen, declaration = known.seen, known.declaration
    return wire.Member(
        name=view.name,
        incarnation=view.incarnation,
        place=view.place - view.first_place + 1,
        state=member_state(view),
        generation=view.generation,
        declared_generation=known.generation,
        target_generation=view.target,
        revision=view.revision,
        node=known.node,
        zone=known.zone,
        address=known.address,
        ports={port.name: port.number for port in declaration.ports} if declaration else {},
        back=view.back,
        reason=view.reason,
        exit_code=seen.exit_code if seen else None,
        exit_reason=seen.exit_reason if seen else "",
        last_lines=seen.last_lines if seen else (),
        starts=view.starts,
        ended_times=view.ended_times,
        without_data=view.without_data,
        role=view.role,
        taken_back=view.taken_back,
        leaving=view.leaving,
        filling=tuple(wire.DiskUse(one.volume, one.used_mib, one.bound_mib, one.over) for one in known.filling),
    )


# -- the service as a whole -----------------------------------------------------------------------------------------


def desired(ledger: Ledger, service: str) -> Desired:
    """What is wanted of a service as a whole: derived from the operations that stand. Of a shutdown and an uninstall
    the one that was asked for first goes first."""
    shutdown = ledger.shutdown()
    for operation in ledger.live(service):
        if operation.kind == "uninstall" and operation.begun:
            earlier = shutdown is not None and shutdown.number < operation.number
            return "shut_down" if earlier else "uninstalling"
    return "shut_down" if shutdown is not None else "running"


def wanted(
    record: ServiceRecord, ledger: Ledger, nodes: Iterable[Node], wall_s: float, *, in_place: bool
) -> wire.Wanted:
    return wire.Wanted(
        name=record.name,
        package=record.package,
        version=record.version,
        revision=record.revision,
        options=record.options,
        derived=tuple(record.derived),
        desired=desired(ledger, record.name),
        bindings=record.bindings,
        installed_at=record.created_at,
        left_behind=tuple(ledger.left_behind(record.name, wall_s)),
        lost_behind=tuple(ledger.lost_behind(record.name, wall_s)),
        nodes=tuple(map(node_view, nodes)),
        in_place=in_place,
    )


def node_view(node: Node) -> wire.NodeView:
    return wire.NodeView(
        name=node.name,
        zone=node.attributes.get("zone", ""),
        cpus=node.cpus,
        memory_mib=node.memory_mib,
        disk_mib=node.disk_mib,
    )

"""What services hear: the wire's whole sets, made from the state at the end of a turn, sent after its commit."""

from collections.abc import Callable

from upcall.master.core import Core
from upcall.master.state import Service
from upcall.master.streams import Streams
from upcall.operations import effects as fx
from upcall.operations.records import Operation
from upcall.operations.views import MemberView, PendingOperation
from upcall.protocol import service as wire
from upcall.substrate import interface as sub

STATUS_WORDS = {
    "declared": "wanted", "held": "held", "unknown": "lost", "finished": "finished", "failed": "failed", "gone": "gone",
}  # fmt: skip
"""Members that are in none of the substrate's states."""


class Notifier:
    """Implements :class:`upcall.master.core.Listener`."""

    def __init__(self, streams: Streams, send: Callable[[sub.Send], None]) -> None:
        self._streams = streams
        self._send = send
        self.on_members: Callable[[str], None] = lambda service: None

    def send(self, send: sub.Send) -> None:
        self._send(send)

    def show(self, core: Core, service: str) -> Callable[[], None] | None:
        if not self._streams.connected(service):
            return None
        event = operations_event(core, service)
        return lambda: self._streams.send(service, event)

    def members(self, core: Core, service: str) -> Callable[[], None] | None:
        known = core.state.services.get(service)
        if known is None:
            return None
        known.members_version += 1
        event = members_event(core, known) if self._streams.connected(service) else None

        def release() -> None:
            if event:
                self._streams.send(service, event)
            self.on_members(service)

        return release

    def wanted(self, core: Core, service: str) -> Callable[[], None] | None:
        known = core.state.services.get(service)
        if known is None or not self._streams.connected(service):
            return None
        event = wanted_event(core, known)
        return lambda: self._streams.send(service, event)

    def told(self, core: Core, told: fx.Told) -> Callable[[], None] | None:
        operation = core.state.ledger.operation(told.operation)
        if operation is None or not self._streams.connected(told.service):
            return None
        event = wire.Told(
            what=operation.state if told.what == "ended" else told.what,
            operation=wire_operation(core, PendingOperation(operation=operation, asked=False, asked_times=0)),
        )
        return lambda: self._streams.send(told.service, event)


def wire_operation(core: Core, pending: PendingOperation) -> wire.Operation:
    operation: Operation = pending.operation
    member = operation.target.members[0] if len(operation.target.members) == 1 else ""
    place = core.state.places.get(f"{operation.target.service}.{member}")
    return wire.Operation(
        id=operation.id,
        kind=operation.kind,
        klass=operation.class_,
        state=operation.state,
        reason=operation.reason,
        asked_by=operation.asked_by,
        member=member if operation.kind != "uninstall" else "",
        incarnation=operation.target.incarnation_of(member) if member else 0,
        node=operation.target.node or (place[0] if place else ""),
        parent=operation.parent,
        origin=operation.origin,
        firmness=operation.firmness,
        on_deadline=operation.on_deadline or "",
        deadline_s=pending.window_left_s,
        keeps_volumes=operation.kind not in ("replace", "move", "vacate", "scale_in"),
        takes_back=operation.takes > 0,
        comes_back=operation.kind not in ("uninstall", "scale_in"),
        answer=pending.answer.verdict if pending.answer and not pending.asked else "",
    )


def operations_event(core: Core, service: str) -> wire.Operations:
    pending = core.state.ledger.pending(service, core.monotonic(), core.wall())
    return wire.Operations(
        epoch=str(pending.epoch),
        version=pending.version,
        operations=tuple(wire_operation(core, each) for each in pending.operations),
    )


def member_state(view: MemberView) -> str:
    return STATUS_WORDS.get(view.status) or view.observed or {"launching": "pending"}.get(view.status, view.status)


def members_event(core: Core, service: Service) -> wire.Members:
    name = service.record.name
    return wire.Members(
        version=service.members_version,
        members=tuple(_member(core, service, view) for view in core.state.ledger.members(name)),
        unplaced=service.unplaced,
    )


def _member(core: Core, service: Service, view: MemberView) -> wire.Member:
    member_id = f"{view.service}.{view.name}"
    node, address = core.state.places.get(member_id, (view.node, ""))
    declaration = service.declaration(view.name)
    seen = core.state.seen.get(member_id)
    return wire.Member(
        name=view.name,
        incarnation=view.incarnation,
        place=view.place - view.first_place + 1,
        state=member_state(view),
        generation=view.generation,
        declared_generation=service.generation(view.name),
        node=node,
        zone=core.zone(node),
        address=address,
        ports={port.name: port.number for port in declaration.ports} if declaration else {},
        back=view.back,
        reason=view.reason,
        exit_code=seen.exit_code if seen else None,
        exit_reason=seen.exit_reason if seen else "",
        last_lines=seen.last_lines if seen else (),
        starts=view.starts,
        ended_times=view.ended_times,
        role=view.role,
        taken_back=view.taken_back,
    )


def wanted_event(core: Core, service: Service) -> wire.Wanted:
    record = service.record
    return wire.Wanted(
        name=record.name,
        package=record.package,
        version=record.version,
        revision=record.revision,
        options=record.options,
        desired=core.desired(record.name),
        bindings=record.bindings,
        installed_at=record.created_at,
        left_behind=tuple(core.state.ledger.left_behind(record.name, core.wall())),
        nodes=tuple(
            wire.NodeView(
                name=node.name, zone=node.attributes.get("zone", ""), cpus=node.cpus, memory_mib=node.memory_mib
            )
            for seen in core.known_nodes().values()
            if (node := seen.description) is not None
        ),
    )

"""What services hear: the wire's whole sets, made from the state at the end of a turn, sent after its commit."""

from collections.abc import Callable
from functools import partial

from upcall.master import revisions, to_wire
from upcall.master.core import Core
from upcall.master.state import Service
from upcall.master.streams import Streams
from upcall.operations import effects as fx
from upcall.operations.views import MemberView
from upcall.protocol import service as wire
from upcall.substrate import interface as sub


class Notifier:
    """Implements :class:`upcall.master.core.Listener`."""

    def __init__(self, streams: Streams, send: Callable[[sub.Send], None]) -> None:
        self._streams = streams
        self._send = send

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
        if not self._streams.connected(service):
            return None
        event = members_event(core, known)
        return lambda: self._streams.send(service, event)

    def wanted(self, core: Core, service: str) -> Callable[[], None] | None:
        known = core.state.services.get(service)
        if known is None or not self._streams.connected(service):
            return None
        event = wanted_event(core, known)
        return lambda: self._streams.send(service, event)

    def news(self, core: Core, told: fx.Tell) -> Callable[[], None] | None:
        operation = core.state.ledger.operation(told.operation)
        if operation is None or not self._streams.connected(told.service):
            return None
        event = to_wire.news(told, operation, core.node_of, partial(revisions.of_operation, core))
        return lambda: self._streams.send(told.service, event)


def operations_event(core: Core, service: str) -> wire.Operations:
    pending = core.state.ledger.pending(service, core.monotonic(), core.wall())
    return to_wire.operations(pending, core.node_of, partial(revisions.of_operation, core))


def members_event(core: Core, service: Service) -> wire.Members:
    return wire.Members(
        version=service.members_version,
        members=tuple(_member(core, service, view) for view in core.state.ledger.members(service.record.name)),
        unplaced=service.unplaced,
    )


def _member(core: Core, service: Service, view: MemberView) -> wire.Member:
    member_id = f"{view.service}.{view.name}"
    node, address = core.state.places.get(member_id, (view.node, ""))
    known = to_wire.Known(
        node=node,
        address=address,
        zone=core.zone(node),
        generation=service.generation(view.name),
        declaration=service.declaration(view.name, view.generation),
        seen=core.state.seen.get(member_id),
        filling=core.filling[member_id].disks if member_id in core.filling else (),
    )
    return to_wire.member(view, known)


def wanted_event(core: Core, service: Service) -> wire.Wanted:
    nodes = (seen.description for seen in core.known_nodes().values() if seen.description is not None)
    in_place = core.substrate.capabilities.resize_in_place
    return to_wire.wanted(service.record, core.state.ledger, nodes, core.wall(), in_place=in_place)

"""Between the protocol's words and the kernel's: a declaration is a need, a registration an amount."""

from functools import lru_cache
from typing import Any, Final, get_args

from upcall.kernel import records as kr
from upcall.kernel.resources import Resources, milli
from upcall.protocol import agent as wire
from upcall.protocol.declaration import Declaration
from upcall.protocol.errors import Invalid
from upcall.substrate.interface import DiskUse, Node, NodeState, TaskState
from upcall.substrate.tasks import parse

RECORD_TYPES: Final[dict[str, Any]] = {
    kr.NODE: kr.NodeRecord,
    kr.RESERVATION: kr.Reservation,
    kr.COMING: kr.Reservation,
    kr.LEFT: kr.LeftVolumes,
    kr.ADDRESSES: int,
}

_TASK_STATES: Final = frozenset(get_args(TaskState))


@lru_cache(maxsize=1024)
def amount_of(cpus: float, memory_mib: float, disk_mib: float) -> Resources:
    return Resources({"cpus": milli(cpus), "memory_mib": milli(memory_mib), "disk_mib": milli(disk_mib)})


def need_of(declaration: Declaration) -> kr.Need:
    wants, where = declaration.resources, declaration.constraints
    return kr.Need(
        amount=amount_of(wants.cpus, wants.memory_mib, wants.disk_mib),
        volumes=tuple(kr.Volume(volume.name, volume.size_mib, volume.kind) for volume in declaration.volumes),
        apart=where.apart,
        per_node=where.per_node,
        spread=where.spread,
        together=where.together,
        attributes=dict(where.attributes),
    )


def covers(reserved: kr.Need, need: kr.Need) -> bool:
    """The reservation is what this launch needs; a volume more than it asks for does no harm."""
    sizes = {volume.name: volume.size_mib for volume in reserved.volumes}
    return reserved.amount == need.amount and all(sizes.get(v.name, -1) >= v.size_mib for v in need.volumes)


def describe(record: kr.NodeRecord) -> Node:
    scalar = record.total.scalar
    return Node(
        name=record.name,
        cpus=scalar("cpus") / 1000,
        memory_mib=scalar("memory_mib") // 1000,
        disk_mib=scalar("disk_mib") // 1000,
        attributes=dict(record.attributes),
    )


def node_state(state: str) -> NodeState:
    """A late node is still counted on, so nobody is told."""
    if state == "silent":
        return "silent"
    return "gone" if state == "gone" else "up"


def check_registration(node: str, message: wire.Register) -> Resources:
    """What the node has; refuses a registration that makes no sense before anything of it is believed."""
    for status in message.tasks:
        check_status(node, status)
    try:
        return amount_of(message.cpus, message.memory_mib, message.disk_mib)
    except ValueError as error:
        raise Invalid(f"a registration that makes no sense: {error}", where=node, expected="what it has") from None


def disk_uses(usage: wire.TaskUsage) -> tuple[DiskUse, ...]:
    return tuple(DiskUse(volume=one.volume, used_mib=one.used_mib, bound_mib=one.bound_mib) for one in usage.filling)


def check_status(node: str, status: wire.TaskStatus) -> None:
    if parse(status.task) is None:
        raise Invalid(f"{status.task} is not a task", where=node, expected="service.member.incarnation")
    if status.state not in _TASK_STATES:
        raise Invalid(
            f"{status.state} is not the state of a task", where=node, expected=", ".join(sorted(_TASK_STATES))
        )

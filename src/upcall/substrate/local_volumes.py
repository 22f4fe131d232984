"""Every set of volumes that the machines keep, as the kernel has it."""

from collections.abc import Iterator

from upcall.kernel.kernel import Kernel
from upcall.kernel.records import LeftVolumes, Reservation, Volume
from upcall.substrate.interface import SetState, VolumeSet


def listed(kernel: Kernel) -> list[VolumeSet]:
    """Of all members, in the order of their names."""
    return sorted(_all(kernel), key=lambda one: (one.member_id, one.fence, one.node))


def _all(kernel: Kernel) -> Iterator[VolumeSet]:
    books = kernel.books
    for reserved in books.reservations.values():
        if reserved.need.volumes:
            yield _set(kernel, reserved, "in use", reserved.need.volumes)
    held = set()
    for coming in books.coming.values():
        held.add((coming.member_id, coming.fence, coming.node))
        if coming.need.volumes:
            yield _set(kernel, coming, "held", coming.need.volumes)
    for left in books.left.all():
        if (left.member_id, left.fence, left.node) not in held:
            until_wall_s = left.until_wall_s if left.state == "kept" else 0.0
            yield _set(kernel, left, left.state, left.volumes, until_wall_s, left.reason)


def _set(
    kernel: Kernel,
    of: Reservation | LeftVolumes,
    state: SetState,
    volumes: tuple[Volume, ...],
    until_wall_s: float = 0.0,
    reason: str = "",
) -> VolumeSet:
    return VolumeSet(
        member_id=of.member_id,
        fence=of.fence,
        node=of.node,
        state=state,
        volumes=tuple(volume.name for volume in volumes),
        size_mib=sum(volume.size_mib for volume in volumes),
        node_state=kernel.books.nodes.state(of.node),
        until_wall_s=until_wall_s,
        reason=reason,
    )

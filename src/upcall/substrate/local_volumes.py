"""Every set of volumes that the machines keep, as the kernel has it."""

from collections.abc import Iterable, Iterator

from upcall.kernel.kernel import Kernel
from upcall.kernel.records import LeftVolumes, Reservation, Volume
from upcall.substrate.interface import SetState, VolumeSet


def listed(kernel: Kernel) -> list[VolumeSet]:
    """Of all members, in the order of their names."""
    return sorted(_all(kernel), key=lambda one: (one.member_id, one.fence, one.node))


def _all(kernel: Kernel) -> Iterator[VolumeSet]:
    books = kernel.books
    yield from _reserved(kernel, books.reservations.values(), "in use")
    yield from _reserved(kernel, books.coming.values(), "held")
    held = {(one.member_id, one.fence, one.node) for one in books.coming.values()}
    for left in books.left.all():
        if (left.member_id, left.fence, left.node) not in held:
            yield _left(kernel, left)


def _reserved(kernel: Kernel, reservations: Iterable[Reservation], state: SetState) -> Iterator[VolumeSet]:
    for one in reservations:
        if one.need.volumes:
            yield VolumeSet(
                member_id=one.member_id,
                fence=one.fence,
                node=one.node,
                state=state,
                volumes=_names(one.need.volumes),
                size_mib=_size_mib(one.need.volumes),
                node_state=kernel.books.nodes.state(one.node),
            )


def _left(kernel: Kernel, left: LeftVolumes) -> VolumeSet:
    return VolumeSet(
        member_id=left.member_id,
        fence=left.fence,
        node=left.node,
        state=left.state,
        volumes=_names(left.volumes),
        size_mib=_size_mib(left.volumes),
        node_state=kernel.books.nodes.state(left.node),
        until_wall_s=left.until_wall_s if left.state == "kept" else 0.0,
        reason=left.reason,
    )


def _names(volumes: tuple[Volume, ...]) -> tuple[str, ...]:
    return tuple(volume.name for volume in volumes)


def _size_mib(volumes: tuple[Volume, ...]) -> int:
    return sum(volume.size_mib for volume in volumes)

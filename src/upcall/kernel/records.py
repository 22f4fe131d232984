"""What the kernel writes down. Everything else that it knows is derived from these.

Each record is written alone: any of them may be there without the one written after it, and loading makes sense of
what it finds (:meth:`upcall.kernel.kernel.Kernel.load`). The only time in a record is the end of a grace, by the wall
clock: a monotonic one starts anew with each start, and does not count while a laptop sleeps.

*Fence*: a number that rises each time a member starts on fresh volumes. Agents tag tasks and volumes with it, so a
machine that returns after its member was placed elsewhere is told apart, and so is what an earlier installation of
the same name left behind.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from upcall.kernel.resources import Resources

NODE: Final = "node"
RESERVATION: Final = "reservation"
COMING: Final = "coming"
"""A member's next place, held beside the present one until the member is launched there, or it is called off."""
LEFT: Final = "left_volumes"
ADDRESSES: Final = "addresses"
CURSOR: Final = "cursor"
"""Key of the one record of kind ``addresses``: the next number to try."""
KINDS: Final = (NODE, RESERVATION, COMING, LEFT, ADDRESSES)

LeftState = Literal["kept", "aside", "deleting"]


@dataclass(frozen=True)
class Volume:
    name: str
    size_mib: int
    kind: str = "disk"


@dataclass(frozen=True)
class Need:
    """What one member asks for and where it may be. ``amount`` leaves the volumes out: they outlive the task."""

    amount: Resources
    volumes: tuple[Volume, ...] = ()
    apart: str = ""
    per_node: int = 1
    """So many with the same ``apart`` word may be on one node."""
    spread: str = ""
    together: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def volumes_amount(self) -> Resources:
        return Resources({"disk_mib": 1000 * sum(volume.size_mib for volume in self.volumes)})

    @property
    def whole(self) -> Resources:
        return self.amount + self.volumes_amount


@dataclass(frozen=True)
class NodeRecord:
    name: str
    total: Resources
    attributes: Mapping[str, str] = field(default_factory=dict)
    gone: str = ""
    """Why it is gone for good; empty while it may come back by itself."""


@dataclass(frozen=True)
class Reservation:
    service: str
    member: str
    node: str
    address: str
    place: int
    """The number that the ledger gave; a higher one asks for another place."""
    fence: int
    need: Need

    @property
    def member_id(self) -> str:
        return f"{self.service}.{self.member}"


@dataclass(frozen=True)
class LeftVolumes:
    """Volumes without a reservation.

    ``kept``: released a moment ago, taken back by the member's next reservation at the same place, deleted at
    ``until_wall_s``. ``aside``: fenced off because the member got another place, or unknown; kept until a person takes
    them back or drops them, or the member is released. ``deleting``: told to go; forgotten when the node has registered
    without them.
    """

    member_id: str
    fence: int
    node: str
    state: LeftState
    volumes: tuple[Volume, ...] = ()
    grace_s: float = 0.0
    """For how long they were to be kept when they were released."""
    until_wall_s: float = 0.0
    """The end of that, by the wall clock. The word is the ledger's (:class:`~upcall.kernel.events.Release`)."""
    place: int = 0
    """The place that they were of; 0: unknown."""
    reason: str = ""
    address: str = ""
    """Of the member, when it had them; empty: unknown. What is written in them may name it."""

    @classmethod
    def kept(cls, reservation: Reservation, grace_s: float, until_wall_s: float) -> "LeftVolumes":
        left = cls.aside(reservation, "")
        return replace(left, state="kept", grace_s=grace_s, until_wall_s=until_wall_s)

    @classmethod
    def outdated(cls, reservation: Reservation, now_on: str, *, taken_back: bool) -> "LeftVolumes":
        """Its member has another place, and other volumes there: empty ones, or earlier ones that it takes back."""
        member_id = reservation.member_id
        takes = f"{member_id} took earlier volumes back"
        return cls.aside(reservation, takes if taken_back else placed_anew(member_id, reservation.node, now_on))

    @classmethod
    def aside(cls, reservation: Reservation, reason: str) -> "LeftVolumes":
        need, place = reservation.need, reservation.place
        fence, node = reservation.fence, reservation.node
        return cls(
            reservation.member_id,
            fence,
            node,
            "aside",
            need.volumes,
            place=place,
            reason=reason,
            address=reservation.address,
        )

    @property
    def key(self) -> str:
        return f"{self.member_id}/{self.fence}@{self.node}"

    @property
    def amount(self) -> Resources:
        return Resources({"disk_mib": 1000 * sum(volume.size_mib for volume in self.volumes)})


def placed_anew(member_id: str, was_on: str, now_on: str) -> str:
    """Why volumes of an earlier place are nobody's any more."""
    if was_on == now_on:
        return f"{member_id} was started anew here, with empty volumes"
    return f"{member_id} was placed anew on {now_on}"

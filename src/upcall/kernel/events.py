"""What the kernel is told, and what it answers. A recorded list of inputs replays any of its decisions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from upcall.kernel.nodes import State
from upcall.kernel.records import LeftVolumes, Need
from upcall.kernel.resources import Resources

# -- inputs ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Register:
    """A node is there, with all that it is and all volumes that it keeps: (member id, volume, fence)."""

    node: str
    total: Resources
    attributes: Mapping[str, str]
    volumes: tuple[tuple[str, str, int], ...] = ()


@dataclass(frozen=True)
class Heard:
    node: str


@dataclass(frozen=True)
class Gone:
    """Somebody decided that the node will not be used again."""

    node: str
    reason: str


@dataclass(frozen=True)
class Forget:
    """The record of a node that is gone and holds no reservation goes, with what was known of its volumes."""

    node: str


@dataclass(frozen=True)
class Cordon:
    """The whole set of nodes on which nothing new is placed, because they are being drained."""

    nodes: frozenset[str]


@dataclass(frozen=True)
class Beyond:
    """What is used on the node beyond all that was reserved there, as of now: it is promised to nobody else."""

    node: str
    amount: Resources


@dataclass(frozen=True)
class Reserve:
    """Places for all of these members at once. A place number above the recorded one asks for another place: on another
    node, or, when only its own will do, the place that it has. ``beside``: the next place is held (:class:`Promised`)
    while the present one stays; it may be on the same node, with volumes of its own (``here``: nowhere else).
    ``takes``: volumes that were set aside, by their fence, to be taken back at the new place."""

    service: str
    needs: Mapping[str, Need]
    places: Mapping[str, int] = field(default_factory=dict)
    beside: bool = False
    same_node: bool = False
    takes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CallOff:
    """The place that is held beside the member's present one is not wanted any more; of this number, where one is
    given."""

    member_id: str
    place: int = 0


@dataclass(frozen=True)
class Release:
    """The member is not wanted; its volumes are kept for so long from now, by the wall clock. Said again, the newer
    word holds: who decides is the ledger."""

    member_id: str
    keep_volumes_s: float = 0.0


@dataclass(frozen=True)
class DropVolumes:
    """A person gives up what was set aside, or is kept."""

    member_id: str
    fence: int
    node: str = ""
    """Empty: wherever it is."""


@dataclass(frozen=True)
class Tick:
    pass


Input = Register | Heard | Gone | Forget | Cordon | Beyond | Reserve | CallOff | Release | DropVolumes | Tick

# -- effects --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Write:
    """A record changes; None: it goes."""

    kind: str
    key: str
    value: Any


@dataclass(frozen=True)
class NodeChanged:
    node: str
    state: State
    reason: str


@dataclass(frozen=True)
class Reserved:
    member_id: str
    node: str
    address: str
    moved: bool
    """The place is another one than before, or the first."""
    place: int = 1
    taken_back: bool = False
    """With volumes that the member had left there."""


@dataclass(frozen=True)
class Promised:
    """The member's next place is held beside its present one."""

    member_id: str
    node: str
    place: int


@dataclass(frozen=True)
class Refused:
    """Nothing of the plan was reserved."""

    service: str
    members: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class SetAside:
    volumes: LeftVolumes


@dataclass(frozen=True)
class DeleteVolumes:
    """The node is to delete the member's volumes of this fence, and no others."""

    node: str
    member_id: str
    fence: int


Effect = Write | NodeChanged | Reserved | Promised | Refused | SetAside | DeleteVolumes

"""What a service hears on its stream."""

from typing import Any, Literal

import msgspec

from upcall.protocol.names import DigestOrNone, EntryPoint
from upcall.protocol.service.hosts import Assignments, Derive, NodeView


class Subscribed(msgspec.Struct, frozen=True, kw_only=True, tag="subscribed"):
    stream: str
    """To be sent as ``Upcall-Stream`` with every call."""
    wire: int
    features: tuple[str, ...] = ()
    heartbeat_s: float = 5.0


class Wanted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="service"):
    """The service as it is wanted."""

    name: str
    package: str
    version: str
    revision: int
    options: dict[str, Any]
    derived: tuple[str, ...] = ()
    """Which of them nobody said: they follow from its goals, and from the machines."""
    desired: Literal["running", "uninstalling", "shut_down"] = "running"
    bindings: dict[str, str] = {}
    """Need -> name of the service that fulfils it."""
    nodes: tuple[NodeView, ...] = ()
    installed_at: float = 0.0
    """Wall time of the installation. A service that was uninstalled and comes back under its name, with its volumes and
    its memory, has another one: what was done for the earlier life is not done for this one."""
    left_behind: tuple[str, ...] = ()
    """Members of the life before that had data, whose volumes can still be taken back, and which are not declared in
    this one (yet): without them their part of the data is missing."""
    lost_behind: tuple[str, ...] = ()
    """Members of the same life whose data cannot be taken back (it was dropped, or its node is gone for good)."""
    in_place: bool = False
    """The machines can give a task that runs more or less of something."""


Role = Literal["founding", "joining", "replacing"]
"""Why a member is at its place. ``founding``: it was declared before any member of this life of the service had data.
``joining``: others had data already when it was declared (the service grew, or was installed again over kept volumes
with more members). ``replacing``: it was at another place before, whose data it has no more."""


class DiskUse(msgspec.Struct, frozen=True, omit_defaults=True):
    """A volume that is nearly full (90 % of its size), or was and is not well below that again."""

    volume: str
    """Its name; empty: the sandbox."""
    used_mib: int
    """When it came to its mark."""
    bound_mib: int
    over: bool = False
    """It holds more than its size."""

    def __str__(self) -> str:
        what = f"volume {self.volume}" if self.volume else "its sandbox"
        return f"{what} holds {self.used_mib:,} MiB of {self.bound_mib:,}"


class Member(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A member as observed."""

    name: str
    """Without its service: ``broker-2``."""
    incarnation: int = 0
    """One more at each start; 0: it was never started."""
    place: int = 1
    """Rises when the member was placed anew: its volumes are then empty."""
    state: str = "wanted"
    """``wanted`` (declared, not started), ``held`` (by a drain), ``lost``, or a task state."""
    generation: int = 0
    """Of the declaration that the incarnation runs."""
    declared_generation: int = 0
    """Of its newest declaration."""
    target_generation: int = 0
    """What its next incarnation gets: until its turn in an update has come, what it had."""
    revision: int = 0
    """Of its service, under which it was declared last."""
    node: str = ""
    """Empty while it has no place."""
    zone: str = ""
    """Of the node."""
    address: str = ""
    """Of this incarnation; the next may have another."""
    ports: dict[str, int] = {}
    """As declared, by name."""
    leaving: int = 0
    """An older incarnation that runs on at the place before until this one is back (``two_at_once``)."""
    back: bool = True
    """False: it is ready (or will be), and what its service does then is not done: it counts nowhere."""
    reason: str = ""
    """Why it is in this state."""
    exit_code: int | None = None
    """Of the incarnation that ended last (128 + signal where a signal did it); none: it was never a process."""
    exit_reason: str = ""
    """Why that one ended."""
    last_lines: tuple[str, ...] = ()
    """What it said last, of an end that nobody wished."""
    starts: int = 0
    """How often it was started at this place; 0 or 1: its volumes are fresh."""
    ended_times: int = 0
    """How often it ended by itself in short succession, while that goes on."""
    without_data: bool = False
    """It was not started: the volumes that it served with are not there."""
    role: Role = "founding"
    """Why it is at its place: it began with the others, came to others that had data, or takes the place of what it was
    itself."""
    taken_back: bool = False
    """It began at its place with volumes of before: its service was installed again and they are those of the life
    before, or a person gave it back what had been set aside."""
    filling: tuple[DiskUse, ...] = ()
    """What of its disk is nearly full."""

    @property
    def behind(self) -> bool:
        """It is told something newer than what its next incarnation gets."""
        return self.target_generation not in (0, self.declared_generation)


class Members(msgspec.Struct, frozen=True, kw_only=True, tag="members"):
    version: int
    members: tuple[Member, ...]
    unplaced: str = ""
    """Why the declared members that have no place do not fit; empty when all have one."""


class Revision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an update or an upgrade brings."""

    number: int
    version: str
    """Of the package."""
    kind: str = "update"
    """What brings it: ``update``, ``upgrade`` (another version); or, where nothing else changes, ``scale_out`` (more
    members), ``grow``, ``shrink`` (more or less for each)."""
    other_code: bool = False
    """Another version of the package, or another build of it: the service's own code is exchanged too."""
    entry: EntryPoint = ""
    """Of other code: the class in it, and the files that it is in (empty: it came with the installation)."""
    source: DigestOrNone = ""
    options: dict[str, Any] = {}
    """All of them, as they would be."""
    bindings: dict[str, str] = {}
    changed: dict[str, tuple[Any, Any]] = {}
    """Option -> what it is and what it would be, of those that differ (an entry of a map by itself:
    ``config.min.insync.replicas``). None: not set, and without a default."""


class Operation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A pending or begun operation on this service, as shown to it."""

    id: str
    """``op-12``"""
    kind: str
    """What it is: ``stop`` (of a drain), ``restart``, ``replace``, ``lost``, ``uninstall`` ..."""
    klass: str
    """Who wins in the end: ``voluntary`` (you), ``windowed`` (within its window you, then ``on_deadline``), ``cure``,
    ``notice``, ``involuntary``, ``grant``."""
    state: str
    """``open`` until it begins, then ``preparing`` or ``executing``."""
    reason: str
    """Why it is wanted, in the words of who asked."""
    asked_by: str
    """Who asked: a person by name, the system, somebody else's scheduler."""
    member: str = ""
    """Empty: the whole service."""
    incarnation: int = 0
    """Of the member, that it is about."""
    node: str = ""
    """Where the member is."""
    parent: str = ""
    """The drain, removal or shutdown that it belongs to."""
    origin: str = "ours"
    """``ours``, or whose it is that only tells us."""
    firmness: str = "enforced"
    """How firmly the system can hold it: ``enforced``, ``intercepted``, ``notified``, ``observed``."""
    on_deadline: str = ""
    """What decides at the end of its window: ``hold`` goes on waiting, ``proceed`` goes over your answer, ``force``
    over the guard too."""
    deadline_s: float | None = None
    """Seconds from now until the window is over."""
    keeps_volumes: bool = True
    """False: the member's volumes are given up with it."""
    takes_back: bool = False
    """Replace: it comes up with volumes that it had before and that were set aside; else it begins with empty ones."""
    takes_nothing: bool = False
    """The member comes up elsewhere first, and serves where it is until then (``two_at_once``)."""
    comes_back: bool = True
    """False: the member leaves for good."""
    revision: Revision | None = None
    """Update, upgrade: what it brings."""
    leaving: tuple[str, ...] = ()
    """Scale in, asked about before its update begins: all members that leave by the update, in their order."""
    paused: bool = False
    """A person holds it: no step of it begins."""
    answer: str = ""
    """What this service last answered (``accept``, ``defer`` ...), empty when it is asked."""


class Operations(msgspec.Struct, frozen=True, kw_only=True, tag="operations"):
    """The whole pending set. Accepting several means: all of them at the same time."""

    epoch: str
    version: int
    operations: tuple[Operation, ...]


class Told(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="told"):
    """Something began, ended or is over."""

    what: str
    """``begun``; how it ended: ``done``, ``failed``, ``declined``, ``withdrawn``; ``maintenance over`` (a drain was
    lifted), ``up`` (the system is, after a shutdown)."""
    operation: Operation
    """As it was then."""
    text: str = ""
    """Why, or what it came to."""


class Action(msgspec.Struct, frozen=True, kw_only=True, tag="action"):
    """A person asks; answered on ``replies/{id}``. Names that begin with ``plan/`` control a plan
    (``plan/pause``, ``plan/resume``, ``plan/force``, ``plan/restart`` with ``plan``, ``phase``, ``step``).
    ``check/NAME`` asks whether the action of that name would be refused with these ``arguments``, under other
    ``options`` if there are any; it does nothing."""

    id: str
    name: str
    arguments: dict[str, Any] = {}
    who: str = ""
    again: bool = False
    """It was asked on an earlier subscription, and is not answered. Who runs it goes on; who never heard of it says so
    in its reply, and does not begin it, unless the action is one that goes on."""
    patience_s: float = 0.0
    """For so long whoever asks lets it be tried again where it answers "not now"."""


class CancelAction(msgspec.Struct, frozen=True, kw_only=True, tag="cancel_action"):
    """A person no longer wants an action's result; it is answered all the same, when it has ended."""

    id: str


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, tag="heartbeat"):
    pass


StreamEvent = (
    Derive | Subscribed | Wanted | Members | Operations | Told | Action | CancelAction | Heartbeat | Assignments
)

"""What is forgotten at a crash and learned again: what was seen, when a question was asked, which epoch it is."""

from typing import Literal

import msgspec
from msgspec.structs import replace

from upcall.operations.effects import StillHeld
from upcall.operations.inputs import TaskState
from upcall.operations.records import Firmness, Given


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The current incarnation of a member, as it was observed last."""

    incarnation: int
    state: TaskState
    since_s: float
    node: str = ""
    reason: str = ""
    was_ready: bool = False
    """At some time since it was launched (and heard of)."""
    progress: int = 0
    unwell_s: float | None = None
    """When it was first unwell, of a succession that ends when it has been well for a while."""


class NodeSeen(msgspec.Struct, frozen=True, kw_only=True):
    state: Literal["up", "silent", "gone"]
    since_s: float
    reason: str = ""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked about an open operation."""

    since_s: float
    times: int = 1
    stands: bool = True
    """An answer is wanted now."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a service said last of an open operation, when it was not an acceptance. Said again in the same words it is
    no news, but ``why`` tells how often."""

    words: str
    last_s: float
    times: int = 1


class Course(msgspec.Struct, frozen=True):
    """How far an operation is that its service carries out, as that says."""

    text: str = ""
    share: float | None = None
    moved_s: float = 0.0
    """When it last said something new of it."""
    error: str = ""
    """What was raised since then."""


class Crashes(msgspec.Struct, frozen=True, kw_only=True):
    """How often a member died in short succession; bounds how fast it is started again."""

    count: int
    last_s: float
    first_s: float = 0.0
    """When the first of them ended."""
    told: bool = False
    """A person was told of this succession; once is enough."""
    generation: int = 0
    """Of the declaration of the one that ended last."""
    over: bool = False
    """It was well since, for long enough or by another declaration: only another end makes a loop of it again."""


class NextPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Another place for a member, beside the one that it has: asked for, held, or not to be had."""

    place: int
    node: str = ""
    same_node: bool = False
    """It is to be on the node of the present one."""
    takes: int = 0
    """It is where this set of volumes is, and with it."""
    held: bool = False
    reason: str = ""
    """Why there is none."""
    since_s: float = 0.0
    """Since when there is none."""


class HostSeen(msgspec.Struct, frozen=True, kw_only=True):
    subscribed: bool
    since_s: float


class HookFailed(msgspec.Struct, frozen=True, kw_only=True):
    """What a service's code does for an incarnation that is ready raised, and is called again."""

    incarnation: int
    error: str


# -- what is remembered of each ------------------------------------------------------------------------------------

# One struct for each subject, that comes and goes with it. They may be changed in place: who goes another way has a
# copy (:meth:`Memory.copy`).


class OperationMemory(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Of an operation on record."""

    since_s: float | None = None
    """When it came into its state; ``None``: before this start."""
    question: Question | None = None
    said: Said | None = None
    """What was said of it last; it outlives the answer, which runs out."""
    last_word: Given | None = None
    """Of an open one: the answer that was given last, whether it holds or not."""
    course: Course | None = None
    notice_ends_s: float | None = None
    """When the substrate goes ahead anyway."""
    told: StillHeld | None = None
    """Why it waits, as the substrate was told last."""
    first_launched_s: float | None = None
    """When it first launched what it brings back (time without a place or fetching does not count)."""


class MemberMemory(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Of a member on record; a tombstone begins anew."""

    seen: Seen | None = None
    launched_s: float | None = None
    """When its current incarnation was launched (time without a place, or spent fetching, does not count)."""
    crashes: Crashes | None = None
    hook: HookFailed | None = None
    """Why its hook has not returned, as its service said last."""
    signalled: int = 0
    """The incarnation that was told to end."""
    leaving_signalled: bool = False
    """The one that leaves was told to end."""
    place_node: str = ""
    """The node of its place, where places are reserved before a launch."""
    next_place: NextPlace | None = None
    """The place that was asked for beside its own."""


class NodeMemory(msgspec.Struct, kw_only=True, omit_defaults=True):
    seen: NodeSeen | None = None
    keeps: tuple[str, ...] = ()
    """In maintenance: services that would start something there."""


class ServiceMemory(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Of a service, for as long as it is on record or its host is there."""

    epoch: int = 1
    shown: tuple[int, str] = (0, "")
    """Version and print of the set that was shown last."""
    host: HostSeen | None = None


class Memory(msgspec.Struct, kw_only=True):
    """What is forgotten at a crash, and learned again."""

    start: int
    now_s: float = 0.0
    wall_s: float = 0.0
    started_s: float | None = None
    firmness: dict[str, Firmness] = {}
    volumes_bound_to_node: bool = True
    operations: dict[str, OperationMemory] = {}
    members: dict[str, MemberMemory] = {}
    nodes: dict[str, NodeMemory] = {}
    services: dict[str, ServiceMemory] = {}
    due: dict[str, float] = {}
    """Service (the empty word: all) -> when it is to be looked at again."""
    dirty: dict[str, None] = {}
    compacted: int = 0
    """Number of the operation up to which history was looked through last."""

    def copy(self) -> "Memory":
        own = replace(self)
        own.operations = {key: replace(known) for key, known in self.operations.items()}
        own.members = {key: replace(known) for key, known in self.members.items()}
        own.nodes = {key: replace(known) for key, known in self.nodes.items()}
        own.services = {key: replace(known) for key, known in self.services.items()}
        own.due, own.dirty = dict(self.due), dict(self.dirty)
        return own

    def node(self, name: str) -> NodeMemory:
        """To write to: from now on it is remembered."""
        known = self.nodes.get(name)
        if known is None:
            known = self.nodes[name] = NodeMemory()
        return known

    def service(self, name: str) -> ServiceMemory:
        """To write to: from now on it is remembered."""
        known = self.services.get(name)
        if known is None:
            known = self.services[name] = ServiceMemory()
        return known

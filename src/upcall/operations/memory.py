"""What is forgotten at a crash and learned again: what was seen, when a question was asked, which epoch it is."""

from typing import Literal

import msgspec

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


class Crashes(msgspec.Struct, frozen=True, kw_only=True):
    """How often a member died in short succession; bounds how fast it is started again."""

    count: int
    last_s: float
    first_s: float = 0.0
    """When the first of them ended."""
    told: bool = False
    """A person was told of this succession; once is enough."""


class NextPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Another place for a member, beside the one that it has: asked for, held, or not to be had."""

    place: int
    node: str = ""
    here: bool = False
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


class Memory(msgspec.Struct, kw_only=True):
    """What is forgotten at a crash, and learned again."""

    start: int
    now_s: float = 0.0
    wall_s: float = 0.0
    started_s: float | None = None
    firmness: dict[str, Firmness] = {}
    volumes_bound_to_node: bool = True
    seen: dict[str, Seen] = {}
    nodes: dict[str, NodeSeen] = {}
    hosts: dict[str, HostSeen] = {}
    epochs: dict[str, int] = {}
    sets: dict[str, tuple[int, str]] = {}
    """Service -> (version, print) of the set that was shown last."""
    questions: dict[str, Question] = {}
    said: dict[str, Said] = {}
    """Operation -> what was said of it last; it outlives the answer, which runs out."""
    last_words: dict[str, Given] = {}
    """Open operation -> the answer that was given last, whether it holds or not."""
    since: dict[str, float] = {}
    """Operation -> when it came into its state (monotonic)."""
    notices: dict[str, float] = {}
    """Operation -> when the substrate goes ahead anyway."""
    launched: dict[str, float] = {}
    """Member -> when its current incarnation was launched (time without a place, or spent fetching, does not count)."""
    first_launched: dict[str, float] = {}
    """Operation -> when it first launched what it brings back (time without a place or fetching does not count)."""
    places: dict[str, str] = {}
    """Member -> node of its place, where places are reserved before a launch."""
    kept_from: dict[str, dict[str, None]] = {}
    """Node in maintenance -> services that would start something there."""
    next_places: dict[str, NextPlace] = {}
    """Member -> the place that was asked for beside its own."""
    crashes: dict[str, Crashes] = {}
    prepared: dict[str, None] = {}
    """Operations that have begun, of which the service said that the end may come now."""
    hooks: dict[str, HookFailed] = {}
    """Member -> why its hook has not returned, as its service said last."""
    signalled: dict[str, int] = {}
    """Member -> incarnation that was told to end."""
    due: dict[str, float] = {}
    """Service (the empty word: all) -> when it is to be looked at again."""
    dirty: dict[str, None] = {}
    compacted: int = 0
    """Number of the operation up to which history was looked through last."""

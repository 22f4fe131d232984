"""What a cluster is seen as: nodes, volumes, operations and why they wait, events."""

from typing import Any

from upcall.protocol.operator.services import ServiceView
from upcall.protocol.operator.words import View


class NodeView(View):
    name: str
    state: str
    """``up``, ``draining``, ``drained``, ``cordoned`` (by somebody else), ``silent``, ``gone``"""
    reason: str = ""
    zone: str = ""
    attributes: dict[str, str] = {}
    cpus: float = 0.0
    memory_mib: int = 0
    disk_mib: int = 0
    disk_used_mib: float = 0.0
    memory_reserved_mib: int = 0
    memory_used_mib: float = 0.0
    cpu_used: float = 0.0
    members: list[str] = []
    features: list[str] = []


class VolumesView(View):
    """A set of volumes: what one place of a member had, on one node."""

    name: str
    """``store.replica-2:3@node-1``: member, number of the set, node."""
    member: str
    node: str
    node_state: str = ""
    """``up``, ``late``, ``silent``, ``gone``; ``expected`` until it is heard of."""
    state: str
    """``in use`` by its member; ``held`` for its member's next place; ``kept`` after an uninstall, to be taken back;
    ``aside``: the member got another place, or nobody knows it; ``deleting``: it goes when its node hears it."""
    volumes: list[str] = []
    size_mib: int = 0
    """As declared; 0: nobody knows."""
    until: float = 0.0
    """Of what is kept: when it goes by itself."""
    reason: str = ""
    """Why it was set aside."""


class OperationView(View):
    id: str
    kind: str
    klass: str
    who_wins: str = ""
    state: str
    target: str
    """Node or nodes, service, member or task."""
    nodes: list[str] = []
    """A maintenance: the nodes that it is of, without those that were given back."""
    service: str = ""
    member: str = ""
    reason: str
    asked_by: str
    origin: str = "ours"
    parent: str = ""
    children: list[str] = []
    removes_node: bool = False
    """A maintenance that the node does not come back from."""
    firmness: str = "enforced"
    on_deadline: str = ""
    deadline_at: float | None = None
    since: float = 0.0
    ended_at: float | None = None
    outcome: str = ""
    waits_for: str = ""
    """In words: ``deferred by store: 2 copies ...``, ``the guard: accepted by store, but 2 of 3 ready``."""
    next_look_at: float | None = None
    next_look_is: str = ""
    """What comes then, in words that stand before how long it takes: ``looked at again in``, ``it ends at the latest
    in``."""
    forced_by: str = ""
    forced_reason: str = ""


class Why(View):
    operation: OperationView
    lines: list[str]
    """The whole answer for a person, a sentence a line."""
    children: list["Why"] = []


EVENT_KINDS = (
    "operation", "answer", "alert", "task", "member", "node", "service", "plan", "health", "package",
    "action", "placement", "volumes", "disk", "secret", "host", "master", "clock", "epoch", "access", "gap",
)  # fmt: skip


class Event(View):
    sequence: int
    cluster: str = ""
    at: float
    kind: str
    """One of :data:`EVENT_KINDS`."""
    subject: str
    text: str
    data: dict[str, Any] = {}
    detail: bool = False
    """On the way to what the next events say."""


class Status(View):
    cluster: str
    version: str
    master_since: float
    url: str = ""
    page_url: str = ""
    packages_registered: bool = True
    """False while the host still says what can be installed."""
    event_sequence: int
    """The snapshot is as of this event."""
    cpus: float = 0
    """Cores of all nodes together; virtual nodes share those of their machine."""
    nodes: list[NodeView]
    services: list[ServiceView]
    operations: list[OperationView]
    waiting: list[str] = []
    """What is stuck, in words."""

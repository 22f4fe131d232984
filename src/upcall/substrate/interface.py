"""The one seam for machines.

A substrate runs what the ledger wants. ``local`` drives our own kernel and agents; ``simulated`` plays both kinds of
placement in virtual time; Kubernetes fits behind the same words: it places, owns volumes and addresses, and lets
others end a task without asking. What machines give beside it (logs, tools, figures) is
:mod:`upcall.substrate.machines`.

A substrate is a state machine without I/O, like the ledger that it serves: each call takes the time and returns an
:class:`Output` (what was observed, which of its own records changed, what to send to machines, when it wants to be
called again); the master commits the records first and performs the rest afterwards. Both directions are
level-triggered: after a reconnect both sides list and compare (:meth:`Substrate.wanted` gives the whole wanted set
again), so a lost or a repeated message costs nothing.

Identity: ``member`` is ``service.member`` (``store.replica-2``); an incarnation of it is one task, written
``store.replica-2.7``. Times are monotonic seconds, given by the caller.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from upcall.protocol.declaration import Declaration, Resources

Firmness = Literal["enforced", "intercepted", "notified", "observed"]
"""How firmly the system can hold an operation: nothing happens without us; we can delay it; we hear of it before;
we hear of it after."""

TaskState = Literal["pending", "placed", "fetching", "starting", "running", "ready", "unready", "ending", "ended"]
"""``pending``: no place yet (with a reason). ``running``: alive, not yet ready. ``unready``: fails its
health check, or is not ready at its start deadline; it runs on. ``ended``: proven dead, with an :class:`Exit`."""

NodeState = Literal["up", "silent", "gone"]
"""``silent``: nothing heard for the liveness time. ``gone``: for good (removed, or lost after ``replace_after_s``)."""


class TaskId(msgspec.Struct, frozen=True, order=True):
    """One incarnation of a member."""

    service: str
    member: str
    incarnation: int

    @property
    def member_id(self) -> str:
        return f"{self.service}.{self.member}"

    def __str__(self) -> str:
        return f"{self.service}.{self.member}.{self.incarnation}"


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What the substrate can promise, stated once at hello."""

    placement: Literal["kernel", "delegated"]
    firmness: Mapping[str, Firmness]
    """For each verb (``stop``, ``restart``, ``replace``, ``uninstall``, ``maintenance`` ...); ``*`` is the default."""
    volumes_bound_to_node: bool
    """A member whose volumes hold something cannot come back elsewhere with them."""
    shared_cores: bool = False
    """Nodes are parts of one machine, and each has all of its cores."""
    guests: bool = False
    """There are workloads of others whose members can be followed (:class:`Guest`)."""
    resize_in_place: bool = False
    """A task that runs can be given more or less, and runs on (:meth:`Substrate.resize`)."""


class Exit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a task ended."""

    code: int | None = None
    signal: int | None = None
    reason: str = ""
    """In words when more is known: ``out of memory (limit 512 MiB)``, the line of its output that says why."""
    lines: tuple[str, ...] = ()
    """The last of its output, of an end that nobody wished."""
    not_started: bool = False
    """It could not be prepared, or not be started: its own fault, not that of a node that was lost."""
    without_data: bool = False
    """It was not started, because the volumes that it served with are not there."""
    with_its_node: bool = False
    """What it ran on stopped beneath it: its machine was lost, or was shut down. Said where it is known of the end
    itself, which may be heard after the node is back."""

    @property
    def number(self) -> int | None:
        """As a shell says it: its code, or 128 + signal. None: it was never a process."""
        if self.code is not None:
            return self.code
        return 128 + self.signal if self.signal is not None else None


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A machine, or a virtual one."""

    name: str
    cpus: float
    memory_mib: int
    disk_mib: int
    attributes: Mapping[str, str] = {}
    """``zone`` and whatever else placement may ask for."""


# -- up: what the substrate observes --------------------------------------------------------------------------------


class Observed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="task"):
    """A task as it stands. Repeating it is harmless; an older incarnation than the recorded one is of the past."""

    task: TaskId
    state: TaskState
    reason: str = ""
    node: str = ""
    address: str = ""
    exit: Exit | None = None
    generation: int = 0
    progress: int = 0
    """How often its start told that it goes on."""


class NodeObserved(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="node"):
    node: str
    state: NodeState
    reason: str = ""
    closed: str = ""
    """Why nothing new is placed there, where somebody else has seen to that. What runs there stays."""
    description: Node | None = None


class NodeExpected(msgspec.Struct, frozen=True, kw_only=True, tag="node_expected"):
    """After a start: a node that is on record and was not heard of since. Nothing follows from it; it is there to be
    seen until it registers, or is observed ``silent`` after the liveness time."""

    node: str
    description: Node | None = None


class DiskUse(msgspec.Struct, frozen=True, kw_only=True):
    """A folder that a task has nearly filled, or filled beyond what it may hold (which nobody can keep it from)."""

    volume: str
    """Its name; empty: the sandbox."""
    used_mib: int
    bound_mib: int
    over: bool = False
    """It came beyond its bound, and is not well below it again since."""

    def __str__(self) -> str:
        what = f"volume {self.volume}" if self.volume else "its sandbox"
        return f"{what} holds {self.used_mib:,} MiB of {self.bound_mib:,}"


class Filling(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="filling"):
    """All that a task has nearly filled, whenever one of them came to a mark, or is below it again. It is told to
    people; no operation follows from it, for no restart makes a volume emptier."""

    task: TaskId
    disks: tuple[DiskUse, ...] = ()


class Disruption(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="disruption"):
    """Somebody else disturbs a task: becomes an operation with a foreign origin."""

    id: str
    task: TaskId
    verb: Literal["stop", "evict", "preempt"]
    firmness: Firmness
    reason: str
    who: str
    deadline_s: float | None = None
    """Seconds from now until the substrate goes ahead anyway."""


class DisruptionOver(msgspec.Struct, frozen=True, kw_only=True, tag="disruption_over"):
    id: str
    happened: bool


class Disruptions(msgspec.Struct, frozen=True, kw_only=True, tag="disruptions"):
    """All that stand now, after a start of the master and after the tasks: what it believes to stand and is not among
    them is over."""

    ids: tuple[str, ...] = ()


class Unplaced(msgspec.Struct, frozen=True, kw_only=True, tag="unplaced"):
    """A plan that does not fit: nothing of it is reserved. ``reason`` says what is missing and what would fit."""

    service: str
    members: tuple[str, ...]
    reason: str


class Placed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="reserved"):
    """A member has a reserved place, from now on or again."""

    member_id: str
    node: str
    address: str
    place: int = 1


class Promised(msgspec.Struct, frozen=True, kw_only=True, tag="promised"):
    """The member's next place is held, from now on or again, beside the one that it has. ``node`` is empty where
    somebody else places: there it is found when the member is launched."""

    member_id: str
    place: int
    node: str = ""


class Unpromised(msgspec.Struct, frozen=True, kw_only=True, tag="unpromised"):
    """There is no next place for the member; ``reason`` says what is missing. It is looked for again when there is more
    room, until it is called off."""

    member_id: str
    place: int
    reason: str


class VolumesSetAside(msgspec.Struct, frozen=True, kw_only=True, tag="volumes_set_aside"):
    """Volumes that no member has a claim on: of a place that was given up, or unknown. They stay until a person drops
    them, or their member is released."""

    member_id: str
    fence: int
    node: str
    volumes: tuple[str, ...]
    reason: str


class Guest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="guest"):
    """A workload of somebody else's, who asks that its members are taken away with care. Others make them and bring
    them back; what is wanted of them here is that their ends are asked about (:attr:`Declaration.guest`)."""

    service: str
    """What it is called here."""
    workload: str
    """Its own name: ``statefulset/web``."""
    members: int = 0
    minimum: int | None = None
    """How many stay ready; none: all but one."""
    responder: str = ""
    """Where its own code is asked; empty: the careful rule holds."""
    away: str = "hold"
    """What holds while that does not answer: ``hold`` or ``careful``."""
    problem: str = ""
    """What of its wish cannot be understood."""
    gone: bool = False
    """Nobody asks for it any more."""


Up = (
    Observed
    | NodeObserved
    | NodeExpected
    | Filling
    | Disruption
    | DisruptionOver
    | Disruptions
    | Guest
    | Unplaced
    | Placed
    | Promised
    | Unpromised
    | VolumesSetAside
)


SetState = Literal["in use", "held", "kept", "aside", "deleting"]
"""Of its member's present place; of the next one, held beside it; released, and taken back within the grace; fenced off
or known to nobody; told to go."""


class VolumeSet(msgspec.Struct, frozen=True, kw_only=True):
    """What one place of a member had: its volumes, on one node, under one fence. Its name says these three."""

    member_id: str
    fence: int
    node: str
    state: SetState
    volumes: tuple[str, ...]
    size_mib: int
    """As declared; 0: nobody knows."""
    node_state: str
    until_wall_s: float = 0.0
    """Of what is kept."""
    reason: str = ""

    @property
    def name(self) -> str:
        return f"{self.member_id}:{self.fence}@{self.node}"


class StillHeld(msgspec.Struct, frozen=True, kw_only=True):
    """Why a disruption of somebody else's has to wait, for whoever began it."""

    operation: str
    waits_for: str
    """``store``, ``the guard``, ``op-12``, ``a person`` ..."""
    reason: str
    """Follows what is waited for; the service's own, where it has answered. No secret: ``why`` says the same."""
    progress: float | None = None
    """How far its service is, 0 to 1, where it says so; the reason has it too."""

    def __str__(self) -> str:
        return f"{self.operation} waits for {self.waits_for}: {self.reason}"


class Resizing(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is that a task that runs has another amount."""

    state: Literal["done", "waits", "refused", "away"]
    """``waits``: it is being given, or there is no room for it now. ``refused``: never, where it runs. ``away``: it
    does not run, or is on its way out; its next start has it."""
    reason: str = ""
    """In the machine's own words."""


class RecordChange(msgspec.Struct, frozen=True):
    """A durable record of the substrate's own (``value`` None: deleted). Each is written alone."""

    kind: str
    key: str
    value: Any | None


class Send(msgspec.Struct, frozen=True):
    """A message to one machine's agent, released after the commit."""

    node: str
    message: Any


class Output(msgspec.Struct):
    """What a call gave. Appended to, so that several calls share one."""

    up: list[Up] = msgspec.field(default_factory=list)
    records: list[RecordChange] = msgspec.field(default_factory=list)
    send: list[Send] = msgspec.field(default_factory=list)
    prove: list[str] = msgspec.field(default_factory=list)
    """Nodes of which it is to be made certain that nothing runs there any more (repeated until it is said)."""


# -- down: what the ledger wants ------------------------------------------------------------------------------------


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A task that should exist. ``place`` rises when the member is to be placed anew (replace); the old place is then
    given up, together with its volumes."""

    task: TaskId
    declaration: Declaration
    generation: int = 1
    place: int = 1
    beside: bool = False
    """At the next place (:meth:`Substrate.hold_place`): an older one runs on at the present place, which is given up
    only when :meth:`Substrate.reserve` names the next one. Where the next place was exchanged for a third one
    meanwhile, which nobody has used, one is found anew."""


class Substrate(Protocol):
    """Every method is idempotent and takes the time; ``deadline`` says when :meth:`tick` is due next."""

    @property
    def capabilities(self) -> Capabilities: ...

    def places(self) -> Mapping[str, str]:
        """Member -> node of its place, where places are reserved before a launch; for the ledger, at a start."""
        ...

    def reserve(
        self, service: str, members: Mapping[str, Declaration], now_s: float, *, places: Mapping[str, int] | None = None
    ) -> Output:
        """Finds places for all of ``members`` at once or for none (:class:`Unplaced`). Members that have one keep it,
        unless ``places`` names a higher place number for it."""
        ...

    def fits(self, service: str, members: Mapping[str, Declaration]) -> str:
        """Why not all of these ``members`` would have a place now, those that have one already where they are. Empty:
        they would, or nobody can say it before they are launched. Nothing is reserved."""
        ...

    def hold_place(
        self,
        member_id: str,
        declaration: Declaration,
        place: int,
        now_s: float,
        *,
        same_node: bool = False,
        takes: int = 0,
    ) -> Output:
        """Finds the member's next place (:class:`Promised`, :class:`Unpromised`) while it keeps the present one, which
        is given up when it is launched at the next. ``here``: on the same node, with volumes of its own. ``takes``:
        where the member's volumes of this number are, which were set aside, and with them."""
        ...

    def call_off_place(self, member_id: str, place: int, now_s: float) -> Output:
        """The next place of this number is not wanted any more; the present one stays, and so does a next one of
        another number."""
        ...

    def launch(self, wanted: Wanted, now_s: float) -> Output:
        """The task should run. A member without a reservation gets one, or is ``pending`` with a reason."""
        ...

    def end(self, task: TaskId, grace_s: float, now_s: float) -> Output:
        """The task should not run: SIGTERM, grace, SIGKILL. Reported as ``ended`` once it is proven dead."""
        ...

    def resize(self, task: TaskId, resources: Resources, now_s: float) -> Output:
        """Of a task that runs: it should have this much, and run on. Asked again until it is done: it is not among what
        :meth:`wanted` says. Only where the capabilities say that it can be."""
        ...

    def resizing(self, task: TaskId, resources: Resources) -> Resizing:
        """How far that is. Looks, and changes nothing."""
        ...

    def let_go(self, task: TaskId, now_s: float) -> Output:
        """A member of somebody else's workload is not followed any more, and runs on. Reported as ``ended``."""
        ...

    def release(self, member_id: str, now_s: float, *, keep_volumes_s: float = 0.0) -> Output:
        """The member's address and reservation are free; its volumes after a grace, in which a new reservation of the
        same member takes them back."""
        ...

    def known(self, names: Iterable[str], now_s: float) -> Output:
        """Launches may wait for these names, and they are known better."""
        ...

    def prove_death(self, node: str, now_s: float) -> Output:
        """Proof is wanted that nothing of a silent node runs any more: then its tasks are observed ``ended``. Nothing
        follows where it cannot be had: whoever waits goes on waiting, until a person gives his word."""
        ...

    def hold_disruption(self, disruption_id: str, now_s: float, *, held: StillHeld | None) -> Output:
        """Asks the substrate to delay a foreign disruption while it can, and to tell whoever began it why; ``None``: to
        let it go on. Called again whenever the reason is another one."""
        ...

    def cordon(self, node: str, now_s: float, *, closed: bool) -> Output:
        """Nothing new is placed on a closed node; what runs there and what is reserved there stays."""
        ...

    def wanted(self, tasks: Sequence[Wanted], now_s: float) -> Output:
        """The whole wanted set (after a start of the master): what is not in it is ended."""
        ...

    def tick(self, now_s: float) -> Output: ...

    def deadline(self) -> float | None: ...

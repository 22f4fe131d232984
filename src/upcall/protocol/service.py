"""The service API: what a service's scheduler and the master say to each other. Public, for any language.

One stream for each service from the master (``GET /v1/service/{name}/stream``, server-sent events whose data is one
JSON object with a ``type``) and these calls, all with the stream's id in the header ``Upcall-Stream`` (the newest
subscription fences the older one off; a fenced call answers ``stale``):

    PUT  /v1/service/{name}/members        Declare       LAUNCH: the members wanted; answers Accepted
    PUT  /v1/service/{name}/starts         Starts        those of them that are to run
    PUT  /v1/service/{name}/endpoints      Endpoints     what others may connect to
    PUT  /v1/service/{name}/plans          Plans         status of the plans, to show
    POST /v1/service/{name}/propose        Propose       answers Accepted with the operation's id
    POST /v1/service/{name}/answers        Answers       consent; idempotent on operation and epoch
    POST /v1/service/{name}/withdraw       Withdraw      takes acceptances back, until ``begin``
    POST /v1/service/{name}/confirm/{operation}          the member of a removal that prepares has left; a plan is done
    POST /v1/service/{name}/fail/{operation}  Failed     an update or upgrade goes no further
    POST /v1/service/{name}/working/{operation}  Working  how far an operation is that it carries out
    POST /v1/service/{name}/rescale        Rescale       another size, where a person lets it scale itself
    POST /v1/service/{name}/fits           Declare       would all of these have a place? answers Fits
    POST /v1/service/{name}/retarget       Retarget      members that need no restart for the newest declaration
    POST /v1/service/{name}/back           Back          what follows an incarnation that is ready is done, or raised
    POST /v1/service/{name}/notes          Note          for people: why there is no answer
    POST /v1/service/{name}/run            RunTool       a one-shot tool beside a member; answers ToolResult
    GET|PUT|DELETE /v1/service/{name}/state/{key}        key-value space, compare-and-swap (StateWrite)
    POST /v1/service/{name}/replies/{id}   ActionReply   the answer to an ``action``
    POST /v1/service/{name}/progress/{id}  ActionProgress  how far it is

A host that runs several services reads ``GET /v1/host/stream`` too: the whole set of services that it should run
(:class:`Assignments`) and registers the packages that it has (``PUT /v1/packages/{name}/{version}``,
:class:`Package`, then ``POST /v1/host/ready``). Every event holds a whole set with a version: a lost one costs nothing.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from upcall.protocol.declaration import AMOUNT_MAX, DAY_S, Amount, Declaration
from upcall.protocol.errors import Problem
from upcall.protocol.names import Digest, DigestOrNone, EntryPoint

KEY_CHARS_MAX: Final = 200
Patience = Annotated[float, Meta(gt=0, le=30 * DAY_S)]
"""Seconds that somebody is waited for: never none at all, and never for ever."""

# -- packages and hosts ---------------------------------------------------------------------------------------------


class ActionSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something a person may ask of the service in one call (create a topic, submit a job)."""

    name: str
    description: str = ""
    arguments: dict[str, Any] = {}
    """JSON Schema of the arguments object."""
    timeout_s: float = 60.0
    """For so long its service lets it run."""
    goes_on: bool = False
    """It may be begun again where it was: when its host dies, the next one is asked the same."""


class ScheduleSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that the service wants done again and again, as its expert says; a person may say another time."""

    name: str
    """Of the action; ``rebalance``: the service is asked to spread its load."""
    every: str
    """As :mod:`upcall.protocol.recurring` reads it."""
    within_s: float = 0.0
    """From one that went well to the next, at most; 0: nothing breaks when it is late."""
    takes_s: float = 0.0
    """It does not begin in a window that has less left; 0: not known."""
    description: str = ""


class Derived(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An option's value that its service's code made of a goal, or of the machine."""

    value: Any
    why: str
    goal: str = ""
    """Which goals; empty: the machine."""
    at_least: bool = False
    """More does not contradict it."""


class ContentSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One kind of what a service holds that people name one by one (topics, jobs), by the names of its actions."""

    kind: str
    show: str
    """Gives all of them."""
    show_with: dict[str, Any] = {}
    key: str
    """Where each of those has its name."""
    make: str
    change: str = ""
    drop: str


class NeedSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Another service whose endpoint a package's tasks connect to."""

    name: str
    endpoint: str
    optional: bool = False


class Package(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the master knows of a package: enough to check options without running its code."""

    name: str
    version: str
    description: str = ""
    entry: EntryPoint = ""
    """``module:Class`` of the service, importable in the host (with ``source`` unpacked on its path)."""
    options_schema: dict[str, Any] = {}
    actions: tuple[ActionSpec, ...] = ()
    needs: tuple[NeedSpec, ...] = ()
    contents: tuple[ContentSpec, ...] = ()
    schedules: tuple[ScheduleSpec, ...] = ()
    finalizes: bool = False
    """An upgrade to this version has a point of no return, which the service's code carries out."""
    source: DigestOrNone = ""
    """SHA-256 of a blob (a tar of Python files); empty for a package that the host has installed."""
    blobs: tuple[Digest, ...] = ()
    """Digests of the blobs that its declarations name (lock files), each uploaded by ``PUT /v1/blobs/{sha256}``."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    service: str
    package: str
    version: str
    entry: EntryPoint
    source: DigestOrNone = ""
    installed_at: float = 0.0
    """As in :class:`Wanted`: another life of the name is another assignment, however little else differs."""


class Assignments(msgspec.Struct, frozen=True, kw_only=True, tag="assignments"):
    """The services that this host runs: the whole set."""

    version: int
    services: tuple[Assignment, ...]


# -- stream ---------------------------------------------------------------------------------------------------------


class Subscribed(msgspec.Struct, frozen=True, kw_only=True, tag="subscribed"):
    stream: str
    """To be sent as ``Upcall-Stream`` with every call."""
    wire: int
    features: tuple[str, ...] = ()
    heartbeat_s: float = 5.0


class NodeView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a service may know of machines, for sizing and racks; never an address of one."""

    name: str
    zone: str = ""
    cpus: float = 0
    memory_mib: int = 0
    disk_mib: int = 0


class Derive(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="derive"):
    """To a host: what follows from the goals among these options?"""

    id: str
    package: str
    version: str
    entry: EntryPoint
    source: DigestOrNone = ""
    options: dict[str, Any]
    nodes: tuple[NodeView, ...] = ()


class DerivedReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    derived: dict[str, Derived] = {}
    problem: Problem | None = None
    """What cannot be met, or contradicts a goal."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="service"):
    """The service as it is wanted."""

    name: str
    package: str
    version: str
    revision: int
    options: dict[str, Any]
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
    other_code: bool = False
    """Another version of the package, or another build of it: the service's own code is exchanged too."""
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
    (``plan/pause``, ``plan/resume``, ``plan/force``, ``plan/restart`` with ``plan``, ``phase``, ``step``)."""

    id: str
    name: str
    arguments: dict[str, Any] = {}
    who: str = ""
    again: bool = False
    """It was asked on an earlier subscription, and is not answered. Who runs it goes on; who never heard of it says so
    in its reply, and does not begin it, unless the action is one that goes on."""


class CancelAction(msgspec.Struct, frozen=True, kw_only=True, tag="cancel_action"):
    """A person no longer wants an action's result; it is answered all the same, when it has ended."""

    id: str


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, tag="heartbeat"):
    pass


StreamEvent = (
    Derive | Subscribed | Wanted | Members | Operations | Told | Action | CancelAction | Heartbeat | Assignments
)


# -- calls ----------------------------------------------------------------------------------------------------------


class Policy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What holds while nobody answers, and below every answer."""

    minimum: Amount = 0
    """Members that stay known ready under any voluntary or windowed operation."""
    at_most: Annotated[int, Meta(ge=1, le=AMOUNT_MAX)] = 1
    """Members taken away at once by operations that nobody answered for."""
    silence: Literal["hold", "proceed"] = "hold"
    """Windowed operations and cures without an answer: fail closed (data) or open."""
    holds_data: bool = True
    """Whether members have what must not be lost: then silence never gives a member up."""
    order: tuple[str, ...] = ()
    """Members in the order in which they go without an answer."""
    answer_s: Patience = 30.0
    """How long an answer may take before it counts as silence; for a cure it is the whole window."""
    replace_after_s: Patience = 600.0
    """How long a member on a silent node is waited for."""
    on_lost: Literal["restart", "ask", "wait"] = "restart"
    """A process that died on a node that is well: start it here at once; ask first, for ``answer_s``; or wait for an
    answer, however long. What does not come back is asked about in any case."""
    stuck_after_s: Patience = 40.0
    """After how long a person is told, once, that an operation waits without progress."""
    keep_volumes_s: Annotated[float, Meta(ge=0, le=366 * DAY_S)] = DAY_S
    """How long volumes stay after an uninstall; an install under the same name takes them back."""
    before_stop_s: Annotated[float, Meta(ge=0, le=DAY_S)] = 0.0
    """How long a member's end waits, once it has begun, for what the service does before it; that it is done is said
    by ``POST .../confirm/{operation}``. 0: it does nothing."""
    leaves: bool = False
    """A removal waits until the service confirms (``POST .../confirm/{operation}``) that the member has left."""
    leave_s: Patience = 3600.0
    """How long a member may take to leave before the removal has failed."""


class MemberWanted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    declaration: Declaration
    start: bool = False
    """Whether it is to run, beside those that :class:`Starts` names: else a place is reserved, nothing started yet."""
    minimum: bool = True
    """Counts for the minimum (a job beside the service may not)."""
    hooks: bool = False
    """An incarnation that is ready does not count before the service says that it is ``back``."""
    replacement: Declaration | None = None
    """Instead of ``declaration`` at every place after the first (``place`` above 1), whose volumes were empty; it may
    name ``{{replaced.address}}``, the last address at the place before. None: the same declaration everywhere."""


class Declare(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All members that the service wants, as a whole set. A member that is left out is *not* ended: removing is an
    operation. A changed declaration is the next generation and takes effect at the next incarnation."""

    members: dict[str, MemberWanted]
    policy: Policy = Policy()
    revision: int = 0
    """Of the service, from whose options these follow. What runs takes a later revision over in the course of its
    update, member by member."""


class Starts(msgspec.Struct, frozen=True, kw_only=True):
    """Members whose turn has come, as a whole set: declarations travel once, and not again with each of them. Starting
    twice is starting once; one that is left out is not ended."""

    members: tuple[str, ...]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    port: str
    """Name of the port; the addresses are those of ``members`` that run."""
    members: tuple[str, ...]
    protocol: str = "tcp"
    description: str = ""
    user: str = ""
    """Whom clients log in as; empty: nobody is asked who he is."""
    secret: str = ""
    """Reference of the secret that holds the user's password."""


class AskCredentials(msgspec.Struct, frozen=True):
    """How does one log in there? ``reference`` is ``endpoint:SERVICE.ENDPOINT``: one of the service itself, or one
    that it is bound to."""

    reference: str


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """How a client logs in. Both are empty where nobody is asked who he is."""

    user: str = ""
    password: str = ""


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    endpoints: tuple[Endpoint, ...]


class Propose(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A service proposes an operation on itself (a restart of a member by its update plan)."""

    key: Annotated[str, Meta(max_length=KEY_CHARS_MAX)]
    """Idempotency key, unique in the service."""
    kind: str
    member: str = ""
    reason: str
    parent: str = ""
    """The live update or upgrade of this service that it is a step of."""


class Way(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that would help where waiting does not."""

    does: str
    """In words: ``give orders a second copy``."""
    action: str = ""
    """The service's own action that does it, if one does."""
    arguments: dict[str, Any] = {}
    costs: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    operation: str
    verdict: Literal["accept", "defer", "decline", "wait", "restart", "replace", "renew"]
    """The last four answer ``lost``: wait for it, start it again here, elsewhere, or anew here with empty volumes."""
    reason: str = ""
    valid_s: float = 60.0
    counts_on: tuple[str, ...] | None = None
    """Incarnations (``broker-1.3``) that an acceptance counts on; None: all that are ready."""
    retry_after_s: float = 5.0
    progress: float | None = None
    waiting_helps: bool = True
    """False (of a deferral): the reason will not pass by itself; a person is told at once."""
    would_help: tuple[Way, ...] = ()


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    epoch: str
    answers: tuple[Answer, ...]


class Retarget(msgspec.Struct, frozen=True, kw_only=True):
    """These members take the newest declaration over with their next incarnation, and need no restart for it now: it
    was applied while they run, or they are down."""

    members: tuple[str, ...]


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """An update or upgrade goes no further."""

    reason: str


class Working(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far an operation is that the service carries out: a member leaves, load is spread."""

    text: str = ""
    share: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Of the whole: 0 to 1."""
    error: str = ""
    """What it does raised, and is called again; that is no progress."""


class Rescale(msgspec.Struct, frozen=True, kw_only=True):
    """The service wants another number of members, and a person lets it scale itself (``autoscale``). It is a revision
    like any other, asked for by the service; answers :class:`Accepted` with the update's id."""

    option: str
    """That is the size."""
    size: int
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    made_from: int
    """The revision that stands, as the service knows it."""


class Fits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether all members of a declaration would have a place now. Nothing is reserved."""

    unplaced: str = ""
    """What is missing, and what would fit. Empty: they have places, or whoever places cannot say it beforehand."""


class Preview(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a revision would do, and what the service says to it now; the answer to ``update/preview``."""

    how: dict[str, str] = {}
    """Option -> ``live``, ``restart``, ``new places``, ``never: reason``."""
    restart: dict[str, str] = {}
    """Member -> why."""
    live: tuple[str, ...] = ()
    """Members that take it over while they run."""
    come: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()
    answer: str = ""
    """What it would answer to the update now: ``accept``, ``defer: reason``, ``decline: reason``."""
    next: str = ""
    """What it would answer now to the first step."""


class Withdraw(msgspec.Struct, frozen=True, kw_only=True):
    operations: tuple[str, ...]


class Accepted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    operation: str = ""
    version: int = 0


NOTE_CHARS_MAX = 1000


class Back(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the service does once a member is ready is done: this incarnation counts from now on. With an ``error`` it
    raised, and is called again: a person reads why the member does not count."""

    member: str
    incarnation: int
    error: str = ""


class Note(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that a person should know of an operation: why it gets no answer. Shown by ``why`` and as an event."""

    operation: str
    text: str


class RunTool(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    member: str
    command: tuple[str, ...]
    timeout_s: float = 60.0
    env: dict[str, str] = {}
    input: str = ""


class ToolResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What ``member.run`` gives. With a code that was not expected it raises ``ToolFailed``, which has it as
    ``result``."""

    code: int
    """Of its exit."""
    output: str = ""
    """The end of what it wrote to standard output, 512 KiB at most."""
    error: str = ""
    """The same of standard error."""


class StateEntry(msgspec.Struct, frozen=True, kw_only=True):
    value: Any
    version: int


class StateWrite(msgspec.Struct, frozen=True, kw_only=True):
    value: Any
    version: int
    """The version that was read; 0: the key must not exist. Another one answers ``stale``."""


class ActionReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    ok: bool
    result: Any = None
    error: str = ""
    cancelled: bool = False


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """The value of the secret that whoever asked an action named in it (``secret``)."""

    value: str


class ActionProgress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far an action is, for a person who waits for it."""

    text: str
    share: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Of the whole: 0 to 1."""


class StepView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    state: Literal["pending", "waiting", "running", "done", "failed", "paused", "forced"]
    reason: str = ""
    since: float = 0.0
    """Wall clock, seconds since 1970."""


class PhaseView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    strategy: Literal["serial", "parallel"]
    state: str
    steps: tuple[StepView, ...]


class PlanView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    """``deploy``, ``recovery``, ``uninstall``."""
    state: str
    reason: str = ""
    phases: tuple[PhaseView, ...]


DEGRADED_MAX: Final = 20
"""Things that are told at once; who has more says the first of them in numbers."""
DEGRADED_CHARS_MAX: Final = 300


class Degraded(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that is wrong with a service although its members answer."""

    what: str
    """One plain sentence: ``12 of 48 partitions have fewer replicas in sync than wanted``."""
    doing: str = ""
    """What is being done about it, or what a person can do: ``broker-2 catches up, 40 MiB behind``."""
    member: str = ""
    """The member that it is about; empty: the service."""
    key: str = ""
    """What it is known by from one look to the next, so that since when it is so is known. Default: its member and its
    words, without their numbers."""
    restart_after_s: float | None = None
    """For so long its member has been so and ready as a process: then the service proposes its restart, and is asked
    about it like about any other. When that does not help, twice as long."""


class Health(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that is wrong now; the worst first."""

    degraded: tuple[Degraded, ...] = ()
    unseen: str = ""
    """Why it cannot be seen: then what was wrong before stands."""


class Plans(msgspec.Struct, frozen=True, kw_only=True):
    plans: tuple[PlanView, ...]

"""What a service asks and answers: what it wants, its consent, its members, tools, memory and actions."""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from upcall.protocol.declaration import AMOUNT_MAX, DAY_S, Amount, Declaration, Resources
from upcall.protocol.errors import Problem

KEY_CHARS_MAX: Final = 200
Patience = Annotated[float, Meta(gt=0, le=30 * DAY_S)]
"""Seconds that somebody is waited for: never none at all, and never for ever."""


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
    by_system: bool = False
    """The service's code was not asked: the SDK says what the system itself has against it (there is no place)."""


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    epoch: str
    answers: tuple[Answer, ...]


class Retarget(msgspec.Struct, frozen=True, kw_only=True):
    """These members take the newest declaration over with their next incarnation, and need no restart for it now: it
    was applied while they run, or they are down."""

    members: tuple[str, ...]


class Resize(msgspec.Struct, frozen=True, kw_only=True):
    """A member that runs is to have this much, and runs on: as it is declared, or as it was before."""

    member: str
    resources: Resources


class Resized(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far that is; asked again it goes on."""

    state: Literal["done", "waits", "refused", "away"]
    """``waits``: its machine does it, or has no room now. ``refused``: it never will be, there. ``away``: it does not
    run, and starts with what it is told."""
    reason: str = ""
    """In the machines' own words."""


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


class Differ(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which members run something else than a declaration says."""

    members: tuple[str, ...] = ()
    """Those that are there, and would start again with something else."""


class Preview(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a revision would do, and what the service says to it now; the answer to ``update/preview``."""

    how: dict[str, str] = {}
    """Option -> ``live``, ``restart``, ``new places``, ``never: reason``."""
    restart: dict[str, str] = {}
    """Member -> why."""
    live: tuple[str, ...] = ()
    """Members that take it over while they run."""
    live_first: str = ""
    """Which of them is told first, alone."""
    come: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()
    answer: str = ""
    """What it would answer to the update now, for people: ``accept``, ``defer: reason``, ``decline: reason``."""
    declined: str = ""
    """Why it would be declined; empty: it would not."""
    unasked: bool = False
    """That is said by the system, not by the service's code."""
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
    problem: Problem | None = None
    """What ``error`` says, part by part, where it was raised so. Of the code ``not_now``: it passes by itself, and the
    same action may succeed later."""


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """The value of the secret that whoever asked an action named in it (``secret``)."""

    value: str


class ActionProgress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far an action is, for a person who waits for it."""

    text: str
    share: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Of the whole: 0 to 1."""

"""The operator API: what people and programs ask of the master (``/v1``, JSON, OpenAPI at ``/openapi.json``).

    GET  /v1/status                                  Status
    GET  /v1/packages                                list[PackageView]
    DELETE /v1/packages/{name}                       ?version=  -> list[PackageView] that are left (own ones only)
    GET  /v1/services                                list[ServiceView]
    POST /v1/services                                Install -> ServiceView
    GET  /v1/services/{service}                      ServiceView (with plans, members, endpoints)
    POST /v1/services/{service}/uninstall            Ask -> OperationView
    POST /v1/services/{service}/update               Update -> OperationView
    POST /v1/services/{service}/finalize             Ask -> OperationView: the point of no return of an upgrade
    POST /v1/services/{service}/update/preview       Update -> PreviewView: what it would change; changes nothing
    POST /v1/services/{service}/rebalance            Ask -> OperationView: it spreads its load anew
    GET  /v1/services/{service}/revisions            list[RevisionView], newest first
    GET  /v1/services/{service}/plans                list[PlanView of protocol.service, as JSON]
    POST /v1/services/{service}/plans/{plan}/{verb}  PlanControl (verb: pause, resume, force, restart) -> {}
    POST /v1/services/{service}/actions/{action}     arguments object -> the action's result, if it is there soon
    POST /v1/services/{service}/actions/{action}/begin  arguments object -> ActionView, at once
    GET  /v1/services/{service}/actions              list[ActionView], newest first
    GET  /v1/actions/{id}                            ?wait_s=  -> ActionView
    POST /v1/actions/{id}/cancel                     Ask -> ActionView
    GET  /v1/endpoints                               list[EndpointView]
    GET  /v1/nodes                                   list[NodeView]
    POST /v1/nodes                                   AddNode -> NodeView
    POST /v1/nodes/{node}/drain                      Drain -> OperationView
    POST /v1/nodes/{node}/undrain                    Ask -> OperationView
    POST /v1/nodes/{node}/remove                     Drain -> OperationView
    GET  /v1/tasks                                   list[TaskView]
    GET  /v1/tasks/{member_or_task}                  TaskView
    POST /v1/tasks/{member_or_task}/{verb}           Ask (verb: restart, replace, start) -> OperationView
    GET  /v1/tasks/{member_or_task}/logs             ?lines=&follow=&stream=  -> text/plain, streamed when followed
    GET  /v1/volumes                                 list[VolumesView]
    POST /v1/volumes/{set}/drop                      Ask -> VolumesView
    POST /v1/volumes/{set}/take-back                 Ask -> OperationView
    GET  /v1/operations                              ?all=  -> list[OperationView]
    GET  /v1/operations/{operation}                  OperationView
    GET  /v1/operations/{operation}/why              Why
    POST /v1/operations/{operation}/{verb}           Ask -> OperationView
                                                     (verb: force, cancel, pause, resume, assume_dead)
    GET  /v1/events                                  ?since=&follow=&detail=  -> list[Event], or server-sent events
    PUT  /v1/secrets/{name}                          SecretValue -> {}      GET /v1/secrets -> names only
    POST /v1/login-codes                             AskLogin -> LoginCode  GET /v1/login-codes/{id} -> LoginState
    POST /v1/login                                   Login -> {token} (the page asks, for a browser)
    POST /v1/shutdown, /v1/startup                   Ask -> OperationView
    PUT  /v1/packages/{name}/{version}               protocol.service.Package, PUT /v1/blobs/{sha256} (bytes)

Errors are :class:`upcall.protocol.errors.Problem` as JSON with the status of the error's kind. Every call carries
``Authorization: Bearer <token>``.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from upcall.protocol.errors import Invalid

NAME = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
"""Names of services, members and nodes: lower case, digits, single dashes (valid in DNS)."""
WORD = r"[A-Za-z0-9][A-Za-z0-9._-]*"
"""Zones and attributes' names: they stand in option files, paths and arguments of the systems that run on a node."""
LINE = r"[^\x00-\x1f\x7f]*"


class Strict(BaseModel):
    """A request: a key that nobody knows is a mistake of the caller."""

    model_config = ConfigDict(extra="forbid")


class View(BaseModel):
    """A response: clients ignore what they do not know."""

    model_config = ConfigDict(extra="ignore")


# -- requests -------------------------------------------------------------------------------------------------------


class Install(Strict):
    package: str = Field(max_length=200)
    name: str = Field(default="", max_length=40)
    """Default: the package's name."""
    version: str = Field(default="", max_length=40)
    options: dict[str, Any] = {}
    bindings: dict[str, str] = {}
    """Need -> service name; default: a service of the need's own name."""
    secrets: list[str] = []
    """Names of secrets that the service may have, besides its own (``SERVICE.NAME``)."""
    platform: str = Field(default="", max_length=40)
    """Name of the platform file that it is made by (``upcall apply``)."""
    fresh: bool = False
    """Takes nothing over from an earlier service of this name: neither its volumes nor its memory."""


class Update(Strict):
    """Another revision of a service. What is not named stays as it is."""

    set: dict[str, Any] = {}
    """Options; a map is merged with what it has, key by key."""
    unset: list[Annotated[str, Field(max_length=300)]] = Field(default=[], max_length=1000)
    """Options that get their default again: ``heap_mib``, or one entry of a map: ``config.log.retention.ms``."""
    options: dict[str, Any] | None = None
    """All options, instead of those that stand."""
    version: str = Field(default="", max_length=60)
    """Of the package: an upgrade."""
    bindings: dict[str, str] = {}
    secrets: list[str] | None = None
    back_to: int | None = Field(default=None, ge=0)
    """What an earlier revision said; 0: the last one before the present that was carried out."""
    made_from: int | None = Field(default=None, ge=1)
    """The revision that whoever asks has seen: refused where another one stands by now."""
    reason: str = Field(default="", max_length=500)
    instead: bool = False
    """In place of a change that is under way; else it is refused while there is one."""
    finalize: bool = False
    """An upgrade: its point of no return follows as soon as it is carried out, and no person is asked for it again."""
    in_window: bool = False
    """It begins, and goes on, within the maintenance windows of its service alone."""


class Made(Strict):
    """What a platform file made in a service, or dropped again: it removes nothing else."""

    platform: str = Field(min_length=1, max_length=40)
    kind: str = Field(min_length=1, max_length=100)
    """Of contents, as the package names it."""
    made: list[Annotated[str, Field(max_length=300)]] = Field(default=[], max_length=10_000)
    dropped: list[Annotated[str, Field(max_length=300)]] = Field(default=[], max_length=10_000)


DRAIN_WINDOW_S: Final = 600.0
"""So long the services of a drained node are asked, where nobody says otherwise."""


class Ask(Strict):
    reason: str = Field(default="", max_length=500)
    force: bool = False
    in_window: bool = False
    """It begins, and goes on, within the maintenance windows of its service alone."""


class Drain(Strict):
    reason: str = Field(default="maintenance", max_length=500)
    window_s: float = Field(default=DRAIN_WINDOW_S, gt=0, le=7 * 86_400)
    on_deadline: Literal["hold", "proceed", "force"] = "hold"


class Nodes(Strict):
    """Nodes by name, or all of a zone."""

    nodes: list[Annotated[str, Field(max_length=40)]] = Field(default=[], max_length=1000)
    zone: str = Field(default="", max_length=40)


class DrainTogether(Nodes, Drain):
    """One maintenance of several nodes."""


class UndrainTogether(Nodes, Ask):
    """Their maintenance is over."""


class AddNode(Strict):
    name: str = Field(default="", max_length=40)
    """Default: the next free ``node-N``."""
    zone: str = Field(default="", max_length=40)
    """Default: the zone with the fewest nodes."""
    memory_mib: int = Field(default=0, ge=0)
    """Default: what each node got at the first ``up``."""
    attributes: dict[Annotated[str, Field(max_length=40)], Annotated[str, Field(max_length=200)]] = Field(
        default={}, max_length=100
    )

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        return _matching(NAME, name, "a node's name", "lower case letters, digits, single dashes, a letter first")

    @field_validator("zone")
    @classmethod
    def _is_a_word(cls, zone: str) -> str:
        return _matching(WORD, zone, "a zone", "letters, digits and . _ - only")

    @field_validator("attributes")
    @classmethod
    def _are_words(cls, attributes: dict[str, str]) -> dict[str, str]:
        for name, value in attributes.items():
            _matching(WORD, name or " ", "an attribute's name", "letters, digits and . _ - only")
            _matching(LINE, value, f"a value of attribute {name}", "one line of text")
        return attributes


def _matching(pattern: str, text: str, what: str, expected: str) -> str:
    """``text``, if it is empty (the default) or matches."""
    if text and not re.fullmatch(pattern, text):
        # Its context goes into the error's `expected`: see `refusal`.
        raise PydanticCustomError(
            "pattern", "not {what}: {text}", {"what": what, "text": repr(text), "expected": expected}
        )
    return text


def refusal(errors: Sequence[Mapping[str, Any]]) -> Invalid:
    """The first of pydantic's errors about a request, as the API and the command line say it."""
    first = errors[0]
    return Invalid(
        str(first["msg"]),
        where=".".join(str(part) for part in first["loc"]),
        expected=str(first.get("ctx", {}).get("expected", "")),
    )


class PlanControl(Strict):
    phase: str = ""
    step: str = ""


class SecretValue(Strict):
    value: str = Field(max_length=65_536)


LoginPurpose = Literal["page", "documentation"]


class AskLogin(Strict):
    purpose: LoginPurpose = "page"
    user: int | None = Field(default=None, ge=0)
    """Of this machine, whose browser will give the code in; root's may too. Without one: the cluster's own user."""


class Login(Strict):
    code: str = Field(max_length=100)
    user: int | None = Field(default=None, ge=0)
    """Whose browser gave it in, where the machine tells."""


# -- responses ------------------------------------------------------------------------------------------------------


PersonRole = Literal["viewer", "operator", "admin"]
"""Sees; acts on services, tasks and nodes; decides who may do what, and what code runs."""


class Grant(View):
    """A token for somebody, until its end."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_.@-]{0,63}$", description="who is meant; it stands in what he asks for"
    )
    role: PersonRole
    valid_s: float = Field(ge=60, le=366 * 86_400, description="for how long")


class AccessView(View):
    name: str
    role: PersonRole
    granted_by: str
    granted_at: float
    expires_at: float
    expired: bool = False


class Granted(View):
    access: AccessView
    token: str
    """Told once, and kept nowhere."""


class LoginCode(View):
    code: str
    expires_s: float
    id: str = ""
    """No secret: by it one learns what became of the code."""


class LoginState(View):
    state: Literal["waiting", "used", "refused", "expired"]
    at: float = 0.0
    by: str = ""
    """The user of this machine whose process gave it in."""
    text: str = ""


class PackageView(View):
    name: str
    version: str
    description: str = ""
    own: bool = False
    """Registered from somebody's files; else it came with the installation."""
    options_schema: dict[str, Any] = {}
    actions: list[dict[str, Any]] = []
    needs: list[dict[str, Any]] = []
    """Other services that it connects to: ``name``, ``endpoint``, ``optional``."""
    contents: list[dict[str, Any]] = []
    """What it holds that people name one by one: ``kind``, and the actions ``show``, ``make``, ``change``, ``drop``."""


class EndpointView(View):
    service: str
    name: str
    protocol: str = "tcp"
    addresses: list[str] = []
    description: str = ""
    user: str = ""
    """Whom clients log in as; empty: nobody is asked who he is."""


class CredentialsView(View):
    """How a client logs in to an endpoint. Both are empty where nobody is asked who he is."""

    user: str
    password: str


class TaskView(View):
    """A member and its newest incarnation."""

    member: str
    """``store.replica-2``"""
    service: str
    name: str
    incarnation: int
    task: str
    state: str
    """As in protocol.service.Member."""
    reason: str = ""
    node: str = ""
    zone: str = ""
    address: str = ""
    ports: dict[str, int] = {}
    since: float = 0.0
    cpus: float = 0.0
    memory_mib: int = 0
    cpu_used: float = 0.0
    """Cores, over the last usage interval."""
    memory_used_mib: float = 0.0
    disk_mib: int = 0
    """What its volumes may hold."""
    disk_used_mib: float = 0.0
    """Of its volumes and its sandbox."""
    filling: list[str] = []
    """What is nearly full, or holds more than it may: watched, and told; nothing ends a task for that."""
    exit_code: int | None = None
    """Of the incarnation that ended last (128 + signal where a signal did it); none: it was never a process."""
    exit_reason: str = ""
    """Why that one ended: what was wished, or the line of its output that says so."""
    last_lines: list[str] = []
    """What it said last, of an end that nobody wished."""


class DegradedView(View):
    """Something that is wrong with a service although its members answer, in the words of its own code."""

    what: str
    doing: str = ""
    """What is being done about it."""
    member: str = ""
    since: float
    key: str


class DerivedView(View):
    """An option's value that follows from a goal, or from the machine."""

    value: Any
    why: str = ""
    goal: str = ""
    """Which; empty: the machine."""
    at_least: bool = False


class ScheduleView(View):
    """Something that is done again and again of a service. Times are wall times; 0: there is none."""

    service: str
    name: str
    description: str = ""
    every: str
    """``never``: a person wants it not to be done."""
    time_zone: str = "UTC"
    windows: list[str] = []
    by: str = ""
    """Whose word ``every`` is: ``package``, or an ``option``."""
    within_s: float = 0.0
    """From one that ended well to the next, at most; 0: no bound."""
    due: float = 0.0
    """When it is wanted."""
    next: float = 0.0
    """When it begins: due, and in a window."""
    running: str = ""
    """The action or operation that is under way."""
    began: float = 0.0
    ended: float = 0.0
    took_s: float = 0.0
    outcome: str = ""
    error: str = ""
    done: float = 0.0
    """When one ended well the last time."""
    late: bool = False
    """None ended well within its time."""


class ServiceView(View):
    name: str
    package: str
    version: str
    revision: int
    options: dict[str, Any] = {}
    """As a person said them, his goals among them."""
    derived: dict[str, DerivedView] = {}
    """What its code made of the goals: option, or ``settings.NAME``."""
    bindings: dict[str, str] = {}
    secrets: list[str] = []
    """Names of those that it was granted, besides its own."""
    platform: str = ""
    """Name of the platform file that made it."""
    made: dict[str, dict[str, list[str]]] = {}
    """Platform file -> kind of contents -> those in it that the file made."""
    desired: str = "running"
    state: str = ""
    """``deploying``, ``running``, ``degraded`` (members are missing, or its own code says what is wrong),
    ``recovering`` (one ends again and again), ``blocked``, ``uninstalling``, ``shut down``, ``no host``"""
    reason: str = ""
    ready: int = 0
    wanted: int = 0
    degraded: list[DegradedView] = []
    """What is wrong with it, as its own code sees it; the worst first."""
    members: list[TaskView] = []
    plans: list[dict[str, Any]] = []
    endpoints: list[EndpointView] = []
    actions: list[dict[str, Any]] = []
    schedules: list[ScheduleView] = []
    came_from: str = ""
    """Of a service that was upgraded and not finalized: the version that it can go back to."""


class RevisionView(View):
    """Everything wanted of a service under one number."""

    number: int
    state: str
    """``stands``, ``under way``, ``past`` (it stood), or what became of it before it stood: ``declined``,
    ``withdrawn``."""
    package: str
    version: str
    options: dict[str, Any] = {}
    """As a person said them, his goals among them."""
    derived: dict[str, DerivedView] = {}
    bindings: dict[str, str] = {}
    at: float = 0.0
    """When it was asked for."""
    asked_by: str = ""
    reason: str = ""
    before: int = 0
    """The one that stood then."""
    back_to: int = 0
    changed: dict[str, tuple[Any, Any]] = {}
    """Option -> what it was in the one before, and what it is in this one."""
    operation: str = ""
    """That carries it out, as long as the operation is on record."""
    outcome: str = ""
    """How that ended: ``done``, ``failed``, ``declined``, ``withdrawn``, ``cancelled``; empty: it has not."""
    why: str = ""
    took_s: float | None = None
    """From its beginning to its end."""


class PreviewView(View):
    """What an update would do, and what its service says to it now. Nothing was changed."""

    revision: int
    kind: str
    """``update`` or ``upgrade``."""
    changed: dict[str, tuple[Any, Any]] = {}
    how: dict[str, str] = {}
    """Option -> ``live``, ``restart`` ..., as its service's code says."""
    between: dict[str, str] = {}
    """Upgrade: options of the package, and settings in them, that one of the two versions alone has (``gone``,
    ``new``), or that have another default (``default 100, now 200``)."""
    restart: dict[str, str] = {}
    """Member -> why."""
    live: list[str] = []
    """Members that take it over while they run."""
    come: list[str] = []
    leave: list[str] = []
    answer: str = ""
    """What its service would answer now, for people: ``accept``, ``defer: ...``, ``decline: ...``."""
    declined: str = ""
    """Why it would decline; empty: it would not."""
    next: str = ""
    """What it would say now to the first step."""
    last_took_s: float | None = None
    """How long the last change took."""


class ActionView(View):
    """Something that was asked of a service."""

    id: str
    service: str
    name: str
    who: str = ""
    state: str
    """``running``, ``done``, ``failed``, ``cancelled``"""
    began_at: float = 0.0
    ended_at: float = 0.0
    progress: str = ""
    share: float | None = None
    """Of the whole, 0 to 1, where it says so."""
    result: Any = None
    error: str = ""
    cancelled_by: str = ""


class NodeView(View):
    name: str
    state: str
    """``up``, ``draining``, ``drained``, ``silent``, ``gone``"""
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
    """In words: ``deferred by store: 2 copies ...``, ``held by the guard: 2 of 3 ready, minimum 2``."""
    next_look_at: float | None = None
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
    nodes: list[NodeView]
    services: list[ServiceView]
    operations: list[OperationView]
    waiting: list[str] = []
    """What is stuck, in words."""

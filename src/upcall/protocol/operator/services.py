"""What a service is seen as: its package, members, revisions, actions."""

from typing import Any

import msgspec

from upcall.protocol.operator.words import View
from upcall.protocol.service import Package


class PackageView(View):
    name: str
    version: str
    description: str = ""
    own: bool = False
    """Registered from somebody's files; else it came with the installation."""
    source: str = ""
    """SHA-256 of these files."""
    options_schema: dict[str, Any] = {}
    actions: list[dict[str, Any]] = []
    needs: list[dict[str, Any]] = []
    """Other services that it connects to: ``name``, ``endpoint``, ``optional``."""
    contents: list[dict[str, Any]] = []
    """What it holds that people name one by one: ``kind``, and the actions ``show``, ``make``, ``change``, ``drop``."""
    commands: list[dict[str, Any]] = []
    """Its own on the command line: ``words``, and the ``action`` of each."""
    clients: list[dict[str, Any]] = []
    """How clients connect: ``text``, and the ``files`` that it reads."""

    @classmethod
    def of(cls, package: Package) -> "PackageView":
        return cls(
            name=package.name,
            version=package.version,
            description=package.description,
            own=bool(package.source),
            source=package.source,
            options_schema=package.options_schema,
            actions=[msgspec.to_builtins(action) for action in package.actions],
            needs=[msgspec.to_builtins(need) for need in package.needs],
            contents=[msgspec.to_builtins(one) for one in package.contents],
            commands=[msgspec.to_builtins(one) for one in package.commands],
            clients=[msgspec.to_builtins(one) for one in package.clients],
        )


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
    ended: int = 0
    """Which incarnation ended last; 0: none did, or it is not known any more."""
    ended_at: float = 0.0
    """When that was."""


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


class KeeperView(View):
    """The document that says what a service is to be, and what became of what it said last."""

    what: str
    how: str = ""
    end: str = ""
    uid: str = ""
    generation: int = 0
    """The version of it that was taken up last."""
    revision: int = 0
    """That it became."""
    operation: str = ""
    """That carries it out, as long as it is live."""
    outcome: str = ""
    """How that ended; empty: it has not."""
    why: str = ""


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
    keeper: KeeperView | None = None
    """The document somewhere else that says what it is to be; none: anybody who may changes it here."""
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
    commands: list[dict[str, Any]] = []
    clients: list[dict[str, Any]] = []
    """As of its package."""
    schedules: list[ScheduleView] = []
    came_from: str = ""
    """Of a service that was upgraded and not finalized: the version that it can go back to."""
    unfinished: str = ""
    """The change to the revision that stands has failed, or was cancelled: why, and the ways out."""


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
    left_in: int = 0
    """The rollback by which it was gone back from; 0: none. No rollback comes back to it unless a person names it."""
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
    back_to: int = 0
    """The earlier revision that it would say again."""
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
    live_first: str = ""
    """Which of them is told first, alone, and watched before the others follow."""
    come: list[str] = []
    leave: list[str] = []
    answer: str = ""
    """What its service would answer now, for people: ``accept``, ``defer: ...``, ``decline: ...``."""
    declined: str = ""
    """Why it would be declined; empty: it would not."""
    unasked: bool = False
    """The system declines it by itself (no place, an option that is refused): its service is not asked."""
    next: str = ""
    """What it would say now to the first step."""
    last_took_s: float | None = None
    """How long the last change took."""


class ActionProblem(View):
    """Why an action failed, or would be refused, part by part."""

    code: str
    message: str
    where: str = ""
    expected: str = ""


class CheckedAction(View):
    """Whether an action would be refused."""

    refused: str = ""
    """Why, in a line; empty: nothing is known against it."""
    reasons: list[ActionProblem] = []
    """The same, part by part: each for itself."""
    known: bool = True
    """Its service can say so beforehand."""


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
    patience_s: float = 0.0
    """For so long, from its beginning, it is tried again where its service answers "not now"."""
    problem: ActionProblem | None = None
    """What ``error`` says, part by part, where its service said it so."""
    waiting_helps: bool = False
    """It failed for what passes by itself: the same may succeed later."""

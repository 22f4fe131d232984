"""The master's own durable records. Each has a kind and a key, is written alone, and has a version."""

from typing import Any, Final, Literal

import msgspec

from upcall.protocol.errors import Problem
from upcall.protocol.service import Derived, Endpoint, MemberWanted, PlanView, Policy

SERVICE: Final = "service"
DECLARATION: Final = "declaration"
POLICY: Final = "policy"
ENDPOINTS: Final = "endpoints"
PLANS: Final = "plans"
HEALTH: Final = "health"
PACKAGE: Final = "package"
STATE: Final = "state"
SEEN: Final = "seen"
PAST: Final = "past"
ACTION: Final = "action"
REVISION: Final = "revision"
SCHEDULE: Final = "schedule"
REPLACED: Final = "replaced"
"""A member's address at the place before the present one, as text."""


class KeeperRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The document somewhere else that says what a service is to be."""

    what: str
    how: str = ""
    """By what command it is changed, and by what the service is taken away, there."""
    end: str = ""
    uid: str = ""
    generation: int = 0
    """Of what was taken up last."""
    revision: int = 0
    """That it became."""


class ServiceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A service as a person wants it: every revision of its options has a number."""

    name: str
    package: str
    version: str
    revision: int
    options: dict[str, Any]
    """What a person said, and what follows from his goals."""
    derived: dict[str, Derived] = {}
    """The latter, with the reasons, by the names that ``--set`` has."""
    bindings: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    """Names of the secrets that a person granted it, besides its own."""
    created_at: float = 0.0
    asked_by: str = ""
    platform: str = ""
    """Name of the platform file that it was made by."""
    made: dict[str, dict[str, tuple[str, ...]]] = {}
    """Platform file -> kind of contents -> those in this service that it made."""
    finalized: str = ""
    """The version of its package whose upgrade was finalized: nothing older can read what it has written since."""
    keeper: KeeperRecord | None = None


class RevisionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything wanted of a service under one number."""

    service: str
    number: int
    package: str
    version: str
    options: dict[str, Any]
    """What a person said, and what follows from his goals."""
    derived: dict[str, Derived] = {}
    bindings: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    at: float
    """When it was asked for; wall time, as is ``began_at`` (it stands since then) and ``ended_at``."""
    asked_by: str = ""
    reason: str = ""
    before: int = 0
    """The one that stood when it was asked for."""
    back_to: int = 0
    """It says again what that one said."""
    finalize: bool = False
    """Whoever asked for the upgrade wants its point of no return as soon as it is carried out."""
    outcome: str = ""
    """How its operation ended: ``done``, ``failed``, ``declined``, ``withdrawn`` (it never began), ``cancelled`` (it
    had begun). Empty: it is under way."""
    why: str = ""
    began_at: float = 0.0
    ended_at: float = 0.0


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A member as its service declared it, with the number of the declaration."""

    service: str
    name: str
    generation: int
    wanted: MemberWanted


class PolicyRecord(msgspec.Struct, frozen=True, kw_only=True):
    service: str
    policy: Policy


class EndpointsRecord(msgspec.Struct, frozen=True, kw_only=True):
    service: str
    endpoints: tuple[Endpoint, ...]


class PlansRecord(msgspec.Struct, frozen=True, kw_only=True):
    service: str
    plans: tuple[PlanView, ...]


class DegradedRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that is wrong with a service, and since when."""

    key: str
    what: str
    doing: str = ""
    member: str = ""
    since: float
    """Wall time; a restart of the host or the master does not change it."""


class HealthRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    service: str
    version: str
    """Of the code that saw it: another one may not look at all."""
    degraded: tuple[DegradedRecord, ...] = ()


class StateRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A key of a service's own memory."""

    service: str
    key: str
    value: Any
    version: int


class ActionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person asked of a service. Its arguments are not kept (there may be secrets among them), but for an action
    that goes on after a death of its host."""

    id: str
    service: str
    name: str
    who: str
    state: Literal["running", "done", "failed", "cancelled"] = "running"
    began_at: float
    """Wall time, as is ``ended_at``."""
    ended_at: float = 0.0
    progress: str = ""
    share: float | None = None
    result: Any = None
    error: str = ""
    cancelled_by: str = ""
    arguments: dict[str, Any] = {}
    patience_s: float = 0.0
    """For so long it is tried again where its service answers "not now"."""
    problem: Problem | None = None
    """What ``error`` says, part by part, where its service said it so."""


class ScheduleRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that is done again and again of a service, and how that went the last time. Times are wall times."""

    service: str
    name: str
    since: float
    """Since when the service wants it: the first one counts from then."""
    run: str = ""
    """The action, or the operation, that is under way."""
    began_at: float = 0.0
    ended_at: float = 0.0
    done_at: float = 0.0
    """When one ended well."""
    took_s: float = 0.0
    outcome: str = ""
    """How the last one ended: ``done``, ``failed``, ``cancelled``."""
    error: str = ""
    failures: int = 0
    """In a row."""
    told_late: bool = False
    """That none ended well in the time within which one has to."""


class SeenRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A member as it was observed last, for people: since when, and how it ended before. The ledger believes only what
    is observed after its start; so a member that is seen unchanged then has been so since ``since``."""

    incarnation: int
    state: str
    since: float
    """Wall time."""
    exit_code: int | None = None
    """Of the incarnation that ended last; 128 + signal for one that a signal ended."""
    exit_reason: str = ""
    """Why that one ended."""
    last_lines: tuple[str, ...] = ()
    """What it said last."""
    ended: int = 0
    """Which incarnation that was; 0: it is not known any more."""
    ended_at: float = 0.0
    """When, as a wall time."""
    address: str = ""
    """Its last; whoever replaces it may have to name it, after a restart of ours too."""
    node: str = ""
    """Where that incarnation's log lies."""


class PastRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A member that has left, for people who ask afterwards."""

    task: str
    node: str
    """Where its log lies; empty: not known."""
    ended_at: float
    """Wall time, as is ``left_at``."""
    left_at: float
    exit_code: int | None = None
    exit_reason: str = ""
    last_lines: tuple[str, ...] = ()

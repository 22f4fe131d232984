"""What can happen, in the field's words. A recorded list of these replays any run.

Services and members are named (``store``, ``replica-2``); a member is ``store.replica-2`` and one incarnation of it,
a task, is ``store.replica-2.7``. Durations are seconds from the moment of the input.
"""

from typing import Literal, TypeAlias

import msgspec

from upcall.operations.records import Epoch, Firmness, Policy, Restart, Verdict, Way
from upcall.operations.table import Kind, OnDeadline

TaskState = Literal["pending", "placed", "fetching", "starting", "running", "ready", "unready", "ending", "ended"]
NodeState = Literal["up", "silent", "gone"]


# -- from the driver ------------------------------------------------------------------------------------------------


class Started(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="started"):
    """The first input after the ledger was built from its records: repeats every effect that still stands."""

    firmness: dict[str, Firmness] = {}
    """For each verb, how firmly the substrate holds it; ``*`` is the default."""
    places: dict[str, str] = {}
    """Member (``store.replica-2``) -> node of its place, where places are reserved before a launch."""
    volumes_bound_to_node: bool = True
    """Else a member whose node is gone comes back in place, with its volumes, on another node."""


class Tick(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="tick"):
    """``deadline()`` has come."""


class ClockJumped(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="clock_jumped"):
    """The judge slept (suspend, overload): every deadline starts anew. Windows by wall time do not."""

    slept_s: float


# -- from services --------------------------------------------------------------------------------------------------


class DeclareService(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="declare_service"):
    """Declares or alters a service."""

    name: str
    minimum: int = 0
    stateful: bool = True
    policy: Policy = Policy()
    needs: tuple[str, ...] = ()
    package: str = ""
    """Of what it is made; empty: as before. Volumes of an earlier life are taken back by the same package alone."""
    fresh: bool = False
    """Nothing of an earlier life under this name is taken back, although it could be."""


class MemberDeclaration(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    generation: int = 1
    same_as: int = 0
    """Its target, where this declaration says the same; 0: it says something else."""
    anew: bool = False
    """Something of it was said for the first time, also of what it is to be at another place: what it needs may differ
    although its generation is the same."""
    restart: Restart = "always"
    restarts_max: int = 0
    start_timeout_s: float = 300.0
    grace_s: float = 30.0
    counts: bool = True
    """For the minimum (a job beside a service does not)."""
    hooks: bool = False
    """An incarnation that is ready counts once :class:`Back` says that what its service does then is done."""
    portable: bool = False
    """Nothing binds it to its node."""
    two_at_once: bool = False
    """Two of it may run at the same time."""


class DeclareMembers(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="declare_members"):
    """A group: places are found for all of them at once or for none. Declaring again alters the generation, which
    the next incarnation gets; it restarts nothing."""

    service: str
    members: tuple[MemberDeclaration, ...]
    revision: int = 0
    """Of the service, under which these are declared."""


class StartMembers(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="start_members"):
    """They should run from now on. Idempotent: what runs, or was launched and not ended, is not launched again. A
    member that a person stopped is given back."""

    service: str
    members: tuple[str, ...]


class WithdrawMembers(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="withdraw_members"):
    """Members that were declared and never launched are not wanted any more. The seam for changed options: nothing
    sends it yet, because a service's set of members does not shrink yet."""

    service: str
    members: tuple[str, ...]


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """About one operation."""

    verdict: Verdict
    valid_s: float = 60.0
    """Accept: a reservation, good for so long."""
    counts_on: tuple[str, ...] | None = None
    """Accept: tasks that must stay; ``None``: all that are ready now and are not taken by this same answer."""
    retry_after_s: float = 10.0
    reason: str = ""
    progress: float | None = None
    waiting_helps: bool = True
    """Defer: False when the reason will not pass by itself."""
    would_help: tuple[Way, ...] = ()
    """Defer: what a person could do about it."""
    by_system: bool = False
    """Its service was not asked: what is said against it is the system's own."""


class Answers(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="answers"):
    """One answer about the set that was shown; accepting several means all of them at the same time."""

    service: str
    epoch: Epoch
    answers: dict[str, Answer]


class WithdrawAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="withdraw_answer"):
    """The service takes an acceptance back; refused once the operation has begun."""

    service: str
    operation: str


class Confirm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="confirm"):
    """The service says: the member has left (a removal that prepares), or the plan is finished."""

    service: str
    operation: str


class PlanFailed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="plan_failed"):
    """The service says: the plan goes no further. What it has begun goes on to its end."""

    service: str
    operation: str
    reason: str


class Working(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="working"):
    """The service says how far an operation is that it carries out. ``error``: what it does raised, and is called
    again."""

    service: str
    operation: str
    text: str = ""
    share: float | None = None
    error: str = ""


class Retarget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="retarget"):
    """Their next incarnation gets the newest declaration, and nothing restarts for it: it was applied while they run,
    or they are down and it is their turn."""

    service: str
    members: tuple[str, ...]


class Back(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="back"):
    """What the service does once an incarnation is ready (its ``after_ready``) is done: it counts from now on. With an
    ``error`` it is not: it raised, and is called again. Of an older incarnation it says nothing."""

    service: str
    member: str
    incarnation: int
    error: str = ""


class HostSubscribed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="host_subscribed"):
    service: str


class HostUnsubscribed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="host_unsubscribed"):
    service: str


# -- from people and programs ---------------------------------------------------------------------------------------


class Propose(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="propose"):
    """Any kind of operation. The same ``key`` again gives the same operation."""

    kind: Kind
    asked_by: str
    scope: str = ""
    """The service that proposes: its code reaches itself alone. Empty: a person, who may reach everything."""
    reason: str = ""
    service: str = ""
    members: tuple[str, ...] = ()
    node: str = ""
    nodes: tuple[str, ...] = ()
    """Maintenance of several nodes, which go together; in place of ``node``."""
    zone: str = ""
    """Maintenance: the zone that was named, for the words; ``nodes`` says which these are."""
    parent: str = ""
    key: str = ""
    window_s: float | None = None
    """Maintenance: how long services may choose the moment."""
    on_deadline: OnDeadline | None = None
    """``None``: each service's default, ``hold`` with data and ``proceed`` without."""
    remove: bool = False
    """Maintenance: the node goes for good; members are placed elsewhere (``vacate``)."""
    force: bool = False
    """Over consent, guard and dependents; ``reason`` stays in the record."""
    impact: str = ""
    revision: int = 0
    """Update, upgrade: the revision of the service that it brings. Finalize: the one whose version it is about."""
    instead: bool = False
    """Update, upgrade: in place of one that is live."""
    in_window: bool = False
    """It begins, and goes on, within its service's maintenance windows alone (:data:`Pause.window` says when)."""
    takes: int = 0
    """Replace: the set of volumes, set aside before, that the member takes back; it comes up where they are."""


class Force(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="force"):
    operation: str
    who: str
    why: str


class Pause(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="pause"):
    """Holds an operation that has not begun, until it is resumed."""

    operation: str
    who: str
    why: str = ""
    on: Literal["pause", "resume"] = "pause"
    window: bool = False
    """No person says it: a maintenance window has ended, or has begun."""


class Cancel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="cancel"):
    """Withdraws what has not begun. Of a drain: the same word as undrain."""

    operation: str
    who: str
    why: str = ""


class GiveBack(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="give_back"):
    """A member that a stop of its own holds is started again: the reverse of ``stop``, as undrain is of a drain."""

    service: str
    member: str
    who: str
    why: str = ""


class GiveUpVolumes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="give_up_volumes"):
    """What a member that is gone has left is not to be taken back, although it could be."""

    service: str
    member: str


class Undrain(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="undrain"):
    """Gives back a node; of a maintenance of several, one of them or some, and the last lifts it."""

    node: str = ""
    nodes: tuple[str, ...] = ()
    """Of one maintenance; in place of ``node``."""
    who: str
    why: str = ""


class Up(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="up"):
    """The reverse of ``shutdown``."""

    who: str


class AssumeDead(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="assume_dead"):
    """A person's word that an incarnation cannot write any more: of this member, or of all that the operation waits
    for on nodes that do not answer."""

    service: str = ""
    member: str = ""
    operation: str = ""
    who: str
    why: str


# -- from the substrate ---------------------------------------------------------------------------------------------


class TaskObserved(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="task_observed"):
    """A task as it stands. Repeating it is harmless; an older incarnation than the recorded one is of the past."""

    service: str
    member: str
    incarnation: int
    state: TaskState
    node: str = ""
    reason: str = ""
    exit_code: int | None = None
    not_started: bool = False
    """It ended because it could not be prepared, or not be started."""
    without_data: bool = False
    """It was not started, because the volumes that it served with are not there."""
    with_its_node: bool = False
    """Its machine stopped beneath it, and it did nothing wrong itself."""
    generation: int = 0
    progress: int = 0
    """How often its start told that it goes on."""


class NodeObserved(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="node_observed"):
    node: str
    state: NodeState
    reason: str = ""


class PlaceObserved(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="place_observed"):
    """The member has a place, from now on or again."""

    service: str
    member: str
    node: str


class PlaceHeld(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="place_held"):
    """The member's next place is held, beside the one that it has. ``node`` is empty where somebody else places."""

    service: str
    member: str
    place: int
    node: str = ""


class PlaceRefused(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="place_refused"):
    """There is no next place for the member; it is looked for again until it is called off."""

    service: str
    member: str
    place: int
    reason: str


class PlacesObserved(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="places_observed"):
    """What was said of several places in one moment. A group that is declared and a node that is drained have many: it
    is all learned first, and then each service is looked at once."""

    places: tuple[PlaceObserved | PlaceHeld | PlaceRefused, ...]


class DisruptionBegan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="disruption_began"):
    """Somebody else disturbs a task."""

    id: str
    service: str
    member: str
    incarnation: int
    verb: Literal["stop", "evict", "preempt"]
    firmness: Firmness
    reason: str
    who: str
    deadline_s: float | None = None


class DisruptionEnded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="disruption_ended"):
    id: str
    happened: bool


class DisruptionsListed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="disruptions_listed"):
    """All disruptions that stand, as the substrate says after a start of the master, when it has told its tasks."""

    ids: tuple[str, ...] = ()


Input: TypeAlias = (
    Started
    | Tick
    | ClockJumped
    | DeclareService
    | DeclareMembers
    | StartMembers
    | WithdrawMembers
    | Answers
    | WithdrawAnswer
    | Confirm
    | PlanFailed
    | Working
    | Retarget
    | Back
    | HostSubscribed
    | HostUnsubscribed
    | Propose
    | Force
    | Pause
    | Cancel
    | GiveBack
    | GiveUpVolumes
    | Undrain
    | Up
    | AssumeDead
    | TaskObserved
    | NodeObserved
    | PlaceObserved
    | PlaceHeld
    | PlaceRefused
    | PlacesObserved
    | DisruptionBegan
    | DisruptionEnded
    | DisruptionsListed
)

"""What the driver does after the commit, in order. Repeating any of these is harmless.

The driver writes :attr:`Outcome.changes` first, each on its own if it must, and performs :attr:`Outcome.effects`
afterwards; when the process dies between the two, ``Started`` repeats what still stands.
"""

from typing import Literal, TypeAlias

import msgspec

from upcall.operations.news import News
from upcall.operations.records import RecordChange


class Reserve(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="reserve"):
    """Find places for all of these members at once, or for none."""

    service: str
    places: dict[str, int]
    """Member name -> place number; a higher one than before means: give the old place up."""
    generations: dict[str, int] = {}
    """Of those that run there already: which of their declarations that is. Of all others the newest is meant."""


class HoldPlace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="hold_place"):
    """Find the member's next place and hold it, beside the present one, which stays until the member is launched at the
    next. Where nothing fits, it is looked for until it is called off."""

    service: str
    member: str
    place: int
    same_node: bool = False
    """On the node of the present one, with volumes of its own."""
    takes: int = 0
    """Where this set of volumes is, which was set aside, and with it."""


class CallOffPlace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="call_off_place"):
    """The next place of this number is not wanted any more."""

    service: str
    member: str
    place: int


class Launch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="launch"):
    service: str
    member: str
    incarnation: int
    place: int
    generation: int
    beside: bool = False
    """At the next place, which is held: one before it runs on at the present place, until :class:`Reserve` gives that
    up."""


class EndTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="end_task"):
    """The only effect that ends a task. ``operation`` has begun and names this incarnation (or, for what is left of
    an older one, it is the operation that gave it up)."""

    service: str
    member: str
    incarnation: int
    grace_s: float
    operation: str
    reason: str


class Release(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="release"):
    """Address and reservation are free; volumes after a grace."""

    service: str
    member: str
    keep_volumes_s: float
    stays: bool = False
    """The member is still there to be seen: a job at its end."""


class Cordon(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="cordon"):
    """Nothing new is placed on a node in maintenance."""

    node: str
    closed: bool


class ProveDeath(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="prove_death"):
    """A lost member is replaced once its last incarnation is proven dead: see to that proof, if the substrate can.
    Repeated whenever the loss is looked at, for as long as it waits."""

    operation: str
    node: str


class StillHeld(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a disruption of somebody else's has to wait: what ``why`` says of its operation, but for what only the clock
    changes."""

    operation: str
    waits_for: str
    reason: str
    """Follows what is waited for, as in ``why``: of a service that has answered it is its own reason, and names it."""
    progress: float | None = None
    """How far its service is with what it waits for, 0 to 1, where it says so."""


class HoldDisruption(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="hold_disruption"):
    """It is to wait, and why; or to go on. Said again whenever the reason is another one."""

    id: str
    held: StillHeld | None


class Show(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="show"):
    """The service's set changed, or it is asked again: send ``ledger.pending(service)``."""

    service: str


class Tell(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="tell"):
    """The service is told what became of an operation."""

    service: str
    operation: str
    what: Literal["begun", "ended", "withdrawn", "maintenance over", "lost", "up"]
    text: str = ""
    node: str = ""
    """The maintenance is over: of this node, which may be one of several."""


class Alert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="alert"):
    """A person is told, once, that something is stuck."""

    operation: str
    text: str
    service: str = ""


Effect: TypeAlias = (
    Reserve
    | HoldPlace
    | CallOffPlace
    | Launch
    | EndTask
    | Release
    | Cordon
    | ProveDeath
    | HoldDisruption
    | Show
    | Tell
    | News
    | Alert
)


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's error: what was wrong, where, and what would be right. Nothing was changed."""

    code: Literal["invalid", "not_found", "conflict", "stale", "forbidden"]
    message: str
    where: str = ""
    expected: str = ""


class Outcome(msgspec.Struct, kw_only=True):
    """What one input gave."""

    changes: list[RecordChange] = msgspec.field(default_factory=list)
    effects: list[Effect] = msgspec.field(default_factory=list)
    operation: str = ""
    """The operation that the input proposed or found."""
    refused: Refused | None = None

"""What moves a plan, and what follows: the inputs and the effects of :mod:`upcall.service.plans`.

All are frozen; a recorded list of inputs replays any course of a plan.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from upcall.protocol.service import Member

Verb = Literal["pause", "resume", "force", "restart"]

# -- inputs ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Observed:
    """The world as it stands, whole."""

    members: Mapping[str, Member]
    at_s: float
    unplaced: str = ""
    """Why the plan's members have no place yet."""
    settling: frozenset[str] = frozenset()
    """Members whose ``after_ready`` has not returned for their incarnation."""
    revision: int = 0
    """Of the service: a member that was not yet declared under it says nothing about it."""
    held: str = ""
    """Why no further step begins, for now."""
    asked: Mapping[str, str] = field(default_factory=dict)
    """Member -> how the operation of its step stands."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Member -> why the operation of its step was refused."""
    start: str = ""
    """Which start of the master this is: what it started anew then, nobody's failure did."""


@dataclass(frozen=True)
class StepEnded:
    """The coroutine of a step returned, or raised ``error``."""

    path: str
    attempt: int
    at_s: float
    error: str = ""
    later_s: float = 0.0
    """Above 0: nothing is wrong; again after so long."""
    gave_up: bool = False
    """Another attempt would fail as well."""


@dataclass(frozen=True)
class StepSaid:
    """The coroutine of a step says how far it is."""

    path: str
    attempt: int
    at_s: float
    text: str


@dataclass(frozen=True)
class Control:
    """A person controls the plan, a phase, or a step (``path`` is empty, ``phase`` or ``phase/step``)."""

    verb: Verb
    path: str
    at_s: float


Input = Observed | StepEnded | StepSaid | Control


# -- effects --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StartMember:
    """Declare the member as to be started. Repeating it is harmless."""

    member: str


@dataclass(frozen=True)
class RunStep:
    """Call the coroutine of this step, and report :class:`StepEnded`."""

    path: str
    attempt: int


@dataclass(frozen=True)
class ProposeRestart:
    """Propose to restart a started member. Said again until it happened; the same key is the same operation."""

    member: str
    key: str
    reason: str


@dataclass(frozen=True)
class ProposeLeave:
    """Propose that the member leaves for good, as :class:`ProposeRestart`."""

    member: str
    key: str
    reason: str


@dataclass(frozen=True)
class Retarget:
    """Tell the master that these members take the newest declaration over with their next start."""

    members: tuple[str, ...]


@dataclass(frozen=True)
class Keep:
    """Write the marks down."""

    marks: Mapping[str, str]
    paused: tuple[str, ...]


Proposal = ProposeRestart | ProposeLeave
Effect = StartMember | RunStep | Proposal | Retarget | Keep

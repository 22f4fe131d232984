"""What a service shows of itself: its plans, and what is wrong."""

from typing import Final, Literal

import msgspec


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
    since: float = 0.0
    """Since when the service's code cannot say what it wants; wall time. 0: it can."""
    revision: int = 0
    """Of a plan that brings one: which. The one before stays until the next has a plan, and says nothing of that."""
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
    passes_within_s: float = 0.0
    """Told only when it was seen for so long: what passes by itself sooner is nothing that anybody has to know."""


class Health(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that is wrong now; the worst first."""

    degraded: tuple[Degraded, ...] = ()
    unseen: str = ""
    """Why it cannot be seen: then what was wrong before stands."""


class Plans(msgspec.Struct, frozen=True, kw_only=True):
    plans: tuple[PlanView, ...]

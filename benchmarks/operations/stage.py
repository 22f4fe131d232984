"""What all systems have in common: rows, the cells made of them, and the stage on which a system plays them."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from benchmarks.cells import Figures
from benchmarks.driven import Driven

ROWS: Final = (
    "upgrade",
    "rollback",
    "finalize",
    "rolling_restart",
    "changed_option",
    "bad_option",
    "scale_out",
    "drain_zone",
    "scale_in_refused",
    "scale_in",
    "drain_node",
    "volume_lost",
    "node_lost",
    "backup_restore",
    "scale_itself",
)
"""In the order in which they are played."""

FIGURES: Final = ("duration_s", "failed", "lost", "twice")
STEADY_S: Final = 3.0
"""Load before and after."""
SILENCE_S: Final = 90
"""How long a lost node is waited for: the least that there is."""


@dataclass(frozen=True)
class State:
    """What a row finds, and leaves behind."""

    version: str
    members: int


@dataclass(frozen=True)
class Row:
    at: State
    leaves: State
    play: Callable[[Any], None]
    """With what drives the system: asks for it, and returns when it is over and everything is whole again."""


class Stage(ABC):
    """One system on one cluster."""

    system: ClassVar[str]
    old: ClassVar[str]
    new: ClassVar[str]
    """Its versions."""
    few: ClassVar[int] = 3
    """Members that it begins with."""
    rows: ClassVar[dict[str, Row]]
    none: ClassVar[Mapping[str, str]] = {}
    """Rows that it has no meaning for, and why."""
    sabotages: ClassVar[Mapping[str, str]]
    """What makes it red -> the code of the service that is installed then; empty: the system's own."""

    def __init__(self, driven: Driven, state: State, sabotage: str) -> None:
        self.driven = driven
        self.sabotage = sabotage
        self._state = state

    @classmethod
    @abstractmethod
    def opened(cls, first: State, sabotage: str) -> AbstractContextManager["Stage"]:
        """With a cluster in this state, or in one before it."""

    @abstractmethod
    def under_load(self, name: str) -> AbstractContextManager[Callable[[], Figures]]:
        """Requests are due until it ends; then their figures, but for how long the row took."""

    @classmethod
    def upgraded(cls) -> State:
        """Not final: it can go back."""
        return State(f"{cls.new} over {cls.old}", cls.few)

    @classmethod
    def begins_with(cls, first: State) -> str:
        """The version that is installed for it."""
        return cls.old if first.version in (cls.old, cls.upgraded().version) else cls.new

    def bring_to(self, state: State) -> None:
        """Unmeasured."""
        service, upgraded = self.driven.service, self.upgraded().version
        if (self._state.version, state.version) == (upgraded, self.old):
            self.driven.upcall("rollback", service)
        if self._state.version == self.old and state.version != self.old:
            self.driven.upcall("upgrade", service, "--to", self.new)
        if self._state.version in (self.old, upgraded) and state.version == self.new != self.old:
            self.driven.upcall("finalize", service)
        if self._state.members != state.members:
            self.driven.upcall("scale", service, str(state.members))
        self.driven.until_whole()
        self._state = state

    def measure(self, name: str) -> Figures:
        """One row, under load: :data:`FIGURES`, and what else is worth to be known."""
        row = self.rows[name]
        with self.under_load(name) as figures:
            time.sleep(STEADY_S)
            began = time.monotonic()
            row.play(self.driven)
            took_s = time.monotonic() - began
            time.sleep(STEADY_S)
        self._state = row.leaves
        return {"duration_s": round(took_s, 1), **figures()}

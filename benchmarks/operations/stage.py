"""What all systems have in common: rows, the cells made of them, and the stage on which a system plays them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from benchmarks.cells import Figures

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
    """With what drives the system: asks for it, and returns when it is over and everything is in sync again."""


class Stage(ABC):
    """One system on one cluster."""

    system: ClassVar[str]
    rows: ClassVar[dict[str, Row]]

    @classmethod
    @abstractmethod
    def opened(cls, first: State, sabotage: str) -> AbstractContextManager["Stage"]:
        """With a cluster in this state, or in one before it."""

    @abstractmethod
    def bring_to(self, state: State) -> None:
        """Unmeasured."""

    @abstractmethod
    def measure(self, name: str) -> Figures:
        """One row, under load: :data:`FIGURES`, and what else is worth to be known."""

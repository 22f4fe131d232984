"""The ledger: ``handle(input) -> record changes, effects, reply``.

Everything durable is rebuilt from records; ``start`` is the master's start number, from which epochs are made. The
driver commits :attr:`Outcome.changes` and only then performs :attr:`Outcome.effects`, in order; after a start its
first input is :class:`~upcall.operations.inputs.Started`.
"""

from collections.abc import Iterable

from upcall.operations.effects import Outcome
from upcall.operations.inputs import Input
from upcall.operations.records import Operation, Record, ServiceRecord
from upcall.operations.views import MemberView, PendingSet, WantedTask, Why


class Ledger:
    """A pure state machine: no I/O, no clock, no threads, no randomness."""

    def __init__(self, records: Iterable[Record], *, start: int) -> None:
        raise NotImplementedError

    def handle(self, given: Input, now_s: float, wall_s: float) -> Outcome:
        """Takes one input at a monotonic and a wall time. A refused input changes nothing."""
        raise NotImplementedError

    def deadline(self) -> float | None:
        """The monotonic time at which the ledger wants a ``Tick``."""
        raise NotImplementedError

    # -- snapshots --------------------------------------------------------------------------------------------------

    def pending(self, service: str) -> PendingSet:
        raise NotImplementedError

    def operations(self) -> list[Operation]:
        raise NotImplementedError

    def operation(self, operation: str) -> Operation | None:
        raise NotImplementedError

    def why(self, operation: str) -> Why | None:
        raise NotImplementedError

    def services(self) -> list[ServiceRecord]:
        raise NotImplementedError

    def members(self, service: str = "") -> list[MemberView]:
        raise NotImplementedError

    def wanted(self) -> list[WantedTask]:
        """The whole wanted set, for the substrate after a start."""
        raise NotImplementedError

    def records(self) -> list[Record]:
        raise NotImplementedError

    def dump(self) -> bytes:
        """Everything, memory too: :meth:`load` goes on identically."""
        raise NotImplementedError

    @classmethod
    def load(cls, data: bytes) -> "Ledger":
        raise NotImplementedError

"""What every driver of the cores does alike, whoever they are driven by.

There are two: the master itself (:mod:`~upcall.master.driver`: real time, a disk, machines) and the test kits' world
(:mod:`upcall.testing.driver`: virtual time, a store in memory, a simulated cluster). They differ in when a turn is made
durable and in what moves the clock; what a turn is, what it begins with, what follows from it and what a deadline
means stands here and in :mod:`~upcall.master.transaction`, once.

Doors and rules know no more of whoever drives them than this.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeAlias, TypeVar

from upcall.master.changes import Changed
from upcall.master.core import Core, Listener
from upcall.master.events import Journal
from upcall.master.transaction import Transaction
from upcall.operations import inputs as given
from upcall.store.interface import Store
from upcall.substrate import interface as sub

T = TypeVar("T")
Rule: TypeAlias = Callable[[Transaction, Changed], None]

ROUNDS_MAX: Final = 100_000
"""Times that rules may follow from rules in one turn: far above any real cascade, so a loop is found and not felt."""
LATE_S: Final = 5.0
"""A timer that fires this much late means that the judge slept."""


class Timed(Protocol):
    """Has something to do at a time."""

    def deadline(self) -> float | None:
        """When next; of the monotonic clock."""


class Clock(Timed, Protocol):
    """And does it when that has come."""

    def tick(self, tx: Transaction) -> None:
        """Some deadline has come, perhaps another one's."""


class Turning(Core, ABC):
    """The cores, and one turn after the other on them."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        make_substrate: Callable[[Core], sub.Substrate],
        listener: Listener,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(store, journal, make_substrate, listener, monotonic=monotonic, wall=wall)
        self.after_turn: list[Rule] = []
        """Called with what a turn changed, before its commit: what follows from that."""
        self.clocks: list[Clock] = []
        """Whoever else has something to do at a time, beside the cores."""

    # -- what doors use ---------------------------------------------------------------------------------------------

    @abstractmethod
    def turn(self, work: Callable[[Transaction], T]) -> "Awaitable[T]":
        """Runs ``work`` now; what it returned is given once all that it caused is durable. What it raises is raised
        at once, so ``work`` refuses before it changes anything."""

    @abstractmethod
    def post(self, work: Callable[[Transaction], object]) -> None:
        """As :meth:`turn`, for inputs whose answer nobody waits for. What is lost while the records are read anew is
        asked for again afterwards."""

    @abstractmethod
    async def durable(self) -> None:
        """Returns when everything that happened before is durable: what was read until now may be told."""

    # -- what turns are made of -------------------------------------------------------------------------------------

    def repeat_what_stands(self, tx: Transaction) -> None:
        """The first turn after a start: everything on record counts as changed, and is wanted again."""
        tx.changed.operations = {operation.id: None for operation in self.state.ledger.operations()}
        tx.changed.schedules = dict.fromkeys(self.state.services)
        can = self.substrate.capabilities
        tx.ledger(
            given.Started(
                firmness=dict(can.firmness),
                volumes_bound_to_node=can.volumes_bound_to_node,
                places=dict(self.substrate.places()),
            )
        )
        tx.substrate(self.substrate.wanted(self.wanted_tasks(), tx.now_s))

    def follow(self, tx: Transaction) -> None:
        """The rules, until nothing follows any more."""
        for _ in range(ROUNDS_MAX):
            if not tx.changed:
                return
            changed, tx.changed = tx.changed, Changed()
            for rule in self.after_turn:
                rule(tx, changed)
        raise AssertionError("one turn caused more changes than any real cascade: rules feed themselves")

    def deadline(self) -> float | None:
        """When the clock alone is a reason for a turn."""
        earliest = self.state.ledger.deadline()
        others: tuple[Timed, ...] = (self.substrate, *self.clocks)
        for whose in others:
            due = whose.deadline()
            if due is not None and (earliest is None or due < earliest):
                earliest = due
        return earliest

    def tick(self, tx: Transaction, late_s: float = 0.0) -> None:
        """The deadline has come, so much later than it should."""
        if late_s > LATE_S:
            tx.ledger(given.ClockJumped(slept_s=late_s))
        tx.substrate(self.substrate.tick(tx.now_s))
        tx.ledger(given.Tick())
        for clock in self.clocks:
            clock.tick(tx)

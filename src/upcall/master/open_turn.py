"""What one turn gathers while it runs.

An input goes into one of the two cores, and three things come out: changes of records, which are gathered to be made
durable together; effects and observations, which are queued because each is an input again; and news, for services and
for whoever reads the journal, which is told after the commit. Nothing here acts on any of them:
:mod:`~upcall.master.performing` and :mod:`~upcall.master.observing` say what each means,
:mod:`~upcall.master.transaction` goes on until nothing more follows.
"""

from collections import deque
from functools import partial
from typing import Any

from upcall.master import state as states
from upcall.master.changes import Changed
from upcall.master.commit import Turn
from upcall.master.core import Core
from upcall.operations import effects as fx
from upcall.operations import inputs as given
from upcall.operations.records import Operation, Put, encode, kind_of
from upcall.substrate import interface as sub


class OpenTurn:
    """The two cores' outputs, on their way to the commit."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.turn = Turn()
        self.now_s = core.monotonic()
        self.wall_s = core.wall()
        self.changed = Changed()
        self.queue: deque[fx.Effect | sub.Up] = deque()
        """What is to be performed or observed yet, in order."""
        self.dirty_members: set[str] = set()
        self.dirty_wanted: set[str] = set()
        self.shown: set[str] = set()
        """Services that are shown their pending operations."""
        self.told: list[fx.Tell] = []

    # -- records and events -----------------------------------------------------------------------------------------

    def put(self, kind: str, key: str, value: Any) -> None:
        self.turn.put(kind, key, value)

    def delete(self, kind: str, key: str) -> None:
        self.turn.delete(kind, key)

    def event(self, kind: str, subject: str, text: str, /, *, detail: bool = False, **data: Any) -> None:
        self.turn.events.append(self.core.journal.make(kind, subject, text, self.wall_s, data, detail=detail))

    # -- the two cores ----------------------------------------------------------------------------------------------

    def hand_to_ledger(self, item: given.Input) -> fx.Outcome:
        """One input to the ledger; its effects are queued. A refused one has changed nothing."""
        outcome = self.core.state.ledger.handle(item, self.now_s, self.wall_s)
        for change in outcome.changes:
            if isinstance(change, Put):
                self.turn.put(states.LEDGER_PREFIX + kind_of(change.record), change.record.key, encode(change.record))
                if isinstance(change.record, Operation):
                    self.changed.operations[change.record.id] = None
            else:
                self.turn.delete(states.LEDGER_PREFIX + change.kind, change.key)
        self.queue.extend(outcome.effects)
        return outcome

    def take_from_substrate(self, output: sub.Output) -> None:
        """What a call of the substrate gave; what it observed is queued."""
        for change in output.records:
            kind = states.SUBSTRATE_PREFIX + change.kind
            if change.value is None:
                self.turn.delete(kind, change.key)
            else:
                self.turn.put(kind, change.key, change.value)
        for send in output.send:
            self.turn.after.append(partial(self.core.listener.send, send))
        for node in output.prove:
            self.turn.after.append(partial(self.core.prove, node))
        self.queue.extend(output.up)

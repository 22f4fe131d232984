"""One turn while it runs: an input, and all that follows from it, until nothing more does.

The ledger's effects are performed on the substrate, what the substrate observes goes back into the ledger, and so on;
both are pure, so a turn ends in the same moment in which it began. Only then is it handed to the committer.
"""

from collections.abc import Callable
from typing import Final

from upcall.master.commit import Turn
from upcall.master.observing import observe
from upcall.master.open_turn import OpenTurn
from upcall.master.performing import perform
from upcall.operations import effects as fx
from upcall.operations import inputs as given
from upcall.protocol.errors import Conflict, Forbidden, Invalid, NotFound, Stale, UpcallError
from upcall.substrate import interface as sub

STEPS_MAX: Final = 100_000
"""Inputs that one turn may cause: far above any real cascade, so a loop is found and not felt."""

REFUSED: Final[dict[str, type[UpcallError]]] = {
    "invalid": Invalid,
    "not_found": NotFound,
    "conflict": Conflict,
    "stale": Stale,
    "forbidden": Forbidden,
}


class Transaction(OpenTurn):
    """What the doors and the rules work on."""

    _steps = 0

    def ledger(self, item: given.Input) -> fx.Outcome:
        """One input to the ledger and all that follows from it. A refused one raises and has changed nothing."""
        outcome = self.hand_to_ledger(item)
        self.refuse(outcome.refused)
        self.settle()
        return outcome

    @staticmethod
    def refuse(refused: fx.Refused | None) -> None:
        """The ledger's refusal as the error that a caller sees; nothing when there is none."""
        if refused:
            raise REFUSED[refused.code](refused.message, where=refused.where, expected=refused.expected)

    def substrate(self, output: sub.Output) -> None:
        """What a call of the substrate gave, and all that follows from it."""
        self.take_from_substrate(output)
        self.settle()

    def settle(self) -> None:
        while self.queue:
            self._steps += 1
            assert self._steps < STEPS_MAX, "one turn caused more inputs than any real cascade: effects feed themselves"
            item = self.queue.popleft()
            if isinstance(item, sub.Up):
                self.observe(item)
            else:
                self.perform(item)

    def observe(self, up: sub.Up) -> None:
        observe(self, up)

    def perform(self, effect: fx.Effect) -> None:
        perform(self, effect)

    def finish(self) -> Turn:
        """Notifications are made now, from this turn's state, and released after the commit."""
        core, listener = self.core, self.core.listener
        for names, heard in (
            (self.dirty_wanted, listener.wanted),
            (self.dirty_members, listener.members),
            (self.shown, listener.show),
        ):
            for name in sorted(names):
                self._afterwards(heard(core, name))
        for told in self.told:
            self._afterwards(listener.news(core, told))
        return self.turn

    def _afterwards(self, notice: Callable[[], None] | None) -> None:
        if notice is not None:
            self.turn.after.append(notice)

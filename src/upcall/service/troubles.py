"""Trouble: the expert's code raises where it is to say what it wants (``on_start``, ``pods``, ``task``, ``deploy``).

It is called again and again, and told at once. What may pass by itself (a system that is not there yet, a tool that
failed) is waited for; a mistake of the code is not, where somebody waits: after a while the change that brought it has
failed.
"""

from dataclasses import dataclass
from typing import Final

from upcall.service.faults import Fault, words
from upcall.service.service import Service

MAX_S: Final = 30.0
TIMES_MAX: Final = 5
"""So long and so often a mistake is met before it is taken to stay: a machine that is slow makes no mistakes."""


@dataclass(frozen=True)
class Trouble:
    """As it is now."""

    fault: Fault
    since_s: float
    times: int
    """In a row, of its kind."""
    news: bool
    """Other words than the time before."""

    def stays(self, now_s: float) -> bool:
        """It is a mistake that waiting does not mend."""
        return self.fault.mistake and self.times >= TIMES_MAX and now_s >= self.since_s + MAX_S


def met(error: Exception, code: type[Service], last: Trouble | None, now_s: float) -> Trouble:
    """After ``last``, if the time before ended so too."""
    fault = Fault("what it wants", words(error, code), error)
    if last is None or last.fault.mistake != fault.mistake:
        return Trouble(fault, now_s, 1, news=True)
    return Trouble(fault, last.since_s, last.times + 1, news=fault.words != last.fault.words)

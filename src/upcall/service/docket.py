"""The docket: which pending operations want an answer now. Pure.

One does when it was never answered in this epoch, when the master asks again, when its deferral is due for renewal,
when the world that the deferral spoke of has changed, or when the service says that it may say otherwise now. What the
expert does not answer stays silent, and is asked again later.

A deferral that is said again in the same words, long before it lapses, is not sent again: a set of fifty costs what
changed in it.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from upcall.protocol import service as wire
from upcall.service.consent import Verdict
from upcall.service.stranger import TOLD

RENEW_AT: Final = 0.8
"""Of a deferral's time: early enough that the renewal is there before it lapses."""

ROUND_PAUSE_S: Final = 0.5
"""Between two rounds about the same operation, however fast the world changes."""

SILENCE_PAUSE_S: Final = 5.0
"""After a question that was not answered."""

ANOTHER: Final = object()
"""A world that differs from every one that is."""

PUTS_OFF: Final = ("defer", "wait")


@dataclass(frozen=True)
class Answered:
    """What was last said about an operation, and in which world."""

    epoch: str
    version: int
    at_s: float
    again_at_s: float | None
    """When it is to be asked anew by itself; None: not unless the master asks."""
    world: Hashable
    verdict: Verdict | None


class Docket:
    """Which operations want an answer now."""

    def __init__(self) -> None:
        self._answered: dict[str, Answered] = {}

    @property
    def puts_off(self) -> bool:
        """Something is deferred, and may be answered otherwise when something changes."""
        return any(last.verdict is not None and last.verdict.word in PUTS_OFF for last in self._answered.values())

    def due(self, pending: wire.Operations, world: Hashable, now_s: float) -> tuple[wire.Operation, ...]:
        # What has begun or is over needs no further look.
        still = [op.id for op in pending.operations if op.state == "open" and op.id in self._answered]
        self._answered = {op: self._answered[op] for op in still}
        return tuple(op for op in pending.operations if self._is_due(op, pending, world, now_s))

    def _is_due(self, op: wire.Operation, pending: wire.Operations, world: Hashable, now_s: float) -> bool:
        if op.state != "open" or op.kind in TOLD:
            return False
        last = self._answered.get(op.id)
        if last is None or last.epoch != pending.epoch:
            # An acceptance that stands (given by a host before this one, or together with what began) is not asked
            # about again.
            return op.answer != "accept"
        if now_s < last.at_s + ROUND_PAUSE_S:
            return False
        if self._asked_anew(op, pending):
            return True
        return last.again_at_s is not None and (now_s >= last.again_at_s or world != last.world)

    def _asked_anew(self, op: wire.Operation, pending: wire.Operations) -> bool:
        return not op.answer and pending.version > self._answered[op.id].version

    def next_s(self, now_s: float) -> float | None:
        """When to look again although nothing was heard."""
        times = [max(a.again_at_s, a.at_s + ROUND_PAUSE_S) for a in self._answered.values() if a.again_at_s is not None]
        soon = [a.at_s + ROUND_PAUSE_S for a in self._answered.values() if a.at_s + ROUND_PAUSE_S > now_s]
        return min(times + soon, default=None)

    def stands(self, op: wire.Operation, verdict: Verdict, pending: wire.Operations, now_s: float) -> bool:
        """The master has this very answer, and needs no renewal of it yet."""
        last = self._answered.get(op.id)
        if last is None or last.again_at_s is None or last.verdict != verdict or verdict.word not in PUTS_OFF:
            return False
        return now_s < last.again_at_s and not self._asked_anew(op, pending)

    def kept(self, op: str, pending: wire.Operations, world: Hashable, now_s: float) -> None:
        """It was asked about, and the answer that stands is the answer still."""
        last = self._answered[op]
        self._answered[op] = replace(last, epoch=pending.epoch, version=pending.version, at_s=now_s, world=world)

    def note(self, op: str, verdict: Verdict | None, pending: wire.Operations, world: Hashable, now_s: float) -> None:
        if verdict is None:
            again_at_s: float | None = now_s + SILENCE_PAUSE_S
        elif verdict.word in PUTS_OFF:
            again_at_s = now_s + verdict.retry_after_s * RENEW_AT
        else:
            again_at_s = None
        self._answered[op] = Answered(pending.epoch, pending.version, now_s, again_at_s, world, verdict)

    def unheard(self, ops: Iterable[str]) -> None:
        """Nobody knows whether the master heard what was answered: ask and answer as if it had not been."""
        for op in ops:
            self._answered.pop(op, None)

    def recall(self, op: str) -> None:
        """Ask about it at the next round, and send what is answered, whatever it is."""
        last = self._answered.get(op)
        if last is not None:
            self._answered[op] = replace(last, again_at_s=last.at_s)

    def recall_all(self) -> None:
        """Ask at the next round about all that is put off."""
        for op, last in self._answered.items():
            if last.again_at_s is not None:
                self._answered[op] = replace(last, world=ANOTHER)

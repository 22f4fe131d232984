"""What becomes of a member with data that was lost: again, anew with empty volumes, or wait, and for what.

What differs between systems is what would be gone with the volumes (``missing``: a sentence, empty when the others have
all of it); the decision is the same. A process that ended is started again where it was. When that came to nothing,
what lies in its volumes may be why: it starts anew at its place, with empty ones, once nothing is missing without them.
Once: when it ends the same way with empty volumes, they were not it. One whose volume somebody emptied is not started
at all (its node sees to that), so there is nothing to try first. Whatever is said, what ended is tried again from
time to time: what ended it (a full disk) may have passed.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from upcall.service import Member, Operation, Service, Verdict, hopeless, renew, restart, wait
from upcall.service.context import Context

AWAY: Final = "a person says that what lies there is lost: `upcall task replace --force`"
TRY_AGAIN_S: Final = 300.0
"""After so long of waiting for a person, what ended is started once more where it is."""
AGAIN: Final = "put right what ends it: it is tried every 5 minutes, and at once by `upcall task restart --force`"
BACK: Final = "put back what was in its volume, or mount its disk: it is tried every 5 minutes"
SEVERAL: Final = 5
"""Ends in short succession without having been back, after which starting again has come to nothing."""
FROM_OUTSIDE: Final = (128 + 9, 128 + 15)
"""Codes of what others ended (a person, a limit of memory): the volumes have nothing to do with it."""


@dataclass(frozen=True)
class Loss:
    """A member that is gone, and what was tried."""

    member: str
    ended: bool = False
    """Its process, on a node that is well; else the node is silent or gone."""
    again: bool = False
    """It was started again where it was, and that came to nothing."""
    emptied: bool = False
    """It had empty volumes then, and has not been back since."""
    without: bool = False
    """What it had is not there any more, and so it was not started."""
    exit_code: int | None = None
    how: str = ""
    """It ended last."""


def after(loss: Loss, missing: str, others: Sequence[str]) -> Verdict:
    """``others``: what would help where something is missing (who has to come back)."""
    if loss.ended and not loss.without and (not loss.again or loss.exit_code in FROM_OUTSIDE):
        return restart(f"{loss.member} ended, its node did not")
    how = f" ({loss.how})" if loss.how else ""
    if loss.without and missing:
        return hopeless(f"{loss.member}: {loss.how}; others have not all of it: {missing}",
                        would_help=(BACK, *others, AWAY))  # fmt: skip
    if loss.without:
        return renew(f"{loss.member}: {loss.how}; the others have all of it")
    if loss.emptied and loss.ended:
        return hopeless(f"{loss.member} ends again and again, also with empty volumes{how}", would_help=AGAIN)
    if missing and loss.ended:
        what = f"{loss.member} ends again and again{how}, and is not started with empty volumes: {missing}"
        return hopeless(what, would_help=(*others, AGAIN, AWAY))
    if missing:
        return hopeless(missing, would_help=(*others, AWAY))
    if loss.ended:
        return renew(f"{loss.member} does not come back with its volumes{how}, and the others have all of it")
    return wait(f"{loss.member} may come back; the others have all of it")


class Losses:
    """Of a service's members since each was back last. A host that starts again has forgotten them: it starts what
    ended again once more."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        """Member -> operation of its first loss since then."""
        self._ended_times: dict[str, int] = {}
        """Member -> how often it had ended when it was back: only what came later counts."""
        self._emptied_at: dict[str, int] = {}
        self._waits_since_s: dict[str, float] = {}
        """Member -> since when nothing but a person helps."""

    def of(self, member: Member, why: Operation) -> Loss:
        first = self._first.setdefault(member.name, why.id)
        return Loss(
            member=member.name,
            ended=member.state == "ended",
            again=why.id != first or member.ended_times >= self._ended_times.get(member.name, 0) + SEVERAL,
            emptied=member.place > self._emptied_at.get(member.name, member.place),
            without=member.without_data,
            exit_code=member.seen.exit_code,
            how=member.seen.exit_reason,
        )

    def note(self, member: Member, said: Verdict) -> Verdict:
        """That it gets empty volumes is remembered; and how long a person was waited for."""
        if said.word == "renew":
            self._emptied_at.setdefault(member.name, member.place)
        if said.waiting_helps or member.state != "ended":
            return said
        now_s = asyncio.get_running_loop().time()
        if now_s - self._waits_since_s.setdefault(member.name, now_s) < TRY_AGAIN_S:
            return said
        del self._waits_since_s[member.name]
        return restart(f"tried again: {said.reason}")

    def back(self, member: Member) -> None:
        self._ended_times[member.name] = member.ended_times
        self._first.pop(member.name, None)
        self._waits_since_s.pop(member.name, None)
        self._emptied_at.pop(member.name, None)


class HoldsCopies(Service):
    """A service whose members have copies of what others have too."""

    noun: ClassVar[str] = "member"
    """What it calls one of them."""
    away: ClassVar[str] = "the others that are away, when they come back"
    """Who would help where something is missing."""

    def __init__(self, context: Context | None = None) -> None:
        super().__init__(context)
        self._losses = Losses()

    async def on_lost(self, member: Member, why: Operation) -> Verdict:
        """A process that died starts again where it was. Who does not come back starts anew, with an empty volume, only
        when nothing would be missing without what it had."""
        loss = self._losses.of(member, why)
        tried = after(loss, "", ())
        if tried.word == "restart":
            return tried
        return self._losses.note(member, after(loss, await self._missing_without(member), (self.away,)))

    async def _missing_without(self, member: Member) -> str:
        others = self.members.without(member)
        if not others:
            return f"{member.name} is the only {self.noun}: an empty one would have nothing to begin from"
        if not any(other.ready for other in others):
            return f"no {self.noun} is ready that could say what lies there alone"
        return await self.missing_without(member)

    async def missing_without(self, member: Member) -> str:
        """What would be gone with its volumes, as the others say, of whom some are ready; empty: nothing."""
        raise NotImplementedError

    async def after_ready(self, member: Member) -> None:
        self._losses.back(member)

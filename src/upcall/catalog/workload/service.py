"""A workload that somebody else owns, and whose members are taken away with care: nobody installs it by hand.

Its owner has asked for that by an annotation. Nothing of it is made, configured or brought back here. What is decided
is whether one of its members may be taken away now: by the careful stranger's rule (one at a time, and only while all
others are ready), or by a responder of its owner's, in whatever language that is (:mod:`responder`). Below both lies
the minimum.
"""

from typing import ClassVar, Final, Literal

import upcall.service as up
from upcall.catalog.workload import responder

START_S: Final = 30 * 86_400.0
"""When it is ready is its owner's business: a start that is late is nothing that we would end."""


class Workload(up.Service):
    """A workload of somebody else's, whose members are taken away with care. It comes by an annotation."""

    package: ClassVar[str] = "workload"
    version: ClassVar[str] = "1"
    answer_timeout_s: ClassVar[float] = 15.0

    class Options(up.ServiceOptions):
        workload: str = up.Field("", max_length=300, description="what it is called there: `statefulset/web`")
        members: up.Annotated[int, up.size("member")] = up.Field(0, ge=0, le=1000, description="as many as it has")
        minimum: int | None = up.Field(None, ge=0, le=1000, description="so many stay ready; none: all but one")
        responder: str = up.Field("", max_length=500, description="who is asked; none: the careful rule holds")
        away: Literal["hold", "careful"] = up.Field(
            "hold", description="what holds while the responder does not answer"
        )

    options: Options

    def pods(self) -> list[up.Pod]:
        count = self.options.members if self.options.workload else 0  # without one there is nothing to follow
        return [up.Pod("member", count=count, apart=False)]

    def task(self, member: up.Member) -> up.Declaration:
        return up.Declaration(
            command=("somebody-elses",), guest=self.options.workload, start_timeout_s=START_S, portable=True
        )

    def policy(self) -> up.Policy:
        least = self.options.minimum
        if least is None:
            least = max(self.options.members - 1, 0)
        return up.Policy(minimum=least, at_most=1, silence="hold", holds_data=True)

    async def may_stop(self, member: up.Member, why: up.Operation) -> up.Verdict:
        careful = await super().may_stop(member, why)
        if not self.options.responder:
            return careful
        try:
            return await responder.ask(self.options.responder, responder.upcall(self, member, why))
        except responder.NoAnswer as error:
            if self.options.away == "careful":
                return responder.with_reason(careful, f"{error}, so the careful rule holds")
            return up.defer(f"{error}, so it is held", retry_after=responder.AGAIN_S)

    async def may_scale_in(self, member: up.Member, why: up.Operation) -> up.Verdict:
        """Its owner has decided it, and it is over."""
        return up.accept(f"{self.options.workload} has fewer replicas now")

    async def on_lost(self, member: up.Member, why: up.Operation) -> up.Verdict:
        return up.restart(f"{self.options.workload} brings another")

"""A service of a few lines that agrees to no change and no end while a file is there."""

from pathlib import Path

import upcall.service as up


class Kept(up.Service):
    """Parts that must not change while they are busy."""

    class Options(up.ServiceOptions):
        count: up.Annotated[int, up.size("part")] = up.Field(2, ge=1, le=3, description="how many parts")
        label: str = up.Field("", description="what they are started with")
        busy: str = up.Field("", description="a file: while it is there, nothing may change")

    options: Options

    def pods(self) -> list[up.Pod]:
        return [up.Pod("part", count=self.options.count)]

    def task(self, member: up.Member) -> up.Declaration:
        return up.Declaration(command=("serve", self.options.label))

    async def may_update(self, update: up.Update, why: up.Operation) -> up.Verdict:
        return self._unless_busy()

    async def may_uninstall(self, why: up.Operation) -> up.Verdict:
        return self._unless_busy()

    def _unless_busy(self) -> up.Verdict:
        if self.options.busy and Path(self.options.busy).exists():
            return up.defer("6 parts would have a single copy", progress=0.25, retry_after=2)
        return up.accept()

"""A service of a few lines that is busy while a file is there."""

from pathlib import Path

import upcall.service as up


class Careful(up.Service):
    """Parts that must not go while they are busy."""

    class Options(up.ServiceOptions):
        count: up.Annotated[int, up.size("part")] = up.Field(3, ge=1, le=9, description="how many parts")
        busy: str = up.Field("", description="a file: while it is there, nothing may go")

    options: Options

    def pods(self) -> list[up.Pod]:
        return [up.Pod("part", count=self.options.count)]

    def task(self, member: up.Member) -> up.Declaration:
        return up.Declaration(command=("serve",))

    async def may_stop(self, member: up.Member, why: up.Operation) -> up.Verdict:
        if Path(self.options.busy).exists():
            return up.defer("6 parts would have a single copy", progress=0.25)
        return up.accept()

"""A service of many members, which are nothing but there."""

import upcall.service as up


class Many(up.Service):
    """As many parts as are asked for."""

    class Options(up.ServiceOptions):
        count: up.Annotated[int, up.size("part")] = up.Field(200, ge=1, le=1000, description="how many parts")

    options: Options

    def pods(self) -> list[up.Pod]:
        return [up.Pod("part", count=self.options.count, apart=False)]

    def task(self, member: up.Member) -> up.Declaration:
        return up.Declaration(command=("serve",), resources=up.Resources(cpus=0.01, memory_mib=16))

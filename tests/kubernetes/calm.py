"""A service of which nothing is ever to be said: its parts are there, and are asked nothing."""

import upcall.service as up


class Calm(up.Service):
    """Parts that wait for their end."""

    class Options(up.ServiceOptions):
        count: up.Annotated[int, up.size("part")] = up.Field(2, ge=1, le=9, description="how many parts")

    options: Options

    def pods(self) -> list[up.Pod]:
        return [up.Pod("part", count=self.options.count)]

    def task(self, member: up.Member) -> up.Declaration:
        return up.Declaration(command=("{{python}}", "-c", "import signal; signal.pause()"))

"""A service of one's own: ``upcall install examples/hello.py --set count=3``."""

import upcall.service as up


class Hello(up.Service):
    """Web servers that say hello."""

    class Options(up.ServiceOptions):
        count: up.Annotated[int, up.size("web")] = up.Field(2, ge=1, le=9, description="how many web servers")
        greeting: str = up.Field("hello, world", max_length=200, description="what they say")

    options: Options

    def pods(self) -> list[up.Pod]:
        return [up.Pod("web", count=self.options.count, endpoints=["http"])]

    def task(self, member: up.Member) -> up.Declaration:
        page = up.File(path="www/index.html", text=f"{self.options.greeting} from {member.name}\n", verbatim=True)
        return up.Declaration(
            command=("{{python}}", "-m", "http.server", "{{port.http}}", "--bind", "{{address}}", "-d", "www"),
            files=(page,),
            ports=(up.Port(name="http", number=8080),),
            ready=up.Check(http="http/"),
            two_at_once=True,  # a drain brings one up elsewhere before it ends this one
        )

    async def may_stop(self, member: up.Member, why: up.Operation) -> up.Verdict:
        return up.accept() if any(m.ready for m in self.members.without(member)) else up.defer("nobody else answers")

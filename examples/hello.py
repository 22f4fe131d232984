"""A service of one's own: ``upcall install examples/hello.py --set count=3``."""

from upcall.service import (
    Check,
    Declaration,
    Field,
    File,
    Member,
    Operation,
    Pod,
    Port,
    Service,
    ServiceOptions,
    Verdict,
    accept,
    defer,
)


class Hello(Service):
    """Web servers that say hello."""

    class Options(ServiceOptions):
        count: int = Field(2, ge=1, le=9, description="how many web servers")
        greeting: str = Field("hello, world", max_length=200, description="what they say")

    options: Options

    def pods(self) -> list[Pod]:
        return [Pod("web", count=self.options.count, endpoints=["http"])]

    def task(self, member: Member) -> Declaration:
        return Declaration(
            command=("{{python}}", "-m", "http.server", "{{port.http}}", "--bind", "{{address}}", "-d", "site"),
            files=(File(path="site/index.html", text=f"{self.options.greeting} from {member.name}\n"),),
            ports=(Port(name="http", number=8080),),
            ready=Check(http="http/"),
        )

    async def may_stop(self, member: Member, why: Operation) -> Verdict:
        others = [other for other in self.members.without(member) if other.ready]
        return accept() if others else defer("nobody else answers")

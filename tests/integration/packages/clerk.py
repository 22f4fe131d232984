"""Writes down what it is told, when everybody is there."""

from upcall.protocol.declaration import Check, Declaration, Port
from upcall.protocol.errors import NotNow
from upcall.service import Contents, Field, Member, Pod, Service, ServiceOptions, action


class Clerk(Service):
    """Servers that take a moment to come, and an action that needs all of them."""

    class Options(ServiceOptions):
        count: int = Field(2, ge=1, le=3)

    options: Options
    contents = (Contents("letters", show="letters", make="post-letter", change="correct-letter", drop="burn-letter"),)

    def pods(self) -> list[Pod]:
        return [Pod("desk", count=self.options.count)]

    def task(self, member: Member) -> Declaration:
        serve = "sleep 1; exec {{python}} -m http.server {{port.http}} --bind {{address}}"
        return Declaration(
            command=("sh", "-c", serve), ports=(Port(name="http", number=8080),), ready=Check(tcp="http")
        )

    @action
    async def write(self, text: str) -> int:
        """Write a word down; says how many were there to see it."""
        there = sum(member.ready for member in self.members.values())
        if there < self.options.count:
            raise NotNow(f"{there} of {self.options.count} are there")
        if text == "nonsense":
            raise ValueError("this cannot be written down")
        return there

    @action
    async def letters(self) -> list[dict[str, str]]:
        """All that lie here; only while somebody is there to look."""
        if not any(member.ready for member in self.members.values()):
            raise NotNow("nobody is there")
        return [{"name": name, "text": text} for name, text in (await self.state.get("letters", {})).items()]

    @action
    async def post_letter(self, name: str, text: str) -> None:
        """Keep one."""
        await self.state.update("letters", lambda known: {**known, name: text}, {})

    @action
    async def correct_letter(self, name: str, text: str) -> None:
        """Another text."""
        await self.post_letter(name, text)

    @action
    async def burn_letter(self, name: str) -> None:
        """It is gone."""
        await self.state.update("letters", lambda known: {key: text for key, text in known.items() if key != name}, {})

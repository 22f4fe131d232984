"""Servers that are asked for by goals, and sweep up behind themselves."""

from collections.abc import Mapping
from typing import Any, Literal

from upcall.service import (
    Check,
    Declaration,
    Derived,
    Field,
    Machine,
    Member,
    Pod,
    Port,
    Resources,
    Service,
    ServiceGoals,
    ServiceOptions,
    action,
    every,
)


class TendedGoals(ServiceGoals):
    survive: Literal["1-node"] | None = Field(None, description="what may be gone")
    greeting: str | None = Field(None, description="what they are to say")


class Tended(Service):
    """Tended servers."""

    class Options(ServiceOptions):
        count: int = Field(1, ge=1, le=5, description="how many")
        words: str = Field("hello", description="what they say")

    Goals = TendedGoals
    options: Options

    def from_goals(self, goals: TendedGoals, machine: Machine) -> Mapping[str, Derived]:
        found = {}
        if goals.survive:
            machine.must_survive(goals.survive)
            found["count"] = Derived(2, f"one of two is left, on {len(machine.nodes)} nodes", "survive", at_least=True)
        if goals.greeting:
            found["words"] = Derived(goals.greeting.upper(), "said aloud", "greeting")
        return found

    def pods(self) -> list[Pod]:
        return [Pod("web", count=self.options.count, endpoints=["http"])]

    def task(self, member: Member) -> Declaration:
        return Declaration(
            command=("{{python}}", "-m", "http.server", "{{port.http}}", "--bind", "{{address}}"),
            env={"WORDS": self.options.words},
            ports=(Port(name="http", number=8080),),
            resources=Resources(memory_mib=64),
            ready=Check(http="http/"),
        )

    @every("1 day")
    @action
    async def sweep(self) -> dict[str, Any]:
        """Sweeps."""
        return {"swept": [member.name for member in self.members.ready]}

"""Services to test the SDK with."""

from pathlib import Path
from typing import Any

from upcall.service import (
    Check,
    Declaration,
    Do,
    Field,
    Member,
    Operation,
    Phase,
    Pod,
    Port,
    Resources,
    Service,
    ServiceOptions,
    Told,
    Verdict,
    Volume,
    accept,
    action,
    defer,
)

EXAMPLES = Path(__file__).parents[2] / "examples"


class Plain(Service):
    """Nothing but pods: everything else is the careful stranger's."""

    class Options(ServiceOptions):
        count: int = Field(3, ge=1, le=9)
        data: bool = False

    options: Options

    def pods(self) -> list[Pod]:
        return [Pod("web", count=self.options.count, endpoints=["http"])]

    def task(self, member: Member) -> Declaration:
        return Declaration(
            command=("serve", member.name),
            ports=(Port(name="http", number=8080),),
            volumes=(Volume(name="data", size_mib=10),) if self.options.data else (),
            resources=Resources(memory_mib=64),
            ready=Check(tcp="http"),
        )


class Store(Service):
    """A service with everything an expert may write."""

    class Options(ServiceOptions):
        nodes: int = Field(3, ge=1, le=9)
        serial: bool = True

    options: Options
    retry_after = 5.0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.heard: list[str] = []
        self.at_risk: set[str] = set()
        self.schema_fails = 0
        self.loss: Verdict | None = None
        self.jobs: list[str] = []

    async def on_start(self) -> None:
        self.jobs = await self.state.get("jobs", [])
        self.heard.append("start")

    def pods(self) -> list[Pod]:
        node = Pod("node", count=self.options.nodes, strategy="serial" if self.options.serial else "parallel")
        return [node, Pod("job", names=tuple(self.jobs), task=self.job, apart=False, counts=False)]

    def task(self, member: Member) -> Declaration:
        first_boot = ("--replaces", "{{replaced.address}}") if member.replacing else ()
        return Declaration(command=("store", member.name, *first_boot), volumes=(Volume(name="data", size_mib=10),))

    def job(self, member: Member) -> Declaration:
        return Declaration(command=("job", member.name), restart="never")

    def deploy(self) -> list[Phase]:
        return [Phase.start(self.pod("node")), Phase("schema", Do("create keyspace", self.create_keyspace))]

    async def create_keyspace(self) -> None:
        if self.schema_fails:
            self.schema_fails -= 1
            raise RuntimeError("no quorum yet")
        self.heard.append("schema")

    async def may_stop(self, member: Member, why: Operation) -> Verdict:
        self.heard.append(f"may_stop {member}")
        if self.at_risk - {member.name}:
            return defer(f"{len(self.at_risk)} ranges have no quorum without it", retry_after=self.retry_after)
        return accept()

    async def on_lost(self, member: Member, why: Operation) -> Verdict:
        return self.loss or await super().on_lost(member, why)

    async def before_replace(self, member: Member) -> None:
        self.heard.append(f"before_replace {member} at {member.address}")

    async def after_ready(self, member: Member) -> None:
        self.heard.append(f"after_ready {member.task}")

    async def on_told(self, told: Told) -> None:
        self.heard.append(f"told {told.what} {told.operation.kind}")

    @action
    async def submit(self, name: str, retries: int = 3) -> dict[str, Any]:
        """Runs a job."""
        self.jobs = await self.state.update("jobs", lambda jobs: [*jobs, name], [])
        return {"job": name, "retries": retries}

"""A scenario: a service as a pure function. State in, what the service says out; no machine, no time, no network.

    outcome = Scenario(Hello, {"count": 2}, operations=[operation("stop", "web-0")]).run()
    assert outcome.answer.verdict == "accept"

The service runs in its own runner, unchanged, against a master in memory that shows this one state and plays nothing
on. What the service kept in its memory comes out too, so a second scenario can go on from there.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from upcall.protocol import service as wire
from upcall.protocol.declaration import Declaration
from upcall.service.context import Context
from upcall.service.faults import Fault
from upcall.service.runner import Runner
from upcall.service.service import Service
from upcall.testing import virtual
from upcall.testing.fixed import FixedMaster, Tool, ok

RUN_S: Final = 0.4
"""Virtual seconds a scenario lasts: everything that follows at once has followed, nothing is asked a second time."""


def operation(kind: str, member: str = "", **fields: Any) -> wire.Operation:
    """An open operation, with what a test does not care about filled in."""
    given: dict[str, Any] = {
        "id": f"{kind}-{member}" if member else kind,
        "klass": "windowed" if kind == "stop" else "voluntary",
        "state": "open",
        "reason": "a test wants it",
        "asked_by": "a person",
        "comes_back": kind not in ("uninstall", "scale_in"),
    }
    return wire.Operation(kind=kind, member=member, **{**given, **fields})


@dataclass(frozen=True)
class Outcome:
    """What the service said."""

    declared: wire.Declare | None
    started: list[str]
    """Members that are to run."""
    endpoints: tuple[wire.Endpoint, ...]
    plans: Mapping[str, wire.PlanView]
    health: wire.Health | None
    """What it says is wrong with it; None: nothing was looked at (within :data:`RUN_S` a deployed service is)."""
    answers: Mapping[str, wire.Answer]
    proposals: tuple[wire.Propose, ...]
    tools: tuple[wire.RunTool, ...]
    memory: Mapping[str, Any]

    @property
    def answer(self) -> wire.Answer:
        """The only answer."""
        assert len(self.answers) == 1, f"{len(self.answers)} answers: {list(self.answers)}"
        return next(iter(self.answers.values()))

    def task(self, member: str) -> Declaration:
        return self._members[member].declaration

    def step(self, path: str, plan: str = "deploy") -> wire.StepView:
        """``phase/step`` of a plan."""
        phase_name, _, step_name = path.partition("/")
        for phase in self.plans[plan].phases:
            for step in phase.steps:
                if (phase.name, step.name) == (phase_name, step_name):
                    return step
        raise KeyError(path)

    @property
    def _members(self) -> Mapping[str, wire.MemberWanted]:
        assert self.declared is not None, "nothing was declared"
        return self.declared.members


@dataclass(frozen=True)
class Scenario:
    """State in. Members that are not mentioned are ready; ``fresh=True``: nothing was ever started."""

    service: type[Service]
    options: Mapping[str, Any] = field(default_factory=dict)
    members: Mapping[str, str | wire.Member] = field(default_factory=dict)
    operations: Sequence[wire.Operation] = ()
    memory: Mapping[str, Any] = field(default_factory=dict)
    bindings: Mapping[str, str] = field(default_factory=dict)
    nodes: int = 3
    fresh: bool = False
    tool: Tool = ok
    desired: str = "running"
    left_behind: tuple[str, ...] = ()
    """Members of a life before whose volumes are kept."""
    lost_behind: tuple[str, ...] = ()
    """Members of the same life whose volumes are gone."""

    def run(self, *, for_s: float = RUN_S) -> Outcome:
        """What the service says to it. A mistake in its code that it raises fails the test; :meth:`broken` gives it."""
        outcome, faults = virtual.run(self._run(for_s))
        assert not faults, "the service's code raised: " + "; ".join(dict.fromkeys(map(str, faults)))
        return outcome

    def broken(self, *, for_s: float = RUN_S) -> tuple[Outcome, list[Fault]]:
        """As :meth:`run`, for a test of code that raises: what it said all the same, and its mistakes."""
        return virtual.run(self._run(for_s))

    async def _run(self, for_s: float) -> tuple[Outcome, list[Fault]]:
        master = FixedMaster(
            service=self.service.package,
            options=self.options,
            bindings=self.bindings,
            nodes=self.nodes,
            tool=self.tool,
            members={} if self.fresh else self._members(),
            operations={op.id: op for op in self.operations},
            memory={key: (value, 1) for key, value in self.memory.items()},
            desired=self.desired,
            left_behind=self.left_behind,
            lost_behind=self.lost_behind,
        )
        faults: list[Fault] = []
        runner = Runner(self.service, self.service.package, master, wall=asyncio.get_running_loop().time)
        runner.context.fault = lambda fault: faults.append(fault) if fault.mistake else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                await runner.run()
        await runner.close()
        outcome = Outcome(
            declared=master.declared,
            started=list(master.starts),
            endpoints=master.endpoints,
            plans=master.plans,
            health=master.health,
            answers={answer.operation: answer for answer in master.answers},
            proposals=tuple(master.proposals),
            tools=tuple(master.tools),
            memory={key: value for key, (value, _version) in master.memory.items()},
        )
        return outcome, faults

    def _members(self) -> dict[str, wire.Member]:
        service = self.service(Context(name=self.service.package, options=self.options, bindings=self.bindings))
        names = [*(name for pod in service.pods() for name in pod.member_names)]
        given = {**dict.fromkeys(names, "ready"), **self.members}
        return {name: _member(name, index, state) for index, (name, state) in enumerate(given.items())}


def _member(name: str, index: int, state: str | wire.Member) -> wire.Member:
    if isinstance(state, wire.Member):
        return state
    started = state != "wanted"
    return wire.Member(
        name=name,
        state=state,
        incarnation=int(started),
        starts=int(started),
        declared_generation=1,
        node=f"node-{index + 1}",
        zone=f"zone-{index + 1}",
        address=f"127.1.1.{index + 1}" if started else "",
    )

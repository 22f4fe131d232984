"""One service from its first host to the end of a test."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from upcall.service import Service
from upcall.service.attempts import persistently
from upcall.service.link import Fenced, MasterAway
from upcall.service.runner import Runner
from upcall.service.testing import run
from upcall.substrate.simulated import SimulatedKind, Timing
from upcall.testing.master import SimulatedMaster

KINDS: Final[tuple[SimulatedKind, ...]] = ("kernel", "delegated")
"""We place; somebody else does."""

SCRIPT_MAX_S: Final = 7200.0
"""Virtual; a script that takes longer waits for what will never be."""

Script = Callable[["Life"], Awaitable[None]]


class Life:
    """A running service: its master, and its code in one host after another."""

    def __init__(self, service: type[Service], master: SimulatedMaster) -> None:
        self.service, self.master = service, master
        self.runner: Runner
        self._task: asyncio.Task[None] | None = None

    def start_host(self) -> None:
        """A host starts, with nothing in its memory."""
        loop = asyncio.get_running_loop()
        self.runner = Runner(self.service, self.master.service, self.master, wall=loop.time)
        self._task = loop.create_task(
            persistently("test", self.runner.run, on=(MasterAway, Fenced), log=self.runner.context.log)
        )

    async def kill_host(self) -> None:
        assert self._task is not None, "no host was started"
        self._task.cancel()
        await asyncio.wait([self._task])
        await self.runner.close()
        if not self._task.cancelled():
            self._task.result()

    @property
    def code(self) -> Any:
        """The service's own object in the host."""
        return self.runner.service

    async def until_deployed(self) -> None:
        await self.master.until(lambda: self.plan_state("deploy") == "done")

    def plan_state(self, name: str) -> str:
        return self.master.plans[name].state if name in self.master.plans else ""

    def steps(self, plan: str = "deploy") -> dict[str, tuple[str, str]]:
        """``phase/step`` -> its state and reason."""
        return {
            f"{phase.name}/{step.name}": (step.state, step.reason)
            for phase in self.master.plans[plan].phases
            for step in phase.steps
        }


def live(
    service: type[Service],
    script: Script,
    *,
    kind: SimulatedKind,
    master: SimulatedMaster | None = None,
    options: Mapping[str, Any] | None = None,
    nodes: int = 3,
    prove_s: float | None = None,
    loss: float = 0.0,
    repeat: float = 0.0,
    seed: int = 0,
) -> None:
    """Runs ``script`` with the service on a cluster of this kind, in virtual time. ``prove_s``: a silent node's tasks
    are proven dead so much later (never, by default).

    Two incarnations of a member on the same volumes at the same time fail the test, whatever it looks at.
    """

    async def main() -> None:
        played = master or SimulatedMaster(
            service.package,
            kind,
            options=options,
            nodes=nodes,
            timing=Timing(prove_s=prove_s),
            loss=loss,
            repeat=repeat,
            seed=seed,
        )
        life = Life(service, played)
        world = asyncio.create_task(played.live())
        life.start_host()
        course = asyncio.ensure_future(script(life))
        try:
            done, _ = await asyncio.wait([course, world], timeout=SCRIPT_MAX_S, return_when=asyncio.FIRST_COMPLETED)
            assert done, f"the script did not end within {SCRIPT_MAX_S:g} virtual seconds"
            for each in done:
                each.result()
        finally:
            course.cancel()
            world.cancel()
            await asyncio.wait([course, world])
            await life.kill_host()
        assert not played.cluster.violations, "; ".join(played.cluster.violations)

    run(main())

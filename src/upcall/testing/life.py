"""One service from its first host to the end of a test."""

import asyncio
import linecache
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from upcall.protocol import service as wire
from upcall.protocol.errors import NotNow
from upcall.service import Service
from upcall.service.actions import actions_of
from upcall.service.again import schedules_of
from upcall.service.attempts import persistently
from upcall.service.faults import Fault
from upcall.service.link import Fenced, MasterAway
from upcall.service.runner import Runner
from upcall.testing.fixed import Tool, ok
from upcall.testing.master import SimulatedMaster
from upcall.testing.simulated import SimulatedKind, Timing
from upcall.testing.virtual import run

KINDS: Final[tuple[SimulatedKind, ...]] = ("kernel", "delegated", "kubernetes")
"""We place; somebody else does; Kubernetes does."""

KILLED_AGAIN_S: Final = 0.01

SCRIPT_MAX_S: Final = 86_400.0
"""Virtual; a script that takes longer waits for what will never be."""

Script = Callable[["Life"], Awaitable[None]]


class Life:
    """A running service: its master, and its code in one host after another."""

    def __init__(self, service: type[Service], master: SimulatedMaster) -> None:
        self.service, self.master = service, master
        master.world.after.append(self._turned)
        self.runner: Runner
        self.faults: list[Fault] = []
        """Mistakes in the service's code that it raised; a life with one fails, unless the script takes them out."""
        self.inline = False
        """Its blocking calls take no thread, and no time: what they wait for is not passed over in virtual time."""
        self.edits: Mapping[str, type[Service]] = {}
        """Version -> what the service's own files are then."""
        self._version = ""
        """Of the package, whose code runs; empty: it has one alone."""
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def start_host(self) -> None:
        """A host starts, with nothing in its memory."""
        loop = asyncio.get_running_loop()
        has_several = len(self.service.versions()) > 1 or self.edits
        self._version = self.master.known.record.version if has_several else ""
        code, version = self._code_of(self._version), self._version
        self.runner = Runner(code, self.master.service, self.master, version=version, wall=loop.time, load=self._load)
        self.runner.context.fault = self._raised
        self.runner.context.inline = self.inline
        self._task = loop.create_task(
            persistently("test", self.runner.run, on=(MasterAway, Fenced, NotNow), log=self.runner.context.log)
        )

    def _code_of(self, version: str) -> type[Service]:
        return self.edits.get(version) or (self.service.at(version) if version else self.service)

    async def _load(self, revision: wire.Revision) -> type[Service] | None:
        return self._code_of(revision.version) if self.edits else None

    def _turned(self) -> None:
        asyncio.get_running_loop().call_soon(self._follow)

    def _follow(self) -> None:
        """As a host does: where another version is to run, its code is exchanged."""
        if self._version and self._task is not None and self.master.known.record.version != self._version:
            self.kill_host()
            self.start_host()

    def kill_host(self) -> "asyncio.Task[None]":
        """SIGKILL of the host: nothing of its code goes on. Awaited, it returns when all of it is gone."""
        assert self._task is not None, "no host was started"
        self._task.cancel()
        self.runner.end()
        ending = asyncio.create_task(self._ended(self._task, self.runner))
        self._ending.add(ending)
        return ending

    @staticmethod
    async def _ended(task: "asyncio.Task[None]", runner: Runner) -> None:
        while not (await asyncio.wait([task], timeout=KILLED_AGAIN_S))[0]:
            task.cancel()  # Where its stream ended in the same moment, the first time was taken for that.
        await runner.close()
        if not task.cancelled():
            task.result()

    async def over(self, *, raises: bool = False) -> None:
        """The end of the test: the host is killed, and what any host of it left is raised."""
        self.kill_host()
        await asyncio.gather(*self._ending)
        mistakes = list(dict.fromkeys(str(fault) for fault in self.faults))
        assert raises or not mistakes, "the service's code raised: " + "; ".join(mistakes)

    def _raised(self, fault: Fault) -> None:
        if fault.mistake:
            self.faults.append(fault)

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
    version: str = "",
    edits: Mapping[str, type[Service]] = {},
    nodes: int = 3,
    prove_s: float | None = None,
    loss: float = 0.0,
    repeat: float = 0.0,
    seed: int = 0,
    tool: Tool = ok,
    raises: bool = False,
    inline: bool = False,
) -> None:
    """Runs ``script`` with the service on a cluster of this kind, in virtual time. ``prove_s``: a silent node's tasks
    are proven dead so much later (never, by default). ``tool`` plays what :meth:`upcall.service.Member.run` runs.
    ``inline``: what is blocking (``self.blocking``) is called at once, in no thread, and takes no time.
    ``version``: of the package, that is installed (default: the newest); all that it has can be upgraded to.
    ``edits``: what its files are after they were edited, by the version of that build (``0.1.0+edited``), which can be
    upgraded to as well.

    Two incarnations of a member on the same volumes at the same time fail the test, whatever it looks at; and so does
    what the service's own code raises, unless the test is about that (``raises``; ``life.faults`` has it).
    """

    async def main() -> None:
        played = master or SimulatedMaster(
            service.package,
            kind,
            options=options,
            schema=service.Options.model_json_schema(),
            nodes=nodes,
            timing=Timing(prove_s=prove_s),
            loss=loss,
            repeat=repeat,
            seed=seed,
            tool=tool,
            packages=[*_packages(service, version), *(_package(one, edited) for one, edited in edits.items())],
            actions=[each.spec for each in actions_of(service).values()],
            code=service,
        )
        life = Life(service, played)
        life.inline, life.edits = inline, edits
        world = asyncio.create_task(played.live())
        life.start_host()
        course = asyncio.ensure_future(script(life))
        try:
            done, _ = await asyncio.wait([course, world], timeout=SCRIPT_MAX_S, return_when=asyncio.FIRST_COMPLETED)
            assert done, _waits(course, life)
            for each in done:
                each.result()
        finally:
            course.cancel()
            world.cancel()
            await asyncio.wait([course, world])
            await life.over(raises=raises)
        assert not played.cluster.violations, "; ".join(played.cluster.violations)

    run(main())


def _packages(service: type[Service], version: str) -> list[wire.Package]:
    """All versions, the installed one first."""
    known = service.versions()
    first = version or known[-1]
    return [_package(one, service.at(one)) for one in sorted(known, key=lambda one: one != first)]


def _package(version: str, code: type[Service]) -> wire.Package:
    return wire.Package(
        name=code.package,
        version=version,
        options_schema=code.Options.model_json_schema(),
        actions=tuple(each.spec for each in actions_of(code).values()),
        schedules=schedules_of(code),
        finalizes=code.finalize is not Service.finalize,
    )


def _waits(course: "asyncio.Future[None]", life: Life) -> str:
    """Where the script is that does not end, and what it could be waiting for."""
    where = ""
    found: Any = course.get_coro() if isinstance(course, asyncio.Task) else None
    file = getattr(getattr(found, "cr_code", None), "co_filename", "")
    while found is not None and getattr(found, "cr_frame", None) is not None:
        if found.cr_code.co_filename == file:
            line = found.cr_frame.f_lineno
            where = f" at {Path(file).name}, line {line}: {linecache.getline(file, line).strip()}"
        found = found.cr_await if hasattr(found.cr_await, "cr_frame") else None
    plans = "; ".join(f"plan {plan.name} is {plan.state}: {plan.reason}" for plan in life.master.plans.values())
    return f"the script did not end within {SCRIPT_MAX_S:g} virtual seconds; it waits{where} ({plans})"

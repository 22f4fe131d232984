"""A service beside its master: the service API without a network. A runner cannot tell it from the real master.

What is called, and what is told, is the master's own code (:mod:`upcall.master.service_calls`,
:mod:`upcall.master.notify`); this knows the paths, and writes down what was said. The world knows no clock, so
:meth:`WorldTransport.live` moves it along with the event loop's (a virtual one as a rule).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from upcall.master import goals
from upcall.master.credentials import ENDPOINT
from upcall.master.secrets import Secrets
from upcall.master.service_calls import ServiceCalls
from upcall.master.streams import Streams
from upcall.operations import effects as fx
from upcall.operations import inputs as given
from upcall.protocol import service as wire
from upcall.protocol.errors import NotFound
from upcall.service import Service
from upcall.service.goals import derive
from upcall.service.link import MasterAway
from upcall.substrate.interface import Output
from upcall.testing.driver import Reborn
from upcall.testing.fixed import Tool
from upcall.testing.world import World

LOOK_MIN_S: Final = 0.001
"""Between two looks at the world, so that rounding never makes a wait of nothing."""
LONG_S: Final = 3600.0
"""An action is looked at again after so long, if nothing was said of it."""
WHO: Final = "a person"


class WorldTransport:
    """Implements :class:`upcall.service.link.Transport` for one service, and
    :class:`upcall.master.service_calls.Tools`, and :class:`upcall.master.goals.Deriving`."""

    def __init__(self, service: str, world: World, streams: Streams, tool: Tool) -> None:
        self.service, self.world, self.tool = service, world, tool
        self.away = False
        """Nothing is answered."""
        self.opens_s = 0.0
        """So long a stream that stands at the master is not heard by who opened it."""
        self.code: type[Service] | None = None
        """That makes options of goals."""
        self.door = ServiceCalls(world, streams, self, _Passwords(Path()), self)
        self.declared: wire.Declare | None = None
        self.plans: dict[str, wire.PlanView] = {}
        self.answers: list[wire.Answer] = []
        self.proposals: list[wire.Propose] = []
        self.tools: list[wire.RunTool] = []
        self.notes: list[wire.Note] = []
        self.progress: list[wire.ActionProgress] = []
        """What actions said of themselves."""
        self.calls: list[str] = []
        self.carried_out: Callable[[], bool] = lambda: True
        """Called when a call was carried out: whether whoever made it still hears of it."""
        self._began_s: float | None = None
        self.patience_s = 0.0
        """For so long actions that are asked of it are tried again where the answer is "not now"."""
        self._asked: dict[str, str] = {}
        """Name of an action -> the newest that was asked of it."""
        self._kick = asyncio.Event()
        self._changed = asyncio.Event()
        self._cancelling: set[asyncio.Task[Any]] = set()
        world.after.append(self._look)
        world.died.append(self.disconnect)

    # -- time -------------------------------------------------------------------------------------------------------

    async def live(self) -> None:
        """Moves the world along with the loop's clock. For as long as the test runs."""
        while True:
            self.catch_up()
            due_s = self.world.deadline()
            timeout_s = max(due_s - self._now_s(), LOOK_MIN_S) if due_s is not None else None
            try:
                async with asyncio.timeout(timeout_s):
                    await self._kick.wait()
            except TimeoutError:
                pass
            self._kick.clear()

    def _now_s(self) -> float:
        """The world's time: it begins when the world is first looked at."""
        loop_s = asyncio.get_running_loop().time()
        if self._began_s is None:
            self._began_s = loop_s - self.world.now_s
        return loop_s - self._began_s

    def catch_up(self) -> None:
        """What is due by now has happened, before anything else does."""
        self.world.advance(max(self._now_s() - self.world.now_s, 0.0))

    def _look(self) -> None:
        self._kick.set()
        self._changed.set()

    async def until(self, condition: Callable[[], object], *, within_s: float = 7200.0) -> None:
        """Waits until the condition holds; looks whenever something changed."""
        try:
            async with asyncio.timeout(within_s):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"waited for {within_s:g} virtual seconds in vain") from None

    def send(self, item: given.Input) -> fx.Outcome:
        """One input into the ledger, now; what it refuses is raised."""
        self.catch_up()
        return self.world.run(lambda tx: tx.ledger(item))

    def disturb(self, act: Callable[[float], Output]) -> None:
        """Something happens to the cluster, now."""
        self.catch_up()
        self.world.observe(act(self.world.now_s))

    # -- the stream -------------------------------------------------------------------------------------------------

    async def events(self, path: str) -> AsyncIterator[wire.StreamEvent]:
        if self.away:
            raise MasterAway("the master is away")
        if path != f"/v1/service/{self.service}/stream":
            raise NotFound(f"no service at {path}")
        self.catch_up()
        stream = self.door.subscribe(self.service)
        try:
            await asyncio.sleep(self.opens_s)
            async for event in stream.events():
                yield event
        finally:
            self.door.unsubscribe(self.service, stream)

    def disconnect(self) -> None:
        """The stream breaks."""
        self.door.streams.close(self.service)

    # -- the calls --------------------------------------------------------------------------------------------------

    async def call(
        self, method: str, path: str, body: bytes = b"", *, stream: str = "", timeout_s: float = 30.0
    ) -> bytes:
        if self.away:
            raise MasterAway("the master is away")
        url = urlsplit(path)
        what = unquote(url.path).removeprefix(f"/v1/service/{self.service}/")
        self.calls.append(f"{method} {what}")
        self.door.streams.check(self.service, stream)
        await asyncio.sleep(0)  # a call takes a moment, in which other things happen
        self.catch_up()
        version = parse_qs(url.query).get("version")
        try:
            reply = await self._routed(method, what, body, version=int(version[0]) if version else None)
        except Reborn as died:
            raise MasterAway("the master died before it answered") from died
        self._look()
        if not self.carried_out():
            await asyncio.Future()  # until it is cancelled with all of its host
        return msgspec.json.encode(reply)

    async def _routed(self, method: str, what: str, body: bytes, *, version: int | None) -> msgspec.Struct:
        door, name = self.door, self.service
        head, _, rest = what.partition("/")
        match method, head:
            case "PUT", "members":
                self.declared = msgspec.json.decode(body, type=wire.Declare)
                return await door.declare(name, self.declared)
            case "PUT", "starts":
                return await door.starts(name, msgspec.json.decode(body, type=wire.Starts))
            case "PUT", "endpoints":
                return await door.endpoints(name, msgspec.json.decode(body, type=wire.Endpoints))
            case "PUT", "plans":
                plans = msgspec.json.decode(body, type=wire.Plans)
                self.plans = {plan.name: plan for plan in plans.plans}
                return await door.plans(name, plans)
            case "PUT", "health":
                return await door.health(name, msgspec.json.decode(body, type=wire.Health))
            case "POST", "propose":
                self.proposals.append(msgspec.json.decode(body, type=wire.Propose))
                return await door.propose(name, self.proposals[-1])
            case "POST", "answers":
                return await self._answered(msgspec.json.decode(body, type=wire.Answers))
            case "POST", "withdraw":
                return await door.withdraw(name, msgspec.json.decode(body, type=wire.Withdraw))
            case "POST", "confirm":
                return await door.confirm(name, rest)
            case "POST", "fail":
                return await door.fail(name, rest, msgspec.json.decode(body, type=wire.Failed))
            case "POST", "working":
                return await door.working(name, rest, msgspec.json.decode(body, type=wire.Working))
            case "POST", "rescale":
                return await door.rescale(name, msgspec.json.decode(body, type=wire.Rescale))
            case "POST", "fits":
                return door.fits(name, msgspec.json.decode(body, type=wire.Declare))
            case "POST", "differ":
                return door.differ(name, msgspec.json.decode(body, type=wire.Declare))
            case "POST", "retarget":
                return await door.retarget(name, msgspec.json.decode(body, type=wire.Retarget))
            case "POST", "resize":
                return await door.resize(name, msgspec.json.decode(body, type=wire.Resize))
            case "POST", "credentials":
                return await self._credentials(msgspec.json.decode(body, type=wire.AskCredentials).reference)
            case "POST", "back":
                return await door.back(name, msgspec.json.decode(body, type=wire.Back))
            case "POST", "notes":
                self.notes.append(msgspec.json.decode(body, type=wire.Note))
                return await door.note(name, self.notes[-1])
            case "POST", "run":
                return await door.run(name, msgspec.json.decode(body, type=wire.RunTool))
            case "POST", "granted":
                return door.granted(name, rest)
            case "POST", "progress":
                self.progress.append(msgspec.json.decode(body, type=wire.ActionProgress))
                return await door.progress(name, rest, self.progress[-1])
            case "POST", "replies":
                return await door.reply(name, rest, msgspec.json.decode(body, type=wire.ActionReply))
            case "GET", "state":
                return door.read_state(name, rest)
            case "PUT", "state":
                return await door.write_state(name, rest, msgspec.json.decode(body, type=wire.StateWrite))
            case "DELETE", "state":
                return await door.delete_state(name, rest, version)
        raise NotFound(f"no call {method} {what}")

    async def _answered(self, answers: wire.Answers) -> wire.Accepted:
        self.answers += answers.answers
        return await self.door.answers(self.service, answers)

    async def _credentials(self, reference: str) -> wire.Credentials:
        """Of its own endpoints; of others' a life has none."""
        owner = reference.removeprefix(ENDPOINT).partition(".")[0]
        return await self.door.credentials(self.service, reference) if owner == self.service else wire.Credentials()

    def follows(self, version: str, options: Mapping[str, Any]) -> dict[str, wire.Derived]:
        """From goals."""
        return derive(self.code.at(version), options, goals.nodes(self.world)) if self.code is not None else {}

    async def of(self, package: wire.Package, options: Mapping[str, Any]) -> dict[str, wire.Derived]:
        return self.follows(package.version, options)

    async def run(self, task: str, node: str, tool: wire.RunTool) -> wire.ToolResult:
        self.tools.append(tool)
        return self.tool(tool)

    # -- what people ask of the service -----------------------------------------------------------------------------

    async def act(self, action_name: str, /, **arguments: Any) -> wire.ActionReply:
        """A person calls an action, and waits for its end."""
        self.catch_up()
        actions = self.door.actions
        asked = await actions.begin(self.service, action_name, arguments, WHO, patience_s=self.patience_s)
        self._asked[action_name] = asked.id
        while (found := actions.find(asked.id)).state == "running":
            await actions.wait(asked.id, LONG_S)
        done, cancelled = found.state == "done", found.state == "cancelled"
        return wire.ActionReply(
            ok=done, result=found.result, error=found.error, cancelled=cancelled, problem=found.problem
        )

    async def refusal(self, action_name: str, /, **arguments: Any) -> str:
        """What its check says beforehand that an action would refuse, a reason a line; empty: nothing."""
        self.catch_up()
        return "\n".join(map(str, await self.door.judge(self.service, action_name, arguments, None, WHO)))

    def cancel(self, action_name: str) -> None:
        """A person no longer wants the newest action of this name."""
        task = asyncio.ensure_future(self.door.actions.cancel(self._asked[action_name], WHO))
        self._cancelling.add(task)
        task.add_done_callback(self._cancelling.discard)


class _Passwords(Secrets):
    """Whatever is secret has a value at once."""

    def resolve(self, reference: str) -> str:
        return "a password"

"""The service API over a world: a table of calls in, whole sets out. A runner cannot tell it from the real master.

It decides nothing: consent, guard and launches are the ledger's, places the simulated cluster's. The world knows no
clock, so :meth:`WorldTransport.live` moves it along with the event loop's (a virtual one as a rule), and shows the
service what changed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from upcall.master import said
from upcall.operations import effects as fx
from upcall.operations import inputs as given
from upcall.operations.views import PendingOperation
from upcall.protocol import service as wire
from upcall.protocol.errors import NotFound, Stale
from upcall.service.link import STREAM_HEADER, MasterAway
from upcall.substrate.interface import Output
from upcall.testing import shown
from upcall.testing.memory import remember
from upcall.testing.seen import Seen
from upcall.testing.still import Tool
from upcall.testing.world import World

LOOK_MIN_S: Final = 0.001
"""Between two looks at the world, so that rounding never makes a wait of nothing."""


class WorldTransport:
    """Implements :class:`upcall.service.link.Transport` for one service."""

    def __init__(self, service: str, world: Seen, wanted: Callable[[], wire.Wanted], tool: Tool) -> None:
        self.service, self.world, self.tool = service, world, tool
        self.away = False
        """Nothing is answered."""
        self.declared: wire.Declare | None = None
        self.endpoints: tuple[wire.Endpoint, ...] = ()
        self.plans: dict[str, wire.PlanView] = {}
        self.memory: dict[str, tuple[Any, int]] = {}
        self.answers: list[wire.Answer] = []
        self.proposals: list[wire.Propose] = []
        self.tools: list[wire.RunTool] = []
        self.notes: list[wire.Note] = []
        self.progress: list[wire.ActionProgress] = []
        """What actions said of themselves."""
        self.calls: list[str] = []
        self._make_wanted = wanted
        self._began_s: float | None = None
        self._version = 0
        self._stream = 0
        self._shown: dict[str, msgspec.Struct] = {}
        self._set_due = False
        self._queue: asyncio.Queue[wire.StreamEvent | None] = asyncio.Queue()
        self._actions: dict[str, asyncio.Future[wire.ActionReply]] = {}
        self._asked: dict[str, str] = {}
        self._kick = asyncio.Event()
        self._changed = asyncio.Event()
        world.watchers.append(self._watch)
        world.send(given.DeclareService(name=service))

    # -- time -------------------------------------------------------------------------------------------------------

    async def live(self) -> None:
        """Moves the world along with the loop's clock, and shows what changed. For as long as the test runs."""
        while True:
            self.catch_up()
            self._tell()
            dues = [due for due in (self.world.ledger.deadline(), self.world.substrate.deadline()) if due is not None]
            timeout_s = max(min(dues) - self._now_s(), LOOK_MIN_S) if dues else None
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
        outcome = self.world.send(item)
        self._kick.set()
        if outcome.refused is not None:
            raise shown.error(outcome.refused)
        return outcome

    def disturb(self, act: Callable[[float], Output]) -> None:
        """Something happens to the cluster, now."""
        self.catch_up()
        self.world.observe(act(self.world.now_s))
        self._kick.set()

    # -- the stream -------------------------------------------------------------------------------------------------

    async def events(self, path: str) -> AsyncIterator[wire.StreamEvent]:
        if self.away:
            raise MasterAway("the master is away")
        if path != f"/v1/service/{self.service}/stream":
            raise NotFound(f"no service at {path}")
        self.disconnect()  # the newest subscription fences the older one off
        self._stream += 1
        stream, queue = self._stream, asyncio.Queue[wire.StreamEvent | None]()
        self._queue, self._shown, self._set_due = queue, {}, True
        yield wire.Subscribed(stream=str(stream), wire=1)
        self.send(given.HostSubscribed(service=self.service))
        self._tell()
        for name, number in self._asked.items():
            if not self._actions[number].done():
                queue.put_nowait(wire.Action(id=number, name=name, again=True))
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            if stream == self._stream:
                self.world.send(given.HostUnsubscribed(service=self.service))
                self._kick.set()

    def disconnect(self) -> None:
        """The stream breaks."""
        self._queue.put_nowait(None)

    # -- the calls --------------------------------------------------------------------------------------------------

    async def call(
        self, method: str, path: str, body: bytes = b"", *, stream: str = "", timeout_s: float = 30.0
    ) -> bytes:
        if self.away:
            raise MasterAway("the master is away")
        what = unquote(urlsplit(path).path).removeprefix(f"/v1/service/{self.service}/")
        self.calls.append(f"{method} {what}")
        if stream != str(self._stream):
            raise Stale("this is not the current stream", where=STREAM_HEADER)
        await asyncio.sleep(0)  # a call takes a moment, in which other things happen
        reply = self._routed(method, what, body)
        self._kick.set()
        return msgspec.json.encode(reply)

    def _routed(self, method: str, what: str, body: bytes) -> msgspec.Struct:
        head, _, rest = what.partition("/")
        match method, head:
            case "PUT", "members":
                self._declare(msgspec.json.decode(body, type=wire.Declare))
            case "PUT", "endpoints":
                self.endpoints = msgspec.json.decode(body, type=wire.Endpoints).endpoints
            case "PUT", "plans":
                self.plans = {plan.name: plan for plan in msgspec.json.decode(body, type=wire.Plans).plans}
            case "POST", "propose":
                return wire.Accepted(operation=self._proposed(msgspec.json.decode(body, type=wire.Propose)))
            case "POST", "answers":
                self._answered(msgspec.json.decode(body, type=wire.Answers))
            case "POST", "withdraw":
                for operation in msgspec.json.decode(body, type=wire.Withdraw).operations:
                    self.send(given.WithdrawAnswer(service=self.service, operation=operation))
            case "POST", "confirm":
                self.send(given.Confirm(service=self.service, operation=rest))
            case "POST", "credentials":
                return self._credentials(msgspec.json.decode(body, type=wire.AskCredentials).reference)
            case "POST", "back":
                back = msgspec.json.decode(body, type=wire.Back)
                self.send(said.back(self.service, back))
            case "POST", "notes":
                self.notes.append(msgspec.json.decode(body, type=wire.Note))
            case "POST", "run":
                tool = msgspec.json.decode(body, type=wire.RunTool)
                self.tools.append(tool)
                return self.tool(tool)
            case "POST", "progress":
                self.progress.append(msgspec.json.decode(body, type=wire.ActionProgress))
            case "POST", "replies":
                self._actions[rest].set_result(msgspec.json.decode(body, type=wire.ActionReply))
            case _, "state":
                return remember(self.memory, method, rest, body)
            case _:
                raise NotFound(f"no call {method} {what}")
        return wire.Accepted()

    def _declare(self, declare: wire.Declare) -> None:
        self.declared = declare
        policy = declare.policy
        self.send(
            given.DeclareService(
                name=self.service,
                minimum=policy.minimum,
                stateful=policy.holds_data,
                policy=shown.policy(policy),
            )
        )
        members = tuple(
            given.MemberDeclaration(
                name=name,
                generation=self.world.declare(f"{self.service}.{name}", wanted),
                restart=wanted.declaration.restart,
                restarts_max=wanted.declaration.restarts_max,
                start_timeout_s=wanted.declaration.start_timeout_s,
                grace_s=wanted.declaration.grace_s,
                counts=wanted.minimum,
                hooks=wanted.hooks,
                portable=not wanted.declaration.bound_to_its_node,
            )
            for name, wanted in declare.members.items()
        )
        self.send(given.DeclareMembers(service=self.service, members=members))
        if starting := tuple(name for name, wanted in declare.members.items() if wanted.start):
            self.send(given.StartMembers(service=self.service, members=starting))

    def _credentials(self, reference: str) -> wire.Credentials:
        """Of its own endpoints; of others' a life has none."""
        own = {f"endpoint:{self.service}.{each.name}": each.user for each in self.endpoints}
        user = own.get(reference, "")
        return wire.Credentials(user=user, password="a password" if user else "")

    def _proposed(self, proposal: wire.Propose) -> str:
        self.proposals.append(proposal)
        kind: Any = proposal.kind
        return self.send(
            given.Propose(
                kind=kind,
                asked_by=self.service,
                scope=self.service,
                reason=proposal.reason,
                service=self.service,
                members=(proposal.member,) if proposal.member else (),
                key=f"{self.service}/{proposal.key}",
            )
        ).operation

    def _answered(self, answers: wire.Answers) -> None:
        self.answers += answers.answers
        try:
            self.send(said.answers(self.service, answers))
        except Stale:
            self._show_set()
            raise

    async def act(self, action_name: str, /, **arguments: Any) -> wire.ActionReply:
        """A person calls an action."""
        number = f"action-{len(self._actions) + 1}"
        self._actions[number] = asyncio.get_running_loop().create_future()
        self._asked[action_name] = number
        self._queue.put_nowait(wire.Action(id=number, name=action_name, arguments=arguments, who="a person"))
        return await self._actions[number]

    def cancel(self, action_name: str) -> None:
        """A person no longer wants the newest action of this name."""
        self._queue.put_nowait(wire.CancelAction(id=self._asked[action_name]))

    # -- telling ----------------------------------------------------------------------------------------------------

    def _watch(self, _world: World, effect: fx.Effect) -> None:
        match effect:
            case fx.Show(service=self.service):
                self._show_set()
            case fx.Told(service=self.service):
                told = next((op for op in self.world.ledger.operations() if op.id == effect.operation), None)
                if told is not None:
                    view = PendingOperation(operation=told, asked=False, asked_times=0)
                    what = told.state if effect.what == "ended" else effect.what
                    self._queue.put_nowait(wire.Told(what=what, operation=shown.operation(self.world, view)))
            case _:
                pass

    def _show_set(self) -> None:
        """The whole set: the ledger says when, for with each look the windows in it are shorter."""
        self._set_due = True
        self._kick.set()

    def _tell(self) -> None:
        self._say("wanted", self._make_wanted())
        self._say("members", shown.members(self.world, self.service))
        if self._set_due:
            self._set_due = False
            pending = self.world.ledger.pending(self.service, self.world.now_s, self.world.wall_s)
            operations = tuple(shown.operation(self.world, each) for each in pending.operations)
            self._queue.put_nowait(
                wire.Operations(epoch=str(pending.epoch), version=pending.version, operations=operations)
            )
        self._changed.set()

    def _say(self, what: str, event: wire.Wanted | wire.Members) -> None:
        """Unless this subscription was told exactly this."""
        if self._shown.get(what) == event:
            return
        self._shown[what] = event
        if isinstance(event, wire.Members):
            self._version += 1
            event = msgspec.structs.replace(event, version=self._version)
        self._queue.put_nowait(event)

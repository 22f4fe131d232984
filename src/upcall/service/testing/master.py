"""A master in memory: the service API as a table of calls, over the same transport as the real one.

It keeps the promises of the wire that an SDK relies on (whole sets with versions, epochs, fencing by the newest
subscription, compare-and-swap, "starting twice is starting once") and plays simple machines: a started member is ready
after ``start_s``. It is not the ledger: it begins what was accepted when the minimum allows, and no more. What it was
told is kept for a test to read.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict, NotFound, Stale
from upcall.service.link import STREAM_HEADER, MasterAway

Tool = Callable[[wire.RunTool], wire.ToolResult]


def ok(_tool: wire.RunTool) -> wire.ToolResult:
    """A tool that succeeds and says nothing."""
    return wire.ToolResult(code=0)


@dataclass
class PlayedMaster:
    """One service at a master. ``still`` machines and operations do nothing by themselves."""

    service: str = "hello"
    options: Mapping[str, Any] = field(default_factory=dict)
    bindings: Mapping[str, str] = field(default_factory=dict)
    nodes: int = 3
    start_s: float = 2.0
    still: bool = False
    tool: Tool = ok
    members: dict[str, wire.Member] = field(default_factory=dict)
    operations: dict[str, wire.Operation] = field(default_factory=dict)
    memory: dict[str, tuple[Any, int]] = field(default_factory=dict)
    declared: wire.Declare | None = None
    endpoints: tuple[wire.Endpoint, ...] = ()
    plans: dict[str, wire.PlanView] = field(default_factory=dict)
    answers: list[wire.Answer] = field(default_factory=list)
    proposals: list[wire.Propose] = field(default_factory=list)
    launches: list[str] = field(default_factory=list)
    """Every incarnation that was started: ``web-0.1``."""
    tools: list[wire.RunTool] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    sick: set[str] = field(default_factory=set)
    """Members that do not become ready."""
    away: bool = False
    """Nothing is answered."""
    desired: str = "running"
    revision: int = 1

    def __post_init__(self) -> None:
        self.epoch = 1
        self._version = 0
        self._stream = 0
        self._queue: asyncio.Queue[wire.StreamEvent | None] = asyncio.Queue()
        self._actions: dict[str, asyncio.Future[wire.ActionReply]] = {}
        self._changed = asyncio.Event()
        self._timers: set[asyncio.TimerHandle] = set()

    # -- what a test does -------------------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], object], *, within_s: float = 600.0) -> None:
        """Waits until the condition holds."""
        async with asyncio.timeout(within_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_ready(self, *members: str) -> None:
        wanted = members or tuple(self.declared.members if self.declared else ())
        await self.until(lambda: all(self.state(name) == "ready" for name in wanted))

    def state(self, member: str) -> str:
        return self.members[member].state if member in self.members else ""

    def propose(self, kind: str, member: str = "", *, klass: str = "voluntary", reason: str = "a test wants it") -> str:
        """A person proposes an operation; gives its id."""
        seen = self.members.get(member, wire.Member(name=""))
        operation = wire.Operation(
            id=f"op-{len(self.operations) + 1}",
            kind=kind,
            klass=klass,
            state="open",
            reason=reason,
            asked_by="a person",
            member=member,
            incarnation=seen.incarnation,
            comes_back=kind not in ("uninstall", "scale_in"),
        )
        self.operations[operation.id] = operation
        self.show()
        return operation.id

    def set_member(self, name: str, **changes: Any) -> None:
        """Something happened to a member."""
        self.members[name] = msgspec.structs.replace(self.members.get(name, wire.Member(name=name)), **changes)
        self._changed.set()
        self._tell_members()

    def crash(self, name: str) -> None:
        """Its process ends, and is started again in place."""
        self.epoch += 1
        self.set_member(name, state="ended", exit_code=1, reason="ended with code 1")
        self.show()
        self._later(1.0, lambda: self._launch(name))

    def lose(self, name: str) -> str:
        """Its node is silent: it is lost, and the service is asked."""
        self.epoch += 1
        self.set_member(name, state="lost", reason="its node is silent")
        return self.propose("lost", name, klass="involuntary", reason="its node is silent")

    def tell(self, what: str, operation: str) -> None:
        self._queue.put_nowait(wire.Told(what=what, operation=self.operations[operation]))

    async def act(self, action_name: str, /, **arguments: Any) -> wire.ActionReply:
        """A person calls an action."""
        action = wire.Action(
            id=f"action-{len(self._actions) + 1}", name=action_name, arguments=arguments, who="a person"
        )
        self._actions[action.id] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(action)
        return await self._actions[action.id]

    def change(self, **options: Any) -> None:
        """New options: the next revision."""
        self.options = {**self.options, **options}
        self.revision += 1
        self._tell_wanted()

    def want(self, desired: str) -> None:
        self.desired = desired
        self._tell_wanted()

    def show(self) -> None:
        """The whole pending set, anew."""
        self._version += 1
        self._changed.set()
        live = tuple(op for op in self.operations.values() if op.state in ("open", "preparing", "executing"))
        self._queue.put_nowait(wire.Operations(epoch=f"1.{self.epoch}", version=self._version, operations=live))

    def disconnect(self) -> None:
        """The stream breaks."""
        self._queue.put_nowait(None)

    # -- the transport ----------------------------------------------------------------------------------------------

    async def events(self, path: str) -> AsyncIterator[wire.StreamEvent]:
        if self.away:
            raise MasterAway("the master is away")
        if path != f"/v1/service/{self.service}/stream":
            raise NotFound(f"no service at {path}")
        self._queue.put_nowait(None)  # fences the older subscription off
        self._stream += 1
        queue = self._queue = asyncio.Queue()
        yield wire.Subscribed(stream=str(self._stream), wire=1)
        self._tell_wanted()
        self._tell_members()
        self.show()
        while (event := await queue.get()) is not None:
            yield event

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
        self._changed.set()
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
            case "POST", "confirm":
                self._begin(self.operations[rest])
            case "POST", "run":
                tool = msgspec.json.decode(body, type=wire.RunTool)
                self.tools.append(tool)
                return self.tool(tool)
            case "POST", "replies":
                self._actions[rest].set_result(msgspec.json.decode(body, type=wire.ActionReply))
            case _, "state":
                return self._remember(method, rest, body)
            case _:
                raise NotFound(f"no call {method} {what}")
        return wire.Accepted()

    def _remember(self, method: str, key: str, body: bytes) -> msgspec.Struct:
        value, version = self.memory.get(key, (None, 0))
        if method == "GET":
            if not version:
                raise NotFound(f"no key {key!r}")
            return wire.StateEntry(value=value, version=version)
        if method == "DELETE":
            self.memory.pop(key, None)
            return wire.Accepted()
        write = msgspec.json.decode(body, type=wire.StateWrite)
        if write.version != version:
            raise Conflict(f"key {key!r} has version {version}", expected=f"{version}, not {write.version}")
        self.memory[key] = (write.value, version + 1)
        return wire.StateEntry(value=write.value, version=version + 1)

    # -- the machines -----------------------------------------------------------------------------------------------

    def _declare(self, declare: wire.Declare) -> None:
        self.declared = declare
        for name, wanted in declare.members.items():
            if name not in self.members:
                self.members[name] = wire.Member(name=name, state="wanted", declared_generation=1)
            if wanted.start and self.members[name].incarnation == 0 and not self._unplaced():
                self._launch(name)
        self._tell_members()

    def _unplaced(self) -> str:
        """Members that keep apart need a node each; others fit anywhere."""
        if self.declared is None:
            return ""
        groups: dict[str, int] = {}
        for wanted in self.declared.members.values():
            apart = wanted.declaration.constraints.apart
            groups[apart] = groups.get(apart, 0) + 1 if apart else 0
        need = max(groups.values(), default=0)
        return f"needs {need} nodes, there are {self.nodes}" if need > self.nodes else ""

    def _launch(self, name: str) -> None:
        if self.still:
            return
        member = self.members[name]
        number = member.incarnation + 1
        self.launches.append(f"{name}.{number}")
        index = list(self.members).index(name)
        wanted = self.declared.members[name] if self.declared else None
        ports = {port.name: port.number for port in wanted.declaration.ports} if wanted else {}
        self.set_member(
            name,
            incarnation=number,
            starts=number,
            state="starting",
            reason="",
            exit_code=None,
            node=f"node-{index % max(self.nodes, 1) + 1}",
            zone=f"zone-{index % max(self.nodes, 1) + 1}",
            address=f"127.1.{number}.{index + 1}",
            ports=ports,
        )
        if name not in self.sick:
            self._later(self.start_s, lambda: self._ready(name, number))

    def _ready(self, name: str, number: int) -> None:
        if self.members[name].incarnation != number or self.members[name].state != "starting":
            return
        self.set_member(name, state="ready")
        for op in list(self.operations.values()):
            if op.member == name and op.state == "executing" and op.incarnation < number:
                self._end(op, "done")
        self._consider()

    # -- the operations ---------------------------------------------------------------------------------------------

    def _proposed(self, proposal: wire.Propose) -> str:
        for known, operation in zip(self.proposals, self._by_service(), strict=True):
            if known.key == proposal.key:
                return operation
        self.proposals.append(proposal)
        operation = self.propose(proposal.kind, proposal.member, reason=proposal.reason)
        self.operations[operation] = msgspec.structs.replace(self.operations[operation], asked_by=self.service)
        return operation

    def _by_service(self) -> list[str]:
        return [op.id for op in self.operations.values() if op.asked_by == self.service]

    def _answered(self, answers: wire.Answers) -> None:
        if answers.epoch != f"1.{self.epoch}":
            self.show()
            raise Stale(f"epoch is 1.{self.epoch}", where="epoch")
        for answer in answers.answers:
            self.answers.append(answer)
            op = self.operations.get(answer.operation)
            if op is None or op.state != "open":
                continue
            self.operations[op.id] = msgspec.structs.replace(op, answer=answer.verdict)
            if answer.verdict in ("defer", "wait"):
                self._later(answer.retry_after_s, lambda op=op.id, answer=answer: self._lapse(op, answer))  # type: ignore[misc]
            elif answer.verdict == "decline" and op.klass == "voluntary":
                self._end(op, "declined")
        self.show()
        self._consider()

    def _lapse(self, operation: str, answer: wire.Answer) -> None:
        op = self.operations[operation]
        newest = next(given for given in reversed(self.answers) if given.operation == operation)
        if op.state == "open" and newest is answer:
            self.operations[operation] = msgspec.structs.replace(op, answer="")
            self.show()

    def _consider(self) -> None:
        """Begins what was accepted and what the minimum allows."""
        if self.still:
            return
        for op in list(self.operations.values()):
            if op.state != "open" or op.answer not in ("accept", "replace", "restart") or not self._allowed(op):
                continue
            if op.kind in ("replace", "uninstall", "scale_in") and self.declared and self.declared.policy.leaves:
                self.operations[op.id] = msgspec.structs.replace(op, state="preparing")
                self.epoch += 1
                self.show()
            else:
                self._begin(op)

    def _allowed(self, op: wire.Operation) -> bool:
        if op.kind in ("uninstall", "lost") or self.declared is None:
            return True
        ready = [name for name, member in self.members.items() if member.state == "ready" and name != op.member]
        return len(ready) >= self.declared.policy.minimum

    def _begin(self, op: wire.Operation) -> None:
        self.operations[op.id] = op = msgspec.structs.replace(op, state="executing")
        self.epoch += 1
        self.show()
        self.tell("begun", op.id)
        members = [op.member] if op.member else list(self.members)
        for name in members:
            self.set_member(name, state="ending")
        self._later(1.0, lambda: self._ended(op, members))

    def _ended(self, op: wire.Operation, members: list[str]) -> None:
        for name in members:
            match op.kind:
                case "stop":
                    self.set_member(name, state="held", reason="held by a drain")
                case "uninstall" | "scale_in":
                    self.set_member(name, state="gone")
                case "replace":
                    self._elsewhere(name)
                case "lost" if op.answer == "replace":
                    self._elsewhere(name)
                case _:
                    self._launch(name)
        if op.kind in ("stop", "uninstall", "scale_in"):
            self._end(op, "done")

    def _elsewhere(self, name: str) -> None:
        self.set_member(name, place=self.members[name].place + 1)
        self._launch(name)

    def _end(self, op: wire.Operation, state: str) -> None:
        self.operations[op.id] = msgspec.structs.replace(self.operations[op.id], state=state)
        self.tell(state, op.id)
        self.show()

    # -- telling ----------------------------------------------------------------------------------------------------

    def _tell_members(self) -> None:
        self._version += 1
        known = self.members.values()
        event = wire.Members(version=self._version, members=tuple(known), unplaced=self._unplaced())
        self._queue.put_nowait(event)

    def _tell_wanted(self) -> None:
        nodes = tuple(
            wire.NodeView(name=f"node-{n}", zone=f"zone-{n}", cpus=2, memory_mib=8192) for n in range(1, self.nodes + 1)
        )
        self._queue.put_nowait(
            wire.Wanted(
                name=self.service,
                package=self.service,
                version="0.1.0",
                revision=self.revision,
                options=dict(self.options),
                desired=self.desired,  # type: ignore[arg-type]
                bindings=dict(self.bindings),
                nodes=nodes,
            )
        )

    def _later(self, delay_s: float, call: Callable[[], None]) -> None:
        if not self.still:
            asyncio.get_running_loop().call_later(delay_s, call)

"""A master in memory that shows one state and plays nothing on: what a scenario runs against.

It keeps the promises of the wire that an SDK relies on (whole sets with versions, epochs, fencing by the newest
subscription, compare-and-swap) and writes down what the service says. Nothing follows from it: no member starts, no
operation begins. Where things are to happen, see :mod:`upcall.testing.life`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from upcall.protocol import service as wire
from upcall.protocol.errors import NotFound, Stale
from upcall.service.link import STREAM_HEADER
from upcall.testing.memory import remember

Tool = Callable[[wire.RunTool], wire.ToolResult]

EPOCH = "1.1"


def ok(_tool: wire.RunTool) -> wire.ToolResult:
    """A tool that succeeds and says nothing."""
    return wire.ToolResult(code=0)


@dataclass
class FixedMaster:
    """One service at a master on which nothing moves."""

    service: str
    options: Mapping[str, Any] = field(default_factory=dict)
    bindings: Mapping[str, str] = field(default_factory=dict)
    nodes: int = 3
    tool: Tool = ok
    members: dict[str, wire.Member] = field(default_factory=dict)
    operations: dict[str, wire.Operation] = field(default_factory=dict)
    memory: dict[str, tuple[Any, int]] = field(default_factory=dict)
    desired: str = "running"
    left_behind: tuple[str, ...] = ()
    lost_behind: tuple[str, ...] = ()
    declared: wire.Declare | None = None
    starts: tuple[str, ...] = ()
    endpoints: tuple[wire.Endpoint, ...] = ()
    plans: dict[str, wire.PlanView] = field(default_factory=dict)
    health: wire.Health | None = None
    answers: list[wire.Answer] = field(default_factory=list)
    proposals: list[wire.Propose] = field(default_factory=list)
    tools: list[wire.RunTool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._version = 0
        self._stream = 0
        self._queue: asyncio.Queue[wire.StreamEvent] = asyncio.Queue()

    async def events(self, path: str) -> AsyncIterator[wire.StreamEvent]:
        if path != f"/v1/service/{self.service}/stream":
            raise NotFound(f"no service at {path}")
        self._stream += 1
        queue = self._queue = asyncio.Queue()
        yield wire.Subscribed(stream=str(self._stream), wire=1)
        queue.put_nowait(self._wanted())
        self._show_members()
        self._show_operations()
        while True:
            yield await queue.get()

    async def call(
        self, method: str, path: str, body: bytes = b"", *, stream: str = "", timeout_s: float = 30.0
    ) -> bytes:
        if stream != str(self._stream):
            raise Stale("this is not the current stream", where=STREAM_HEADER)
        what = unquote(urlsplit(path).path).removeprefix(f"/v1/service/{self.service}/")
        await asyncio.sleep(0)  # a call takes a moment, in which other things happen
        return msgspec.json.encode(self._routed(method, what, body))

    def _routed(self, method: str, what: str, body: bytes) -> msgspec.Struct:
        head, _, rest = what.partition("/")
        match method, head:
            case "PUT", "members":
                self._declare(msgspec.json.decode(body, type=wire.Declare))
            case "PUT", "starts":
                self.starts = msgspec.json.decode(body, type=wire.Starts).members
            case "PUT", "endpoints":
                self.endpoints = msgspec.json.decode(body, type=wire.Endpoints).endpoints
            case "PUT", "plans":
                self.plans = {plan.name: plan for plan in msgspec.json.decode(body, type=wire.Plans).plans}
            case "PUT", "health":
                self.health = msgspec.json.decode(body, type=wire.Health)
            case "POST", "propose":
                self.proposals.append(msgspec.json.decode(body, type=wire.Propose))
                return wire.Accepted(operation=f"proposed-{len(self.proposals)}")
            case "POST", "answers":
                self._answered(msgspec.json.decode(body, type=wire.Answers))
            case "POST", "run":
                tool = msgspec.json.decode(body, type=wire.RunTool)
                self.tools.append(tool)
                return self.tool(tool)
            case "POST", "back":
                self._back(msgspec.json.decode(body, type=wire.Back))
            case "POST", "fits":
                return wire.Fits()
            case "POST", "differ":
                return wire.Differ()
            case "POST", "resize":
                return wire.Resized(state="done")
            case "POST", "notes" | "confirm" | "withdraw" | "working":
                pass
            case _, "state":
                return remember(self.memory, method, rest, body)
            case _:
                raise NotFound(f"no call {method} {what}")
        return wire.Accepted()

    def _declare(self, declare: wire.Declare) -> None:
        self.declared = declare
        for name in declare.members:
            if name not in self.members:
                self.members[name] = wire.Member(name=name, state="wanted", declared_generation=1)
        self._show_members()

    def _back(self, back: wire.Back) -> None:
        known = self.members.get(back.member)
        if known is not None and known.incarnation == back.incarnation and not back.error:
            self.members[back.member] = msgspec.structs.replace(known, back=True)
            self._show_members()

    def _answered(self, answers: wire.Answers) -> None:
        if answers.epoch != EPOCH:
            raise Stale(f"epoch is {EPOCH}", where="epoch")
        self.answers += answers.answers
        for answer in answers.answers:
            operation = self.operations[answer.operation]
            self.operations[operation.id] = msgspec.structs.replace(operation, answer=answer.verdict)
        self._show_operations()

    def _show_members(self) -> None:
        self._version += 1
        self._queue.put_nowait(wire.Members(version=self._version, members=tuple(self.members.values())))

    def _show_operations(self) -> None:
        self._version += 1
        shown = tuple(self.operations.values())
        self._queue.put_nowait(wire.Operations(epoch=EPOCH, version=self._version, operations=shown))

    def _wanted(self) -> wire.Wanted:
        nodes = tuple(
            wire.NodeView(name=f"node-{n}", zone=f"zone-{n}", cpus=2, memory_mib=8192) for n in range(1, self.nodes + 1)
        )
        return wire.Wanted(
            name=self.service,
            package=self.service,
            version="0.1.0",
            revision=1,
            options=dict(self.options),
            desired=self.desired,  # type: ignore[arg-type]
            bindings=dict(self.bindings),
            nodes=nodes,
            left_behind=self.left_behind,
            lost_behind=self.lost_behind,
        )

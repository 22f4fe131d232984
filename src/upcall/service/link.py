"""The link between one service and the master: the calls of the service API as methods.

A :class:`Transport` carries requests; which one (HTTP, or a master in memory) is nobody's business here. Every call
names the stream of the current subscription, so what a fenced-off host says is refused.
"""

from collections.abc import AsyncIterator
from typing import Any, Final, Literal, Protocol, TypeVar
from urllib.parse import quote

import msgspec

from upcall.protocol import service as wire
from upcall.protocol.errors import Invalid, NotFound, Stale

T = TypeVar("T")

WholeSet = Literal["members", "starts", "endpoints", "plans", "health"]

STREAM_HEADER: Final = "Upcall-Stream"
CUT_OFF: Final = "its host lost its connection to the master"
"""What a person is told of that. Streams and calls are between host and master, and mean nothing to him."""


class MasterAway(ConnectionError):
    """The master cannot be reached, or its stream broke: subscribe again."""


class Fenced(Stale):
    """Another subscription of this service is newer: what this one says is refused."""


class Transport(Protocol):
    """Carries requests to the master and its streams back."""

    def events(self, path: str) -> AsyncIterator[wire.StreamEvent]:
        """A stream, from its opening to its end. Raises :class:`MasterAway`, or what the master answered."""
        ...

    async def call(
        self, method: str, path: str, body: bytes = b"", *, stream: str = "", timeout_s: float = 30.0
    ) -> bytes:
        """One request. Raises :class:`MasterAway`, or what the master answered."""
        ...


class Link:
    """One service at its master."""

    def __init__(self, transport: Transport, service: str) -> None:
        self._transport = transport
        self._base = f"/v1/service/{quote(service, safe='')}"
        self._stream = ""

    async def events(self) -> AsyncIterator[wire.StreamEvent]:
        """The stream; its first event names it, and from then on all calls carry that name."""
        async for event in self._transport.events(f"{self._base}/stream"):
            if isinstance(event, wire.Subscribed):
                self._stream = event.stream
            yield event

    async def show(self, what: WholeSet, data: bytes) -> None:
        """A whole set, encoded: :class:`wire.Declare`, :class:`wire.Starts`, :class:`wire.Endpoints`,
        :class:`wire.Plans` or :class:`wire.Health`."""
        await self._call("PUT", what, data)

    async def credentials(self, reference: str) -> wire.Credentials | None:
        """How to log in to an endpoint of the service, or to one that it is bound to."""
        found = _decoded(await self._call("POST", "credentials", wire.AskCredentials(reference)), wire.Credentials)
        return found if found.user else None

    async def granted(self, action: str) -> str:
        """The secret that a person named in this action, while it is under way."""
        return _decoded(await self._call("POST", f"granted/{quote(action, safe='')}"), wire.Granted).value

    async def propose(self, proposal: wire.Propose) -> str:
        return _decoded(await self._call("POST", "propose", proposal), wire.Accepted).operation

    async def answer(self, answers: wire.Answers) -> None:
        await self._call("POST", "answers", answers)

    async def withdraw(self, *operations: str) -> None:
        await self._call("POST", "withdraw", wire.Withdraw(operations=operations))

    async def confirm(self, operation: str) -> None:
        """The member of this removal has left; the plan is finished."""
        await self._call("POST", f"confirm/{quote(operation, safe='')}")

    async def fail(self, operation: str, reason: str) -> None:
        """This update or upgrade goes no further."""
        await self._call("POST", f"fail/{quote(operation, safe='')}", wire.Failed(reason=reason))

    async def working(self, operation: str, said: wire.Working) -> None:
        """How far it is."""
        await self._call("POST", f"working/{quote(operation, safe='')}", said)

    async def rescale(self, wanted: wire.Rescale) -> str:
        """Another size; gives the update's id."""
        return _decoded(await self._call("POST", "rescale", wanted), wire.Accepted).operation

    async def fits(self, declared: wire.Declare) -> str:
        """Why not all of these would have a place now; empty: they would, or nobody can say it beforehand."""
        return _decoded(await self._call("POST", "fits", declared), wire.Fits).unplaced

    async def differ(self, declared: wire.Declare) -> tuple[str, ...]:
        """Which of the members that are there would start again with something else."""
        return _decoded(await self._call("POST", "differ", declared), wire.Differ).members

    async def retarget(self, *members: str) -> None:
        """They take the newest declaration over with their next start, and need no restart for it."""
        await self._call("POST", "retarget", wire.Retarget(members=members))

    async def resize(self, wish: wire.Resize) -> wire.Resized:
        """Another amount for a member that runs; asked again until it is done."""
        return _decoded(await self._call("POST", "resize", wish), wire.Resized)

    async def back(self, back: wire.Back) -> None:
        """What follows an incarnation that is ready is done, or raised."""
        await self._call("POST", "back", back)

    async def note(self, note: wire.Note) -> None:
        await self._call("POST", "notes", note)

    async def run(self, tool: wire.RunTool) -> wire.ToolResult:
        # The tool's own deadline is kept at the agent; a little more for the way there and back.
        body = exact(tool, where=tool.member)
        reply = await self._call("POST", "run", body, timeout_s=tool.timeout_s + 15.0)
        return _decoded(reply, wire.ToolResult)

    async def reply(self, action: str, reply: wire.ActionReply) -> None:
        await self._call("POST", f"replies/{quote(action, safe='')}", reply)

    async def progress(self, action: str, said: wire.ActionProgress) -> None:
        await self._call("POST", f"progress/{quote(action, safe='')}", said)

    # -- the key-value space (:class:`upcall.service.state.Keep`) ----------------------------------------------------

    async def read(self, key: str) -> tuple[Any, int]:
        try:
            entry = _decoded(await self._call("GET", f"state/{quote(key, safe='')}"), wire.StateEntry)
        except NotFound:
            return None, 0
        return entry.value, entry.version

    async def write(self, key: str, value: Any, version: int) -> int:
        body = exact(wire.StateWrite(value=msgspec.to_builtins(value), version=version), where=key)
        reply = await self._call("PUT", f"state/{quote(key, safe='')}", body)
        return _decoded(reply, wire.Accepted).version

    async def delete(self, key: str) -> None:
        _value, version = await self.read(key)
        if version:
            await self._call("DELETE", f"state/{quote(key, safe='')}?version={version}")

    async def _call(self, method: str, what: str, body: msgspec.Struct | bytes = b"", timeout_s: float = 30.0) -> bytes:
        data = body if isinstance(body, bytes) else encoded(body)
        path = f"{self._base}/{what}"
        try:
            return await self._transport.call(method, path, data, stream=self._stream, timeout_s=timeout_s)
        except Stale as error:
            if error.problem.where == STREAM_HEADER:
                raise Fenced(error.problem.message, where=STREAM_HEADER, expected=error.problem.expected) from error
            raise


def encoded(body: msgspec.Struct) -> bytes:
    """For the wire. Words of an expert's code (a reason, an error that quotes a file's name) may hold half of a
    surrogate pair, which no encoding can write: they are told with a mark in its place."""
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        return msgspec.json.encode(_with_marks(msgspec.to_builtins(body)))


def exact(body: msgspec.Struct, *, where: str) -> bytes:
    """For the wire, where another letter would be another thing (what is kept, what is run)."""
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError as error:
        raise Invalid("half of a surrogate pair is no text", where=where, expected="whole characters") from error


def _with_marks(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_with_marks(key): _with_marks(each) for key, each in value.items()}
    return [_with_marks(each) for each in value] if isinstance(value, list | tuple) else value


def _decoded(data: bytes, kind: type[T]) -> T:
    return msgspec.json.decode(data or b"{}", type=kind)

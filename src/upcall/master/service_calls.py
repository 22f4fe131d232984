"""What each call of the service API does, once it is known which service calls, on its current stream, and with what.

The door (:mod:`~upcall.master.service_api`) brings the calls in from HTTP; the test kits' master brings them in from a
service that runs beside it. Both come here.
"""

import asyncio
from secrets import token_hex
from typing import Any, Final, Protocol

import msgspec

from upcall.master import from_wire, goals, health, revisions, services, whereabouts
from upcall.master.actions import Actions
from upcall.master.credentials import credentials
from upcall.master.notify import members_event, operations_event, wanted_event
from upcall.master.secrets import NotMade, Secrets
from upcall.master.streams import Stream, Streams
from upcall.master.transaction import Transaction
from upcall.master.turning import Turning
from upcall.operations import inputs as given
from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict, Invalid, NotFound, NotNow, Problem, Stale, TooLarge, UpcallError

CONTROL_TIMEOUT_S: Final = 30.0
ANSWERS_MAX: Final = 1000
SAID: Final[dict[str, type[UpcallError]]] = {kind.code: kind for kind in (NotNow, Invalid, NotFound)}
"""What an error of a service's code is to whoever asked it; any other is a conflict with what it wants."""
TOOL_TIMEOUT_MAX_S: Final = 3600.0


class Tools(Protocol):
    """Who runs a tool beside a member."""

    async def run(self, task: str, node: str, tool: wire.RunTool) -> wire.ToolResult: ...


class ServiceCalls:
    """Subscriptions, what services say on them, and what people ask of a service."""

    def __init__(
        self, core: Turning, streams: Streams, tools: Tools, secrets: Secrets, deriving: goals.Deriving
    ) -> None:
        self.deriving = deriving
        self.core, self.streams, self.tools, self.secrets = core, streams, tools, secrets
        self.actions = Actions(core, streams)
        self._controls: dict[str, asyncio.Future[wire.ActionReply]] = {}

    # -- streams ----------------------------------------------------------------------------------------------------

    def subscribe(self, service: str) -> Stream:
        services.find(self.core, service)
        stream = self.streams.subscribe(service)

        def subscribed(tx: Transaction) -> None:
            tx.event("service", service, "its code is connected", service=service)
            self._show_all(tx, service)

        self.core.post(subscribed)
        return stream

    def show_again(self) -> None:
        """The records were read anew: whoever is subscribed sees whole sets again, on the stream that he has."""
        for service in self.streams.names():
            if service in self.core.state.services:
                self.core.post(lambda tx, service=service: self._show_all(tx, service))  # type: ignore[misc]
            else:
                self.streams.close(service)  # its install was never recorded

    def _show_all(self, tx: Transaction, service: str) -> None:
        known = services.find(self.core, service)
        tx.ledger(given.HostSubscribed(service=service))
        tx.changed.schedules[service] = None
        for event in (
            wanted_event(self.core, known),
            members_event(self.core, known),
            operations_event(self.core, service),
            *self.actions.show_again(service),
        ):
            tx.turn.after.append(lambda event=event: self.streams.send(service, event))  # type: ignore[misc]

    def unsubscribe(self, service: str, stream: Stream) -> None:
        if not self.streams.unsubscribe(service, stream) or service not in self.core.state.services:
            return

        def gone(tx: Transaction) -> None:
            tx.event("service", service, "its code is disconnected; its tasks run on", service=service)
            tx.ledger(given.HostUnsubscribed(service=service))

        self.core.post(gone)

    # -- what it declares -------------------------------------------------------------------------------------------

    async def declare(self, name: str, body: wire.Declare) -> wire.Accepted:
        return wire.Accepted(version=await self.core.turn(lambda tx: services.declare(tx, name, body)))

    async def starts(self, name: str, body: wire.Starts) -> wire.Accepted:
        await self.core.turn(lambda tx: services.start(tx, name, body))
        return wire.Accepted()

    async def endpoints(self, name: str, body: wire.Endpoints) -> wire.Accepted:
        await self.core.turn(lambda tx: services.set_endpoints(tx, name, body))
        return wire.Accepted()

    async def plans(self, name: str, body: wire.Plans) -> wire.Accepted:
        await self.core.turn(lambda tx: services.set_plans(tx, name, body))
        return wire.Accepted()

    async def health(self, name: str, body: wire.Health) -> wire.Accepted:
        await self.core.turn(lambda tx: health.seen(tx, name, body))
        return wire.Accepted()

    # -- operations -------------------------------------------------------------------------------------------------

    async def propose(self, name: str, body: wire.Propose) -> wire.Accepted:
        proposal = from_wire.proposal(name, body)
        outcome = await self.core.turn(lambda tx: tx.ledger(proposal))
        return wire.Accepted(operation=outcome.operation)

    async def answers(self, name: str, body: wire.Answers) -> wire.Accepted:
        if len(body.answers) > ANSWERS_MAX:
            raise TooLarge(f"{len(body.answers)} answers", expected=f"at most {ANSWERS_MAX}")
        item = from_wire.answers(name, body)
        try:
            await self.core.turn(lambda tx: tx.ledger(item))
        except Stale:
            # With the refusal comes the current set.
            self.streams.send(name, operations_event(self.core, name))
            raise
        return wire.Accepted()

    async def withdraw(self, name: str, body: wire.Withdraw) -> wire.Accepted:
        def take_back(tx: Transaction) -> None:
            for operation in body.operations:
                tx.ledger(given.WithdrawAnswer(service=name, operation=operation))

        await self.core.turn(take_back)
        return wire.Accepted()

    async def confirm(self, name: str, operation: str) -> wire.Accepted:
        await self.core.turn(lambda tx: tx.ledger(given.Confirm(service=name, operation=operation)))
        return wire.Accepted(operation=operation)

    async def fail(self, name: str, operation: str, body: wire.Failed) -> wire.Accepted:
        item = given.PlanFailed(service=name, operation=operation, reason=body.reason)
        await self.core.turn(lambda tx: tx.ledger(item))
        return wire.Accepted(operation=operation)

    async def working(self, name: str, operation: str, body: wire.Working) -> wire.Accepted:
        said = given.Working(service=name, operation=operation, text=body.text, share=body.share, error=body.error)
        await self.core.turn(lambda tx: tx.ledger(said))
        return wire.Accepted(operation=operation)

    async def rescale(self, name: str, body: wire.Rescale) -> wire.Accepted:
        asked = revisions.rescaled(self.core, name, body)
        derived = await goals.of_update(self.core, self.deriving, name, asked)
        who = f"{name} itself"
        return wire.Accepted(operation=await self.core.turn(lambda tx: revisions.update(tx, name, asked, who, derived)))

    def fits(self, name: str, body: wire.Declare) -> wire.Fits:
        return wire.Fits(unplaced=services.fits(self.core, name, body))

    def differ(self, name: str, body: wire.Declare) -> wire.Differ:
        return wire.Differ(members=services.differ(self.core, name, body))

    async def retarget(self, name: str, body: wire.Retarget) -> wire.Accepted:
        await self.core.turn(lambda tx: tx.ledger(given.Retarget(service=name, members=body.members)))
        return wire.Accepted()

    async def resize(self, name: str, body: wire.Resize) -> wire.Resized:
        found = await self.core.turn(lambda tx: services.resize(tx, name, body))
        return wire.Resized(state=found.state, reason=found.reason)

    async def back(self, name: str, body: wire.Back) -> wire.Accepted:
        await self.core.turn(lambda tx: tx.ledger(from_wire.back(name, body)))
        return wire.Accepted()

    async def note(self, name: str, body: wire.Note) -> wire.Accepted:
        await self.core.turn(lambda tx: services.note(tx, name, body))
        return wire.Accepted(operation=body.operation)

    # -- beside its members -----------------------------------------------------------------------------------------

    async def run(self, name: str, body: wire.RunTool) -> wire.ToolResult:
        if not 0 < body.timeout_s <= TOOL_TIMEOUT_MAX_S:
            raise Invalid(f"a timeout of {body.timeout_s} s", where="timeout_s", expected=f"up to {TOOL_TIMEOUT_MAX_S}")
        task, node = whereabouts.of_task(self.core, f"{name}.{body.member}")
        return await self.tools.run(task, node, body)

    async def credentials(self, service: str, reference: str) -> wire.Credentials:
        """How the service's own code (empty: a person) logs in to an endpoint; a password is made at its first use."""
        try:
            return credentials(self.core, self.secrets, service, reference)
        except NotMade as error:
            await asyncio.to_thread(self.secrets.make, str(error.problem.details["name"]))
            return credentials(self.core, self.secrets, service, reference)

    def granted(self, name: str, action: str) -> wire.Granted:
        """The secret that a person named in an action that goes on: to name it there is to grant it, for as long."""
        return wire.Granted(value=self.secrets.get(self.actions.secret_of(name, action)))

    # -- its own memory ---------------------------------------------------------------------------------------------

    def read_state(self, name: str, key: str) -> wire.StateEntry:
        return services.read_memory(self.core, name, key)

    async def write_state(self, name: str, key: str, body: wire.StateWrite) -> wire.StateEntry:
        return await self.core.turn(lambda tx: services.write_memory(tx, name, key, body))

    async def delete_state(self, name: str, key: str, version: int | None = None) -> wire.Accepted:
        await self.core.turn(lambda tx: services.delete_memory(tx, name, key, version))
        return wire.Accepted()

    # -- what people ask of it --------------------------------------------------------------------------------------

    async def reply(self, name: str, action: str, body: wire.ActionReply) -> wire.Accepted:
        waiting = self._controls.get(action)
        if waiting is None:
            await self.core.turn(lambda tx: self.actions.replied(tx, name, action, body))
        elif not waiting.done():
            waiting.set_result(body)
        return wire.Accepted()

    async def progress(self, name: str, action: str, body: wire.ActionProgress) -> wire.Accepted:
        await self.core.turn(lambda tx: self.actions.progressed(tx, name, action, body))
        return wire.Accepted()

    async def control(self, service: str, name: str, arguments: dict[str, Any], who: str) -> None:
        """Hands the control of a plan to the service's code and waits until that is done."""
        await self._ask(service, name, arguments, who)

    async def preview(self, service: str, revision: wire.Revision, who: str) -> wire.Preview:
        """What a revision would do, as the service's code says."""
        said = await self._ask(service, "update/preview", {"revision": msgspec.to_builtins(revision)}, who)
        return msgspec.convert(said, wire.Preview)

    async def judge(
        self, service: str, action: str, arguments: dict[str, Any], options: dict[str, Any] | None, who: str
    ) -> list[Problem]:
        """What an action would refuse, as the service's code says beforehand, each reason for itself; none: nothing is
        known against it. ``options``: under these, which are only wanted."""
        asked = {"arguments": arguments, "options": options}
        return msgspec.convert(await self._ask(service, f"check/{action}", asked, who), list[Problem])

    async def _ask(self, service: str, name: str, arguments: dict[str, Any], who: str) -> Any:
        """Hands something to the service's code and waits for its reply."""
        if not self.streams.connected(service):
            raise NotNow(f"the code of {service} is not connected", where=service, expected="its host to come back")
        action = wire.Action(id=token_hex(8), name=name, arguments=arguments, who=who)
        reply = self._controls[action.id] = asyncio.get_running_loop().create_future()
        try:
            self.streams.send(service, action)
            async with asyncio.timeout(CONTROL_TIMEOUT_S):
                replied = await reply
        except TimeoutError:
            raise NotNow(f"{service} has not answered {name!r} within {CONTROL_TIMEOUT_S:.0f} s") from None
        finally:
            del self._controls[action.id]
        if not replied.ok and (said := replied.problem) is not None:
            kind = SAID.get(said.code, Conflict)
            raise kind(said.message, where=said.where or f"{service} {name}", expected=said.expected)
        if not replied.ok:
            raise Conflict(replied.error or f"{name} failed", where=f"{service} {name}")
        return replied.result

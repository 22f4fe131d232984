"""Actions: what a person asked of a service, on record from the question to its result.

An action may take an hour (a repair) or an instant. Nobody has to hold a line open for it: it is begun in one call,
says how far it is, and its result is kept to be fetched, for the newest :data:`KEPT` of each service. It is cancelled
by another call.

It is asked at most once. When its service's code subscribes anew, it is shown again what it was asked and has not
answered: code that runs it goes on, and code that never heard of it (its host was replaced meanwhile) says so.
"""

import asyncio
import secrets
from typing import Any, Final

import msgspec

from upcall.master import records as r
from upcall.master.streams import Streams
from upcall.master.transaction import Transaction
from upcall.master.turning import Turning
from upcall.protocol import operator as view
from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict, Forbidden, NotFound, NotNow, Problem, TooLarge
from upcall.protocol.nearest import nearest

KEPT: Final = 50
"""Of a service, the newest that are over."""
UNDER_WAY_MAX: Final = 32
"""Of a service at once; the code of a service takes as many."""
RESULT_BYTES_MAX: Final = 256 << 10
"""A result is for a person to read; what is larger is data."""
REASON_CHARS_MAX: Final = 2000
PROGRESS_CHARS_MAX: Final = 300


def new_id() -> str:
    return f"act-{secrets.token_hex(4)}"


class Actions:
    """The actions of all services, and who waits for one."""

    def __init__(self, core: Turning, streams: Streams) -> None:
        self._core, self._streams = core, streams
        self._told = asyncio.Event()

    # -- what is --------------------------------------------------------------------------------------------------

    def of(self, service: str) -> list[view.ActionView]:
        """Newest first."""
        found = [one for one in self._core.state.actions.values() if one.service == service]
        return [_view(one) for one in sorted(found, key=lambda one: one.began_at, reverse=True)]

    def find(self, action: str) -> r.ActionRecord:
        known = self._core.state.actions
        if action not in known:
            raise NotFound(
                f"no action {action!r}{nearest(action, known)}",
                where="action",
                expected="one of `upcall service actions SERVICE`; the newest of each service are kept",
            )
        return known[action]

    def view_of(self, action: str) -> view.ActionView:
        return _view(self.find(action))

    async def wait(self, action: str, wait_s: float) -> view.ActionView:
        """As it is when it is over, when it says something new, or after ``wait_s``."""
        before = self.find(action)
        try:
            async with asyncio.timeout(wait_s):
                while before.state == "running" and self.find(action) == before:
                    told = self._told
                    await told.wait()
        except TimeoutError:
            pass
        return self.view_of(action)

    async def until_over(self, action: str, within_s: float) -> view.ActionView:
        until_s = self._core.monotonic() + within_s
        while (left_s := until_s - self._core.monotonic()) > 0 and self.find(action).state == "running":
            await self.wait(action, left_s)
        return self.view_of(action)

    # -- what a person asks ---------------------------------------------------------------------------------------

    async def begin(
        self, service: str, name: str, arguments: dict[str, Any], who: str, *, patience_s: float = 0.0
    ) -> view.ActionView:
        if not self._streams.connected(service):
            raise NotNow(f"the code of {service} is not connected", where=service, expected="its host to come back")
        running = [one for one in self._core.state.actions.values() if one.service == service and not one.ended_at]
        if len(running) >= UNDER_WAY_MAX:
            raise Conflict(f"{UNDER_WAY_MAX} actions of {service} are under way", where=service, expected="fewer")
        return _view(
            await self._core.turn(lambda tx: self.begun(tx, new_id(), service, name, arguments, who, patience_s))
        )

    def begun(
        self,
        tx: Transaction,
        action: str,
        service: str,
        name: str,
        arguments: dict[str, Any],
        who: str,
        patience_s: float = 0.0,
    ) -> r.ActionRecord:
        """On record, and sent to its service once that is durable."""
        record = r.ActionRecord(
            id=action,
            service=service,
            name=name,
            who=who,
            began_at=tx.wall_s,
            arguments=arguments if self._goes_on(service, name) else {},
            patience_s=patience_s,
        )
        asked = wire.Action(id=record.id, name=name, arguments=arguments, who=who, patience_s=patience_s)
        self._put(tx, record)
        self._forget_old(tx, service)
        tx.event("action", service, f"{who}: {name} ({record.id})", service=service, action=name, id=record.id)
        tx.turn.after.append(lambda: self._streams.send(service, asked))
        return record

    def connected(self, service: str) -> bool:
        """Its code is there, and hears what it is asked."""
        return self._streams.connected(service)

    async def cancel(self, action: str, who: str) -> view.ActionView:
        record = self.find(action)
        if record.state != "running":
            raise Conflict(f"{record.name} of {record.service} is {record.state} already", where=action)
        asked = msgspec.structs.replace(record, cancelled_by=record.cancelled_by or who)
        if not self._streams.connected(record.service):
            gone = f"cancelled by {who}; the code of {record.service} is not connected: what it began may go on"
            asked = msgspec.structs.replace(asked, state="cancelled", error=gone, ended_at=self._core.wall())

        def cancelled(tx: Transaction) -> None:
            self._put(tx, asked)
            tx.event("action", record.service, f"{who} cancels {record.name} ({action})", service=record.service)
            tx.turn.after.append(lambda: self._streams.send(record.service, wire.CancelAction(id=action)))

        await self._core.turn(cancelled)
        return _view(asked)

    # -- what its service says ------------------------------------------------------------------------------------

    def show_again(self, service: str) -> list[wire.StreamEvent]:
        """To a new subscription: what it has not answered."""
        events: list[wire.StreamEvent] = []
        for one in self._core.state.actions.values():
            if one.service == service and one.state == "running":
                shown = wire.Action(
                    id=one.id,
                    name=one.name,
                    arguments=one.arguments,
                    who=one.who,
                    again=True,
                    patience_s=one.patience_s,
                )
                events.append(shown)
                events += [wire.CancelAction(id=one.id)] if one.cancelled_by else []
        return events

    def replied(self, tx: Transaction, service: str, action: str, reply: wire.ActionReply) -> None:
        """The first reply counts; one to an action that is not on record (any more) is of no use to anybody."""
        record = self._core.state.actions.get(action)
        if record is None or record.service != service or record.state != "running":
            return
        result, error = reply.result, reply.error[:REASON_CHARS_MAX]
        if reply.ok and len(msgspec.json.encode(result)) > RESULT_BYTES_MAX:
            result, error = None, f"it is done; its result is larger than {RESULT_BYTES_MAX >> 10} KiB and is not kept"
        if not reply.ok and not error:
            error = "no reason was given"
        state = "cancelled" if reply.cancelled else "done" if reply.ok else "failed"
        if state == "cancelled" and record.cancelled_by:
            error = f"cancelled by {record.cancelled_by}"
        self._put(
            tx,
            msgspec.structs.replace(
                record,
                state=state,
                result=result,
                error=error,
                problem=_short(reply.problem) if reply.problem is not None and state == "failed" else None,
                ended_at=self._core.wall(),
            ),
        )
        words = f"{record.name} ({action}) {state}" + (f": {error}" if error else "")
        tx.event("action", service, words, service=service, action=record.name, id=action, state=state)

    def progressed(self, tx: Transaction, service: str, action: str, said: wire.ActionProgress) -> None:
        record = self._core.state.actions.get(action)
        if record is None or record.service != service or record.state != "running":
            return
        if len(said.text) > PROGRESS_CHARS_MAX:
            raise TooLarge(f"{len(said.text)} characters", where="text", expected=f"at most {PROGRESS_CHARS_MAX}")
        self._put(tx, msgspec.structs.replace(record, progress=said.text, share=said.share))

    def secret_of(self, service: str, action: str) -> str:
        """Name of the secret that was named in an action of this service that is under way. Nobody's own one: what
        another service logs in with is not a person's to hand out here."""
        record = self._core.state.actions.get(action)
        name = str(record.arguments.get("secret", "")) if record is not None else ""
        if record is None or record.service != service or record.state != "running" or not name:
            raise Forbidden(f"no secret was named in {action!r}", where=service)
        owner = name.partition(".")[0]
        if owner != service and owner in self._core.state.services:
            raise Forbidden(f"{name!r} is a secret of {owner}'s own", where="secret", expected="one of a person's own")
        return name

    def _goes_on(self, service: str, name: str) -> bool:
        record = self._core.state.services[service].record
        package = self._core.state.packages.find(record.package, record.version)
        return any(action.goes_on for action in package.actions if action.name == name)

    # -- records --------------------------------------------------------------------------------------------------

    def _put(self, tx: Transaction, record: r.ActionRecord) -> None:
        tx.core.state.actions[record.id] = record
        tx.put(r.ACTION, record.id, record)
        if record.state != "running":
            tx.changed.schedules[record.service] = None
        tx.turn.after.append(self._tell)

    def _tell(self) -> None:
        told, self._told = self._told, asyncio.Event()
        told.set()

    def _forget_old(self, tx: Transaction, service: str) -> None:
        over = [one for one in tx.core.state.actions.values() if one.service == service and one.ended_at]
        for one in sorted(over, key=lambda one: one.ended_at)[:-KEPT]:
            del tx.core.state.actions[one.id]
            tx.delete(r.ACTION, one.id)


def _short(problem: Problem) -> Problem:
    message, where, expected = (
        words[:REASON_CHARS_MAX] for words in (problem.message, problem.where, problem.expected)
    )
    return Problem(code=problem.code, message=message, where=where, expected=expected)


def _view(record: r.ActionRecord) -> view.ActionView:
    problem = record.problem
    known = msgspec.structs.asdict(record) | {
        "problem": None if problem is None else msgspec.structs.asdict(problem),
        "waiting_helps": problem is not None and problem.code == NotNow.code,
    }
    return view.ActionView.model_validate(known)

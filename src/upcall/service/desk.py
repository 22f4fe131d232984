"""The desk: what people ask of a service, and the answer to each.

Actions of the service itself, and the controls of its plan (``plan/pause``, ``plan/resume``, ``plan/force``,
``plan/restart``). Every action is answered, by its result or by one clear error; until then it may say how far
it is, and be cancelled.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, get_args

import msgspec
from msgspec.structs import replace

from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict, Invalid, NotFound, NotNow, UpcallError
from upcall.service import faults
from upcall.service.actions import action_named, actions_of
from upcall.service.attempts import in_words
from upcall.service.comparing import with_options
from upcall.service.course import Course
from upcall.service.interrupted import CONNECTIONS, Patience, Present
from upcall.service.link import CUT_OFF, Fenced, Link, MasterAway, exact
from upcall.service.member import ToolFailed
from upcall.service.options import reasons, validated
from upcall.service.plan_inputs import Verb
from upcall.service.previewing import preview
from upcall.service.service import Service
from upcall.service.telling import Words, asked, telling

ACTIONS_MAX: Final = 32
"""Actions of one service at once; more are refused, not queued."""
REPLIES_KEPT: Final = 100
REPLY_TRIES: Final = 30
REPLY_PAUSE_S: Final = 1.0
PREVIEW: Final = "update/preview"
CHECK: Final = "check/"
CHECK_S: Final = 20.0
"""For so long the check of an action may look."""
CONTROLLED: Final = ("deploy", "update")
"""Plans that a person can hold and go on with."""


class Desk:
    """Answers the actions of one service."""

    def __init__(
        self,
        service: Service,
        link: Link,
        control: Callable[[str, Verb, str], None],
        changed: Callable[[], None],
        spawn: Callable[[Coroutine[Any, Any, object], str], object],
        last_change: Callable[[], Course | None],
    ) -> None:
        self._service = service
        self._link = link
        self._control = control
        self._changed = changed
        self._last_change = last_change
        self._under_way: dict[str, asyncio.Task[wire.ActionReply]] = {}
        self._replies: dict[str, wire.ActionReply] = {}
        """The newest, for a master that did not hear them."""
        self._unwanted: set[str] = set()
        """Called off before they began here."""
        self._words = Words(self._progress, spawn)

    async def act(self, action: wire.Action) -> None:
        """Calls it, and replies; once, however often it is shown."""
        if action.id in self._under_way:
            return
        if action.id in self._replies:
            await self._send(action, self._replies[action.id])
            return
        reply = await self._called(action)
        self._replies[action.id] = reply
        while len(self._replies) > REPLIES_KEPT:
            del self._replies[next(iter(self._replies))]
        await self._send(action, reply)
        self._changed()  # what pods() gives may have changed

    async def refuse(self, action: wire.Action, why: str) -> None:
        """Its code cannot be asked."""
        await self._send(action, wire.ActionReply(ok=False, error=why))

    def cancel(self, action: str) -> None:
        """A person wants it no more. Its method hears of it as of any cancellation, and may put away what it must."""
        if task := self._under_way.get(action):
            task.cancel()
        elif action not in self._replies:
            self._unwanted.add(action)  # Both are shown at once to a host that has just come.

    async def _progress(self, action: str, text: str, share: float | None) -> None:
        await self._link.progress(action, wire.ActionProgress(text=text, share=share))

    async def _called(self, action: wire.Action) -> wire.ActionReply:
        if action.again and not self._goes_on(action.name):
            gone = "its host was replaced while it ran, or before: whether it was done is not known"
            return wire.ActionReply(ok=False, error=gone)
        if len(self._under_way) >= ACTIONS_MAX:
            return wire.ActionReply(ok=False, error=f"{ACTIONS_MAX} actions are under way; ask again later")
        if action.id in self._unwanted:
            self._unwanted.discard(action.id)
            return wire.ActionReply(ok=False, error="cancelled", cancelled=True)
        task = self._under_way[action.id] = asyncio.create_task(self._reply(action))
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()  # with whoever waits for it
            del self._under_way[action.id]
        return wire.ActionReply(ok=False, error="cancelled", cancelled=True) if task.cancelled() else task.result()

    def _goes_on(self, name: str) -> bool:
        known = actions_of(type(self._service)).get(name)
        return known is not None and known.goes_on

    async def _send(self, action: wire.Action, reply: wire.ActionReply) -> None:
        """To this subscription; on the next one the master shows again what it did not hear."""
        for _ in range(REPLY_TRIES):
            try:
                await self._link.reply(action.id, reply)
                return
            except NotNow:
                await asyncio.sleep(REPLY_PAUSE_S)
            except (UpcallError, MasterAway) as error:
                self._service.log.warning("the reply to action %s was not heard: %s", action.name, error)
                return

    async def _reply(self, action: wire.Action) -> wire.ActionReply:
        """What cannot be done now is tried again for as long as whoever asked has patience, and says why it waits. One
        that goes on waits for what broke it off, too."""
        loop, goes_on = asyncio.get_running_loop(), self._goes_on(action.name)
        patience = Patience(action.patience_s, loop.time(), goes_on=goes_on, begun=action.again)
        present = Present(lambda: self._service._context.members)

        def tell(text: str, share: float | None) -> None:
            patience.heard(text, share)
            self._words.tell(action.id, text, share)

        telling.set(tell)
        asked.set(action.id)
        while True:
            present.begin()
            reply, error = await self._tried(action)
            if error is None:
                return reply
            if goes_on and not isinstance(error, NotNow):
                reply = await self._broken_off(reply, error, present)
            if reply.problem is None or reply.problem.code != NotNow.code:
                return reply
            if (pause_s := patience.pause_s(loop.time())) is None:
                return reply
            self._words.tell(action.id, f"not now: {reply.problem.message}; tried again in {pause_s:.0f} s", None)
            await asyncio.sleep(pause_s)

    @staticmethod
    async def _broken_off(reply: wire.ActionReply, error: Exception, present: Present) -> wire.ActionReply:
        """Not now, where something was away. What its code says in words of its own counts at once."""
        own_words = isinstance(error, UpcallError) and not isinstance(error, ToolFailed)
        away = isinstance(error, CONNECTIONS)
        gone = present.gone() if away or own_words else await present.gone_soon()
        if not gone and not away:
            return reply
        words = reply.problem.message if reply.problem is not None else reply.error
        passes = NotNow(f"{', '.join(gone)} went away: {words}" if gone else words)
        return wire.ActionReply(ok=False, error=str(passes), problem=passes.problem)

    async def _tried(self, action: wire.Action) -> tuple[wire.ActionReply, Exception | None]:
        """The reply, and what it is made of where it is none of the action's own."""
        try:
            return wire.ActionReply(ok=True, result=await self._result(action)), None
        except (Fenced, MasterAway) as error:
            self._service.log.warning("action %s: %s", action.name, error)
            unknown = "" if self._goes_on(action.name) else " while it ran: whether it was done is not known"
            return wire.ActionReply(ok=False, error=f"{CUT_OFF}{unknown}"), error
        except UpcallError as error:
            return wire.ActionReply(ok=False, error=str(error), problem=replace(error.problem, details={})), error
        except TimeoutError as error:
            late = in_words(error) if str(error) else f"{action.name} did not end within its {self._time_s(action):g} s"
            return wire.ActionReply(ok=False, error=late), error
        except ConnectionError as error:
            self._service.log.warning("action %s: %s", action.name, in_words(error))
            return wire.ActionReply(ok=False, error=in_words(error)), error
        except Exception as error:
            self._service.log.exception("action %s", action.name)
            return wire.ActionReply(ok=False, error=faults.words(error, type(self._service))), error

    def _time_s(self, action: wire.Action) -> float:
        return CHECK_S if action.name.startswith(CHECK) else action_named(type(self._service), action.name).timeout_s

    async def _result(self, action: wire.Action) -> Any:
        if action.name.startswith("plan/"):
            return self._controlled(action)
        if action.name == PREVIEW:
            revision = msgspec.convert(action.arguments["revision"], wire.Revision)
            return msgspec.to_builtins(await preview(self._service, revision, self._last_change()))
        if action.name.startswith(CHECK):
            return await self._judge(action.name.removeprefix(CHECK), action.arguments)
        known = action_named(type(self._service), action.name)
        async with asyncio.timeout(known.timeout_s):
            result = await known.call(self._service, action.arguments)
        plain = msgspec.to_builtins(result, enc_hook=_plain)
        exact(wire.ActionReply(ok=True, result=plain), where=action.name)
        return plain

    async def _judge(self, name: str, given: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What an action would refuse, each reason for itself; none: nothing is known against it. Under options that
        are only wanted, a copy that has them is asked."""
        service, options = self._service, given.get("options")
        if options is not None:
            service = with_options(service, validated(service.Options, options, where=service.name))
        try:
            async with asyncio.timeout(CHECK_S):
                await action_named(type(service), name).judge(service, given.get("arguments", {}))
        except (Conflict, Invalid, NotFound) as refused:
            return [msgspec.to_builtins(one) for one in reasons(refused)]
        return []

    def _controlled(self, action: wire.Action) -> None:
        given = action.arguments
        plan = given.get("plan", "deploy")
        if plan not in CONTROLLED:
            known = "recovery and uninstall only show operations; ask of those"
            raise NotFound(f"no plan {plan!r} that can be controlled", expected=f"{' or '.join(CONTROLLED)} ({known})")
        verb = action.name.removeprefix("plan/")
        if verb not in get_args(Verb):
            raise Invalid(f"a plan cannot {verb!r}", expected=", ".join(get_args(Verb)))
        if given.get("step") and not given.get("phase"):
            raise Invalid(f"step {given['step']!r} needs its phase", where=f"plan {plan}")
        path = "/".join(part for part in (given.get("phase", ""), given.get("step", "")) if part)
        self._service.log.info("%s: %s plan %s %s", action.who or "somebody", verb, plan, path)
        self._control(plan, verb, path)  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    """What an action returned, for JSON: pydantic models too."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"an action's result has a {type(value).__name__} in it, which is no JSON")

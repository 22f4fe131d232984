"""The desk: what people ask of a service, and the answer to each.

Actions of the service itself, and the controls of its plan (``plan/pause``, ``plan/resume``, ``plan/force``,
``plan/restart``). Every action is answered, by its result or by one clear error.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, get_args

import msgspec

from upcall.protocol import service as wire
from upcall.protocol.errors import Invalid, NotFound, UpcallError
from upcall.service.actions import action_named
from upcall.service.attempts import in_words
from upcall.service.link import Link, MasterAway
from upcall.service.plan_inputs import Verb
from upcall.service.service import Service

ACTIONS_MAX: Final = 32
"""Actions of one service at once; more are refused, not queued."""


class Desk:
    """Answers the actions of one service."""

    def __init__(
        self,
        service: Service,
        link: Link,
        control: Callable[[Verb, str], None],
        changed: Callable[[], None],
    ) -> None:
        self._service = service
        self._link = link
        self._control = control
        self._changed = changed
        self._under_way: set[str] = set()

    async def act(self, action: wire.Action) -> None:
        """Calls it, and replies."""
        if action.id in self._under_way:
            return
        if len(self._under_way) >= ACTIONS_MAX:
            reply = wire.ActionReply(ok=False, error=f"{ACTIONS_MAX} actions are under way; ask again later")
        else:
            self._under_way.add(action.id)
            try:
                reply = await self._reply(action)
            finally:
                self._under_way.discard(action.id)
        try:
            await self._link.reply(action.id, reply)
        except (UpcallError, MasterAway) as error:
            self._service.log.warning("the reply to action %s was lost: %s", action.name, error)
        self._changed()  # what pods() gives may have changed

    async def _reply(self, action: wire.Action) -> wire.ActionReply:
        try:
            return wire.ActionReply(ok=True, result=await self._result(action))
        except UpcallError as error:
            return wire.ActionReply(ok=False, error=str(error))
        except TimeoutError:
            return wire.ActionReply(ok=False, error=f"{action.name} did not end in its time")
        except Exception as error:
            self._service.log.exception("action %s", action.name)
            return wire.ActionReply(ok=False, error=in_words(error))

    async def _result(self, action: wire.Action) -> Any:
        if action.name.startswith("plan/"):
            return self._controlled(action)
        known = action_named(type(self._service), action.name)
        async with asyncio.timeout(known.timeout_s):
            result = await known.call(self._service, action.arguments)
        return msgspec.to_builtins(result, enc_hook=_plain)

    def _controlled(self, action: wire.Action) -> None:
        given = action.arguments
        if given.get("plan", "deploy") != "deploy":
            known = "recovery and uninstall only show operations; ask of those"
            raise NotFound(f"no plan {given.get('plan')!r} that can be controlled", expected=f"deploy ({known})")
        verb = action.name.removeprefix("plan/")
        if verb not in get_args(Verb):
            raise Invalid(f"a plan cannot {verb!r}", expected=", ".join(get_args(Verb)))
        if given.get("step") and not given.get("phase"):
            raise Invalid(f"step {given['step']!r} needs its phase", where="plan deploy")
        path = "/".join(part for part in (given.get("phase", ""), given.get("step", "")) if part)
        self._service.log.info("%s: %s plan deploy %s", action.who or "somebody", verb, path)
        self._control(verb, path)  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    """What an action returned, for JSON: pydantic models too."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"an action's result has a {type(value).__name__} in it, which is no JSON")

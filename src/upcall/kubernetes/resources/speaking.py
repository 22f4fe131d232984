"""Carries what the core asks for, and tells it what it hears: resources are watched, the master's events are followed.
Nothing is decided here, and nothing polled.

While nothing happens each kind of service costs one call in 20 to 30 minutes: the server ends its watch, and it is
taken up again.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Final

from upcall.kubernetes.resources import calls
from upcall.kubernetes.resources.calls import Answer, Call, Done, Refused, ToMaster, ToServer
from upcall.kubernetes.resources.catalog import names
from upcall.kubernetes.resources.core import Core
from upcall.kubernetes.resources.kinds import OPERATION, VERSION, served
from upcall.kubernetes.resources.operator import Operator
from upcall.kubernetes.resources.reading import Picture
from upcall.protocol.errors import NotNow
from upcall.substrate.kubernetes.client import watching
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import ApiError, Forbidden, NotFound
from upcall.substrate.kubernetes.client.kinds import Kind
from upcall.substrate.kubernetes.evictions.objects import GROUP
from upcall.substrate.kubernetes.names import MANAGED_BY, MANAGER

log = logging.getLogger(__name__)

AT_ONCE_MAX: Final = 4
SETTLE_S: Final = 0.3
"""Changes that come together are one picture."""
SHARE: Final = 5.0
"""A picture of a large cluster takes its time to make: so many times as long the next one is not asked for."""
AGAIN_S: Final = 1.0
AGAIN_MAX_S: Final = 10.0
LOOKED_FOR_AGAIN_S: Final = 600.0
"""A kind that is not there, or that we may not see."""


class Resources:
    def __init__(self, api: Api, namespace: str, operator: Operator) -> None:
        self._api, self._namespace, self._operator = api, namespace, operator
        self._asked: asyncio.Queue[Call] = asyncio.Queue()
        self._old, self._changed = asyncio.Event(), asyncio.Event()
        self.core: Core

    async def run(self) -> None:
        """Until cancelled."""
        await self._until_registered()
        kinds = served(names())
        self.core = Core(kinds, self._namespace, time.time)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_all(group, kinds))
            group.create_task(self._follow())
            group.create_task(self._wake())
            for _ in range(AT_ONCE_MAX):
                group.create_task(self._carry())

    async def _until_registered(self) -> None:
        """Before its packages are known to the master, each resource would be refused."""
        while True:
            with contextlib.suppress(NotNow):
                if (await self._operator.get("/v1/status")).get("packages_registered"):
                    return
            await asyncio.sleep(AGAIN_S)

    # -- the API server ---------------------------------------------------------------------------------------------

    async def _watch_all(self, group: asyncio.TaskGroup, kinds: Mapping[Kind, str]) -> None:
        """Those that there are: who installed us may have left some out."""
        missing = {kind.plural: kind for kind in (*kinds, OPERATION)}
        while missing:
            try:
                there = await self._api.connection.call("GET", f"/apis/{GROUP}/{VERSION}")
            except ApiError as error:
                log.warning("it is not known which kinds there are: %s", error.message)
                await asyncio.sleep(AGAIN_MAX_S)
                continue
            for one in there.get("resources") or ():
                if (kind := missing.pop(one["name"], None)) is not None:
                    group.create_task(self._list_operations() if kind is OPERATION else self._watch(kind))
            if missing:
                log.warning("there is no kind %s; looked for again", ", ".join(missing))
                await asyncio.sleep(LOOKED_FOR_AGAIN_S)

    async def _watch(self, kind: Kind) -> None:
        await self._until_allowed(kind)
        async with contextlib.aclosing(watching.watch(self._api, kind, self._namespace)) as events:
            async for event in events:
                match event:
                    case watching.Listed(objects):
                        self._hear(calls.Listed(kind, objects))
                    case watching.Changed(obj):
                        self._hear(calls.Changed(kind, obj))
                    case watching.Removed(obj):
                        self._hear(calls.Removed(kind, obj))
                    case watching.Away(reason):
                        log.warning("%s are not heard: %s", kind.plural, reason)

    async def _until_allowed(self, kind: Kind) -> None:
        while True:
            try:
                await self._api.list(kind, self._namespace)
                return
            except Forbidden as error:
                log.warning("%s are not looked at: %s", kind.plural, error.message)
                await asyncio.sleep(LOOKED_FOR_AGAIN_S)
            except ApiError:
                return  # whoever watches waits it out

    async def _list_operations(self) -> None:
        """What an earlier leader has mirrored. Only we write them, so nobody watches."""
        await self._until_allowed(OPERATION)
        while True:
            try:
                found = await self._api.list(OPERATION, self._namespace, labels=f"{MANAGED_BY}={MANAGER}")
            except ApiError as error:
                log.warning("operations are not shown yet: %s", error.message)
                await asyncio.sleep(AGAIN_MAX_S)
            else:
                self._hear(calls.Listed(OPERATION, found.objects))
                return

    def _hear(self, event: calls.Event) -> None:
        self._send(self.core.heard(event, time.monotonic()))

    # -- the master -------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        again_s = AGAIN_S
        while True:
            try:
                since = await self._look()
                again_s = AGAIN_S
                await self._until_broken(since)
            except NotNow as error:
                log.info("the master is not heard: %s", error)
            await asyncio.sleep(again_s)
            again_s = min(again_s * 2, AGAIN_MAX_S)

    async def _until_broken(self, since: int) -> None:
        """The stream, or what is asked because of it."""
        tasks = [asyncio.create_task(self._hear_of_events(since)), asyncio.create_task(self._look_again())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _hear_of_events(self, since: int) -> None:
        async with contextlib.aclosing(self._operator.happened(since)) as events:
            async for _ in events:
                self._old.set()

    async def _look_again(self) -> None:
        took_s = 0.0
        while True:
            await self._old.wait()
            await asyncio.sleep(max(SETTLE_S, SHARE * took_s))
            self._old.clear()
            began_s = time.monotonic()
            await self._look()
            took_s = time.monotonic() - began_s

    async def _look(self) -> int:
        """The number of the newest event in it."""
        answers = self.core.answers
        said = await self._operator.get("/v1/status")
        if answers != self.core.answers:
            self._old.set()  # It was overtaken by an answer.
        self._send(self.core.shown(Picture.of(said), answers, time.monotonic()))
        return int(said.get("event_sequence") or 0)

    # -- calls ------------------------------------------------------------------------------------------------------

    def _send(self, wanted: list[Call]) -> None:
        for call in wanted:
            self._asked.put_nowait(call)
        self._changed.set()

    async def _carry(self) -> None:
        while True:
            call = await self._asked.get()
            answer = await self._operator.answer(call) if isinstance(call, ToMaster) else await self._write(call)
            self._send(self.core.answered(call, answer, time.monotonic()))

    async def _write(self, call: ToServer) -> Answer:
        body, namespace = dict(call.body), self._namespace
        try:
            if call.verb == "create":
                return Done(await self._api.create(call.kind, body, namespace))
            if call.verb == "merge":
                return Done(await self._api.merge(call.kind, call.name, body, namespace, part=call.part))
            await self._api.delete(call.kind, call.name, namespace)
            return Done({})
        except NotFound as error:
            return Done({}) if call.verb == "delete" else Refused("404", error.message)
        except ApiError as error:
            if error.status not in (0, 404, 409):
                log.warning("%s %s: %s", call.kind.plural, call.name, error.message)
            return Refused(str(error.status or ""), error.message)

    async def _wake(self) -> None:
        """When a pause is over."""
        while True:
            self._changed.clear()
            now_s = time.monotonic()
            deadline_s = self.core.deadline(now_s)
            try:
                async with asyncio.timeout(None if deadline_s is None else max(deadline_s - now_s, 0.05)):
                    await self._changed.wait()
            except TimeoutError:
                self._send(self.core.woken(time.monotonic()))

"""Between the core and an API server: its requests become calls, their answers and all that is watched go back to it.

Nothing is decided here. A request that has no answer is answered as such; each kind is watched for as long as this
runs. One of these serves one life of the core: answers are numbered, and those of a life before mean nothing to the
next.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from upcall.substrate.interface import Output, Send
from upcall.substrate.kubernetes import names
from upcall.substrate.kubernetes.client import kinds
from upcall.substrate.kubernetes.client import watching as client
from upcall.substrate.kubernetes.client.api import MANAGER, Api
from upcall.substrate.kubernetes.client.errors import ApiError, Forbidden
from upcall.substrate.kubernetes.evictions.objects import DISRUPTION
from upcall.substrate.kubernetes.objects import KINDS, OTHERS, Kind
from upcall.substrate.kubernetes.requests import (
    Answer,
    Apply,
    Changed,
    Create,
    Delete,
    Done,
    Event,
    Listed,
    Merge,
    Refused,
    Removed,
    Request,
)
from upcall.substrate.kubernetes.substrate import KubernetesSubstrate

log = logging.getLogger(__name__)

ALLOWED_AGAIN_S: Final = 600.0
"""Somebody may give the right to it."""
AT_ONCE_MAX: Final = 16
"""Calls under way; the server shares itself among all that ask, and lets us wait beyond that anyway."""
OURS: Final = f"{names.MANAGED_BY}={names.MANAGER}"
SERVED: Final[dict[Kind, kinds.Kind]] = {
    "Pod": kinds.POD,
    "Node": kinds.NODE,
    "PersistentVolumeClaim": kinds.CLAIM,
    "Service": kinds.SERVICE,
    "Disruption": DISRUPTION,
    "PodDisruptionBudget": kinds.BUDGET,
    "StatefulSet": kinds.STATEFUL_SET,
    "Deployment": kinds.DEPLOYMENT,
}
OURS_ALONE: Final[frozenset[Kind]] = frozenset({"PersistentVolumeClaim", "Service"})
"""Kinds of which we look at our own. Of all others anybody's: a pod of somebody else's may be one that is followed."""

Take = Callable[[Callable[[float], Output]], None]
"""One call of the core, in a turn that is given its time (:meth:`upcall.substrate.machines.Master.take`)."""


class Speaker:
    def __init__(self, api: Api, namespace: str, core: KubernetesSubstrate, take: Take) -> None:
        self._api, self._namespace, self._core, self._take = api, namespace, core, take
        # What one control plane says of a node is not taken back by another one, which says nothing of it.
        self._of_nodes = Api(api.connection, manager=f"{MANAGER}-{namespace}")
        self._asked: asyncio.Queue[Request] = asyncio.Queue()
        self.away: dict[Kind, str] = {}
        """Kinds that cannot be heard at the moment, and why."""

    def send(self, send: Send) -> None:
        """After the commit. What is asked while nobody runs this is asked when somebody does."""
        self._asked.put_nowait(send.message)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind in KINDS:
                group.create_task(self._watch(kind))
            for _ in range(AT_ONCE_MAX):
                group.create_task(self._ask())

    async def _watch(self, kind: Kind) -> None:
        if kind in OTHERS:
            await self._until_allowed(kind)
        labels = OURS if kind in OURS_ALONE else ""
        async with contextlib.aclosing(client.watch(self._api, SERVED[kind], self._namespace, labels=labels)) as events:
            async for event in events:
                match event:
                    case client.Away(reason):
                        self.away[kind] = reason
                    case client.Back():
                        self.away.pop(kind, None)
                    case client.Listed(objects, version):
                        self._hear(Listed(kind, objects, int(version)))
                    case client.Changed(obj):
                        self._hear(Changed(kind, obj))
                    case client.Removed(obj):
                        self._hear(Removed(kind, obj))

    async def _until_allowed(self, kind: Kind) -> None:
        """What is somebody else's may be none of our business: then its care is not, and nothing else is missing."""
        while True:
            try:
                await self._api.list(SERVED[kind], self._namespace)
            except Forbidden as refused:
                if kind not in self.away:
                    log.warning("workloads of others are not looked at: %s", refused.message)
                self.away[kind] = refused.message
                await asyncio.sleep(ALLOWED_AGAIN_S)
            except ApiError:
                return  # whoever watches waits it out
            else:
                self.away.pop(kind, None)
                return

    def _hear(self, event: Event) -> None:
        self._take(lambda now_s: self._core.heard(event, now_s))

    async def _ask(self) -> None:
        while True:
            request = await self._asked.get()
            answer = await self._answer(request)
            self._tell(request.number, answer)

    def _tell(self, number: int, answer: Answer) -> None:
        self._take(lambda now_s: self._core.answered(number, answer, now_s))

    async def _answer(self, request: Request) -> Answer:
        try:
            return await self._call(request)
        except ApiError as error:
            return Refused(error.status, error.message, error.wait_s)

    async def _call(self, request: Request) -> Done:
        kind, namespace = SERVED[request.kind], self._namespace
        match request:
            case Create(object=obj):
                return Done(await self._api.create(kind, dict(obj), namespace))
            case Apply(object=obj, part=part):
                api = self._of_nodes if kind is kinds.NODE else self._api
                return Done(await api.apply(kind, dict(obj), namespace, part=part, force=True))
            case Merge(name=name, change=change, part=part):
                return Done(await self._api.merge(kind, name, change, namespace, part=part))
            case Delete(name=name, uid=uid, grace_s=grace_s):
                await self._api.delete(kind, name, namespace, uid=uid, grace_s=grace_s)
                return Done()

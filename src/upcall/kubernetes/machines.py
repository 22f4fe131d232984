"""Implements :class:`upcall.substrate.machines.Machines` for the nodes and pods of a Kubernetes cluster.

All that runs here is carried by one task, which dials out: it sees to what the cluster must know of us (the kind
``Disruption``, the floor below evictions), carries what the core asks and what is watched, and serves the webhook.
Whatever of it fails is begun again after a pause; nothing is decided by its being away.

A core lives as long as what the master has read. When that is read anew there is a new core, and the stream of a new
:class:`~upcall.substrate.kubernetes.speaking.Speaker` begins with everything that there is; what an older one still
hears is nobody's any more.

Our part in the pods (:mod:`upcall.kubernetes.pod`) dials in at a door of its own (:mod:`door`). Logs, tools and figures
are asked of it; while it is not connected they say so, and the tasks run on.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, Final

from fastapi import APIRouter

from upcall.cluster.folder import Cluster, DataFolder
from upcall.kubernetes.definitions import define
from upcall.kubernetes.door import PodDoor
from upcall.kubernetes.identities import Identities
from upcall.kubernetes.installing import objects
from upcall.kubernetes.kinds_there import KindsThere
from upcall.kubernetes.rights import Own
from upcall.kubernetes.settings import Evictions, Pods, load
from upcall.protocol import agent as wire
from upcall.protocol.errors import Conflict, NotNow
from upcall.protocol.operator import AddNode
from upcall.protocol.service import RunTool, ToolResult
from upcall.substrate.connections import Agents
from upcall.substrate.interface import Output, Send, VolumeSet
from upcall.substrate.kubernetes.certificates.keeping import Keeper
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.errors import ApiError, TooMany, Unreachable
from upcall.substrate.kubernetes.client.kinds import BUDGET, CONFIG_MAP, Object
from upcall.substrate.kubernetes.evictions.objects import (
    DISRUPTION,
    PATH,
    by_service,
    definition,
    floor,
    of_namespace,
)
from upcall.substrate.kubernetes.evictions.requests import Responder
from upcall.substrate.kubernetes.evictions.serving import STANDS_IN, Webhook, serving, telling
from upcall.substrate.kubernetes.manifest import TRUST
from upcall.substrate.kubernetes.speaking import Speaker
from upcall.substrate.kubernetes.substrate import KubernetesSubstrate
from upcall.substrate.machines import Master, Usage

log = logging.getLogger(__name__)

AGAIN_S: Final = 5.0
KNOWN_AGAIN_S: Final = 0.5
"""The API server takes up a new kind in its own time."""
CALLED: Final = "our part in the pod of {}"
NO_DOOR: Final = "nobody answers our part in the pods, for there is no `pods` in kubernetes.json"
OUT_OF_SERVICE: Final = "kubectl taint node {} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"


class KubernetesMachines:
    def __init__(self, folder: DataFolder, cluster: Cluster, master: Master) -> None:
        settings = load(folder)
        self._settings, self._pods, self._master = settings, settings.of_pods(cluster), master
        self._connection = Connection(settings.login())
        self._api = Api(self._connection)
        self.agents = Agents(CALLED)
        identities = Identities(self._api, settings.namespace, lambda *pod: self.core.whose(*pod), master.monotonic)
        self._door = PodDoor(cluster.cluster, self.agents, master, identities, lambda: self.core, self._take)
        rights = objects.rights(settings.namespace)
        self._rights = Own(self._api, rights, self._alert, self._allowed_again)
        self._connection.on_forbidden = self._rights.was_refused
        self._speaker: Speaker
        self.core: KubernetesSubstrate
        """What decides; there from the first call of :meth:`substrate` on."""
        self._read_anew = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._asked_for_proof: set[str] = set()

    def substrate(self, records: Mapping[tuple[str, str], Any]) -> KubernetesSubstrate:
        """``records``: it has none."""
        core = self.core = KubernetesSubstrate(self._pods, wall=self._master.wall, context=self._master.context)

        def take(call: Callable[[float], Output]) -> None:
            if core is self.core:
                self._take(call)

        self._speaker = Speaker(self._api, self._settings.namespace, core, take)
        return core

    def _take(self, call: Callable[[float], Output]) -> None:
        """A turn that fails is the master's to log, and to begin anew from what is durable: who watches goes on."""
        try:
            self._master.take(call)
        except NotNow as error:
            log.warning("not taken in: %s", error)
        except Exception:
            log.exception("what Kubernetes said could not be taken in")

    def _alert(self, text: str, *, over: bool = False) -> None:
        with suppress(NotNow):  # it is going down, or begins anew: whoever is there then finds the same
            self._master.alert("kubernetes", text, over=over)

    def _allowed_again(self) -> None:
        self._alert("the control plane may do again all that it does", over=True)

    # -- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._running = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        """Until cancelled."""
        async with self._connection, asyncio.TaskGroup() as group:
            group.create_task(self._again_and_again(self._speak, "what is there is not heard"))
            if self._settings.defined:
                group.create_task(self._rights.run())
                kinds = KindsThere(self._api, lambda text, over: self._alert(text, over=over))
                group.create_task(self._again_and_again(kinds.run, "it is not known whose kinds there are"))
            if self._settings.evictions is not None:
                evictions = self._settings.evictions
                group.create_task(self._again_and_again(lambda: self._answer(evictions), "evictions are not answered"))
                responder = Responder(self._api, self._settings.namespace, Webhook(self._api))
                group.create_task(self._again_and_again(responder.run, "eviction requests are not answered"))
            if self._settings.pods is not None:
                pods = self._settings.pods
                group.create_task(self._again_and_again(lambda: self._answer_pods(pods), "pods are not answered"))

    async def _again_and_again(self, work: Callable[[], Awaitable[None]], without: str) -> None:
        """Until cancelled. ``without``: what is not, while it fails; logged once in a row, said to a person where the
        next try meets the same answer."""
        said, times = "", 0
        while True:
            try:
                await work()
            except Exception as error:  # also of a bug of ours: the other part goes on
                words = f"{type(error).__name__}: {error}"
                times = times + 1 if words == said else 1
                said = words
                if times == 1:
                    known = isinstance(error, (ApiError, OSError))
                    log.warning("%s: %s; tried again", without, words, exc_info=not known)
                if times == 2 and not isinstance(error, (Unreachable, TooMany)):
                    self._alert(f"{without}: {error}; tried again")
            await asyncio.sleep(AGAIN_S)

    async def _speak(self) -> None:
        await self._prepare()
        while True:
            self._read_anew.clear()
            speaking = asyncio.create_task(self._speaker.run())
            anew = asyncio.create_task(self._read_anew.wait())
            try:
                await asyncio.wait((speaking, anew), return_when=asyncio.FIRST_COMPLETED)
                if speaking.done():
                    speaking.result()
            finally:
                for task in (speaking, anew):
                    task.cancel()
                await asyncio.gather(speaking, anew, return_exceptions=True)

    async def _prepare(self) -> None:
        """What the API server must know of us before anything of it is watched."""
        if not self._settings.defined:
            if not await define(self._api, definition()):
                self._alert(f"{DISRUPTION.plural} are of a kind that a newer upcall made; it is left as it is")
            await self._api.apply(BUDGET, floor(), self._settings.namespace, force=True)
        while True:
            try:
                await self._api.list(DISRUPTION, self._settings.namespace)
                return
            except ApiError as error:
                if error.status != 404:
                    raise
                await asyncio.sleep(KNOWN_AGAIN_S)

    async def _answer(self, evictions: Evictions) -> None:
        namespace = self._settings.namespace
        where: Object = {"url": f"https://{evictions.host}:{evictions.port}{PATH}"}
        if evictions.service:
            where = {"service": by_service(namespace, evictions.service)}
        tell = telling(self._api, where, of_namespace(namespace), evictions.name)
        keeper = Keeper(self._api, namespace, STANDS_IN, (evictions.host,), tell, alert=self._alert)
        await keeper.look()
        address = evictions.listen or evictions.host
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(serving(Webhook(self._api), address, evictions.port, keeper.tls))
            await keeper.run()

    async def _answer_pods(self, pods: Pods) -> None:
        namespace = self._settings.namespace

        async def tell(bundle: bytes) -> None:
            said = {"metadata": {"name": TRUST}, "data": {"ca.crt": bundle.decode()}}
            await self._api.apply(CONFIG_MAP, said, namespace, force=True)

        keeper = Keeper(self._api, namespace, TRUST, (pods.host,), tell, alert=self._alert)
        await keeper.look()
        async with asyncio.TaskGroup() as group:
            group.create_task(keeper.run())
            group.create_task(self._door.serve(pods.listen or pods.host, pods.port, keeper.tls))

    def close(self) -> None:
        self.agents.close_all()
        if self._running is not None:
            self._running.cancel()

    def routers(self) -> Sequence[APIRouter]:
        """Pods have a door of their own (:mod:`door`)."""
        return ()

    # -- after a commit ---------------------------------------------------------------------------------------------

    def send(self, send: Send) -> None:
        """To a pod, by its task; anything else is a request to the API server."""
        if isinstance(send.message, wire.Launch):
            self.agents.send(send)
        else:
            self._speaker.send(send)

    def prove(self, node: str) -> None:
        """Who looks after the machine knows, and says it to Kubernetes; we can only ask for it, once."""
        if node not in self._asked_for_proof:
            self._asked_for_proof.add(node)
            how = f"{OUT_OF_SERVICE.format(node)}, or kubectl delete node {node}"
            self._master.tell(node, f"proof that nothing of it runs any more is wanted; who knows it says so: {how}")

    def say_again(self) -> None:
        self._asked_for_proof.clear()
        self._read_anew.set()
        self.agents.ask_again()

    # -- tasks ------------------------------------------------------------------------------------------------------

    def usage(self, task: str) -> Usage | None:
        return self.agents.usage(task)

    def progress(self, task: str) -> str:
        return self.agents.progress.get(task, "")

    async def run(self, task: str, node: str, tool: RunTool) -> ToolResult:
        self._has_door(f"no tool can be run beside {task}", task)
        return await self.agents.run(task, task, tool)

    async def read_log(
        self, task: str, node: str, stream: str, lines: int, *, follow: bool, after: str = ""
    ) -> AsyncIterator[str]:
        self._has_door(f"the log of {task} cannot be read", task)
        async for text in self.agents.read_log(task, task, stream, lines, follow=follow, after=after):
            yield text

    def _has_door(self, what: str, task: str) -> None:
        if self._settings.pods is None:
            raise Conflict(f"{what}: {NO_DOOR}", where=task, expected="one that says where pods reach the master")

    # -- nodes ------------------------------------------------------------------------------------------------------

    def features(self, node: str) -> Sequence[str]:
        return ()

    def declared(self) -> Collection[str]:
        """Whoever owns the cluster has nodes join it."""
        return ()

    async def add_node(self, wish: AddNode, before: Callable[[str], Awaitable[None]]) -> str:
        raise Conflict(
            "the nodes are Kubernetes': none is added by upcall", where="node", expected="a node that joins it"
        )

    async def end_node(self, node: str) -> None:
        if node in self.core.nodes():
            raise NotNow(f"{node} is Kubernetes': it is removed there", expected=f"kubectl delete node {node}")

    def forget_node(self, node: str, now_s: float) -> Output:
        """It is told as gone when its object is."""
        return Output()

    # -- volumes ----------------------------------------------------------------------------------------------------

    def volumes(self) -> list[VolumeSet]:
        return self.core.volumes()

    def drop_volumes(self, one: VolumeSet, now_s: float) -> Output:
        return self.core.drop_volumes(one.member_id, one.fence, now_s)


def make(folder: DataFolder, cluster: Cluster, master: Master) -> KubernetesMachines:
    return KubernetesMachines(folder, cluster, master)

"""The life of a control plane in a pod: a master, and a host of services beside it once that master leads.

Whichever way the master ends (somebody else leads, a fault, told to), the container ends: the kubelet starts it again,
and it stands by. A host that ends is started again (:mod:`hosting`), ever more slowly.
"""

import asyncio
import logging
import signal
from contextlib import suppress
from typing import Final

import aiohttp

from upcall.cluster.folder import DataFolder
from upcall.kubernetes import rights
from upcall.kubernetes.control_plane import folder as data
from upcall.kubernetes.control_plane import hosting, leading
from upcall.kubernetes.control_plane.given import Given
from upcall.kubernetes.control_plane.relaying import relaying
from upcall.kubernetes.installing import objects
from upcall.kubernetes.pod.readiness import answering
from upcall.kubernetes.records.objects import RECORD
from upcall.kubernetes.resources.operator import Operator
from upcall.kubernetes.resources.speaking import Resources
from upcall.protocol.errors import Forbidden
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.errors import ApiError
from upcall.substrate.kubernetes.client.login import in_cluster
from upcall.substrate.kubernetes.manifest import PORT
from upcall.transport.dialling import BASE, MasterConnector

log = logging.getLogger(__name__)

LOOK_S: Final = 0.1
"""For a file on the pod's own disk."""
AGAIN_S: Final = 30.0
ANSWER_S: Final = 2.0
SAID_AGAIN_S: Final = 2.0
NEEDED: Final = frozenset({"configmaps", "secrets", "leases", RECORD.plural})
"""In these is all that is durable, and who leads."""


class Life:
    def __init__(self, given: Given) -> None:
        self._given = given
        self._folder: DataFolder | None = None
        self._leads = False
        self._answers = False

    async def run(self) -> int:
        """With what the container ends."""
        given = self._given
        told = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told.set)
        async with (
            answering(given.address, PORT, self._why_not),
            Connection(in_cluster(given.account)) as connection,
        ):
            api = Api(connection)
            # What a container before this one said of itself in this pod.
            await rights_needed(api, given.namespace)
            await leading.take_back(api, given.namespace, given.pod)
            self._folder = await data.made(api, given)
            return await self._keep(api, self._folder, told)

    async def _keep(self, api: Api, folder: DataFolder, told: asyncio.Event) -> int:
        master = await hosting.started("-m", "upcall.master", "--data", str(folder.root))
        over, stop = asyncio.create_task(master.wait()), asyncio.create_task(told.wait())
        beside = asyncio.create_task(self._lead(api, folder))
        try:
            await asyncio.wait((over, stop, beside), return_when=asyncio.FIRST_COMPLETED)
            if beside.done():
                beside.result()
        finally:
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)
            stop.cancel()
            await hosting.end(master)
        # Who was told to end has ended as it should.
        return 0 if told.is_set() else master.returncode or 1

    async def _lead(self, api: Api, folder: DataFolder) -> None:
        """From the moment in which the master opens its door."""
        while not folder.master_socket.exists():  # noqa: ASYNC110 - nobody else would say so
            await asyncio.sleep(LOOK_S)
        self._leads = True
        async with asyncio.TaskGroup() as group:
            group.create_task(self._say(api))
            group.create_task(hosting.keep_host(folder))
            group.create_task(self._ask(folder))
            group.create_task(self._relay(folder))
            group.create_task(self._serve_resources(api, folder))

    async def _say(self, api: Api) -> None:
        while True:
            try:
                await leading.say(api, self._given.namespace, self._given.pod)
                return
            except ApiError as error:
                log.warning("it cannot be said who leads: %s; tried again", error)
                await asyncio.sleep(SAID_AGAIN_S)

    async def _relay(self, folder: DataFolder) -> None:
        """For who looks from outside of the cluster. That it fails is nobody else's trouble."""
        while True:
            try:
                await relaying(folder, self._given.api.rpartition(":")[0], objects.RELAY_PORT)
            except Exception:
                log.exception("nobody is led on to endpoints; tried again in %.0f s", AGAIN_S)
            await asyncio.sleep(AGAIN_S)

    async def _serve_resources(self, api: Api, folder: DataFolder) -> None:
        """Services as custom resources. That it fails is nobody else's trouble."""
        token = (await asyncio.to_thread(folder.token_file(data.RESOURCES).read_text)).strip()
        while True:
            try:
                async with Operator(folder.master_socket, token) as operator:
                    await Resources(api, self._given.namespace, operator).run()
            except Exception:
                log.exception("resources are not looked at; tried again in %.0f s", AGAIN_S)
            await asyncio.sleep(AGAIN_S)

    async def _ask(self, folder: DataFolder) -> None:
        """Whether the master answers: one that was stopped is not to be found by anybody."""
        token = (await asyncio.to_thread(folder.token_file("host").read_text)).strip()
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        while True:
            self._answers = False
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                connector = MasterConnector(folder.master_socket)
                async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
                    headers = {"Authorization": f"Bearer {token}"}
                    while True:
                        # Any answer is one: whether this caller may see it is another matter.
                        async with session.get(f"{BASE}/v1/status", headers=headers) as said:
                            await said.read()
                        self._answers = True
                        await asyncio.sleep(ANSWER_S)
            await asyncio.sleep(LOOK_S)

    def _why_not(self) -> str:
        """Who stands by is ready to: that is its work."""
        if self._folder is None:
            return "who this cluster is is not known yet"
        return "the master does not answer" if self._leads and not self._answers else ""


async def rights_needed(api: Api, namespace: str) -> None:
    """Without these it could not keep what it is told, and would begin again and again. What else is missing is an
    alert of the one that leads."""
    missing = await rights.missing(api, objects.rights(namespace))
    if any(one.resource in NEEDED for one in missing):
        raise Forbidden(
            f"the control plane may not keep its records: missing are {rights.in_words(missing)}",
            where=f"namespace {namespace}",
            expected="its Role and ClusterRole as `upcall up --on kubernetes` applies them (the chart has the same)",
        )

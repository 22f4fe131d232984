"""``python -m realnodes.beside KUBECONFIG FOLDER ADDRESS``: what a cluster has beside its nodes, its name server (at
ADDRESS) and whoever provides volumes."""

import asyncio
import contextlib
import sys
from pathlib import Path

from realnodes.names import PORT, Names
from realnodes.volumes import Volumes
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.kinds import CLAIM, POD, SERVICE
from upcall.substrate.kubernetes.client.login import from_kubeconfig
from upcall.substrate.kubernetes.client.watching import Changed, Listed, Removed, watch


async def _know_services(api: Api, names: Names) -> None:
    async with contextlib.aclosing(watch(api, SERVICE)) as events:
        async for event in events:
            match event:
                case Listed(objects=services):
                    names.services = {one["metadata"]["uid"]: one for one in services}
                case Changed(one):
                    names.services[one["metadata"]["uid"]] = one
                case Removed(one):
                    names.services.pop(one["metadata"]["uid"], None)
                case _:
                    pass


async def _name(api: Api, names: Names) -> None:
    async with contextlib.aclosing(watch(api, POD)) as events:
        async for event in events:
            match event:
                case Listed(objects=pods):
                    names.known.clear()
                    for pod in pods:
                        names.take(pod)
                case Changed(pod):
                    names.take(pod)
                case Removed(pod):
                    names.forget(pod["metadata"]["uid"])
                case _:
                    pass


async def _provide(api: Api, folder: Path) -> None:
    volumes = Volumes(api, folder)
    await volumes.begin()
    async with contextlib.aclosing(watch(api, CLAIM)) as events:
        async for event in events:
            match event:
                case Listed(objects=claims):
                    for claim in claims:
                        await volumes.take(claim)
                case Changed(claim):
                    await volumes.take(claim)
                case Removed(claim):
                    await volumes.gone(claim)
                case _:
                    pass


async def main(kubeconfig: str, folder: str, address: str) -> None:
    async with Connection(from_kubeconfig((Path(kubeconfig),))) as connection, asyncio.TaskGroup() as group:
        api = Api(connection)
        _, names = await asyncio.get_running_loop().create_datagram_endpoint(Names, local_addr=(address, PORT))
        group.create_task(_name(api, names))
        group.create_task(_know_services(api, names))
        group.create_task(_provide(api, Path(folder)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

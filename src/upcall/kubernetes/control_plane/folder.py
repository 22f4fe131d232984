"""The data folder of a control plane in a pod: made anew at each start, and nothing in it is missed when it is gone."""

import asyncio
import secrets
from typing import Final

import msgspec

from upcall import __version__
from upcall.cluster import certificate
from upcall.cluster.folder import Cluster, DataFolder, write_private
from upcall.kubernetes.control_plane import identity
from upcall.kubernetes.control_plane.given import Given
from upcall.kubernetes.control_plane.identity import CERTIFICATE, KEY, TOKENS, Identity
from upcall.kubernetes.settings import FILE, Evictions, Pods, Settings
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.evictions.objects import NAME as WEBHOOK_NAME

FOLDER: Final = "cluster"
"""Below what is mounted: its mode is ours to choose."""
RESOURCES: Final = "resources"
"""As whom :mod:`upcall.kubernetes.resources` speaks with the master."""
PODS_PORT: Final = 7444
EVICTIONS_PORT: Final = 7443
CERTIFICATES_TRIES_MAX: Final = 5
CERTIFIED: Final = "https://127.0.0.1:5050"
"""To what the certificate is made out, beside `localhost`: the same in each replica."""
ADMIN: Final = "admin"
"""Whoever may read the Secret: the user of a container is nobody's name."""
NO_ADDRESSES: Final = "127.0.0"
"""Members have names here, and no range of addresses."""


async def made(api: Api, given: Given) -> DataFolder:
    folder = DataFolder(given.data / FOLDER)
    found = await identity.made(api, given.namespace)
    cluster = Cluster(
        upcall=__version__,
        cluster=found.cluster,
        prefix=NO_ADDRESSES,
        url=f"https://{given.api}",
        substrate="kubernetes",
        records="kubernetes",
        owner=ADMIN,
    )
    await asyncio.to_thread(_write, folder, cluster, given, found)
    for _ in range(CERTIFICATES_TRIES_MAX):
        await asyncio.to_thread(_take, folder, found)
        before = found.get(CERTIFICATE)
        await asyncio.to_thread(certificate.ensure, folder, msgspec.structs.replace(cluster, url=CERTIFIED))
        if (now := await asyncio.to_thread(folder.certificate.read_bytes)) == before:
            break
        key = await asyncio.to_thread(folder.certificate_key.read_bytes)
        found = await identity.with_certificate(api, given.namespace, found, now, key)
    return folder


def _write(folder: DataFolder, cluster: Cluster, given: Given, found: Identity) -> None:
    folder.make_private()
    # A socket that lies there is that of a life before.
    folder.master_socket.unlink(missing_ok=True)
    for one in TOKENS:
        write_private(folder.token_file(one), found.get(identity.token_key(one)))
    # Of this pod alone: who speaks with it is beside its master. No admin, so that a resource has no more than an
    # operator's say, of secrets above all.
    write_private(folder.token_file(RESOURCES), secrets.token_urlsafe(32).encode())
    settings = Settings(
        account=str(given.account),
        namespace=given.namespace,
        image=given.image,
        storage_class=given.storage_class,
        volumes_bound_to_node=given.volumes_bound_to_node,
        defined=True,
        evictions=Evictions(
            name=webhook_name(given.namespace),
            host=given.host,
            service=given.service,
            listen=given.address,
            port=EVICTIONS_PORT,
        ),
        pods=Pods(host=given.host, listen=given.address, port=PODS_PORT),
    )
    write_private(folder.root / FILE, msgspec.json.encode(settings))
    folder.save_cluster(cluster)


def _take(folder: DataFolder, found: Identity) -> None:
    if found.get(CERTIFICATE) and found.get(KEY):
        write_private(folder.certificate_key, found.get(KEY))
        write_private(folder.certificate, found.get(CERTIFICATE))


def webhook_name(namespace: str) -> str:
    """One for each control plane, of which a cluster may have several in namespaces of their own."""
    return f"{namespace}.{WEBHOOK_NAME}"

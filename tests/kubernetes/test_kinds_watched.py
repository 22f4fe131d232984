"""A control plane tells a person when the cluster's kinds become another release's, with the rights that it has."""

import asyncio

import pytest
from evicting import LIMIT_S
from lab.control_plane import ControlPlane

from upcall.kubernetes import kinds_there
from upcall.kubernetes.installing.objects import NAME, Wish, definitions, objects
from upcall.kubernetes.kinds_there import WATCHED, KindsThere
from upcall.kubernetes.resources.kinds import released
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, DEFINITION
from upcall.substrate.kubernetes.client.login import from_kubeconfig
from upcall.substrate.kubernetes.evictions.objects import DEFINED


async def test_newer_kinds_are_told_once_and_that_they_are_ours_again(
    plane: ControlPlane, api: Api, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds_there, "SETTLED_S", 0.0)
    for kind, one in definitions():
        await api.apply(kind, one, force=True)
    for kind, one in objects(Wish(namespace=namespace, image="-")):
        if kind is CLUSTER_ROLE:
            await api.apply(kind, one, force=True)
        if kind is CLUSTER_ROLE_BINDING:
            await api.apply(kind, one | {"subjects": [{"kind": "User", "name": namespace}]}, force=True)
    said: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()
    login = from_kubeconfig((plane.user(namespace, namespace),))
    async with Connection(login) as connection, asyncio.timeout(LIMIT_S):
        there = KindsThere(Api(connection), lambda text, over: said.put_nowait((text, over)))
        running = asyncio.create_task(there.run())
        try:
            await api.merge(DEFINITION, WATCHED, {"metadata": {"annotations": {DEFINED: "99001002"}}})
            text, over = await said.get()
            assert "those of upcall 99.1.2" in text
            assert not over
            await api.merge(DEFINITION, WATCHED, {"metadata": {"annotations": {DEFINED: released()}}})
            text, over = await said.get()
            assert over
            assert said.empty()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    for kind in (CLUSTER_ROLE_BINDING, CLUSTER_ROLE):
        await api.delete(kind, f"{NAME}-{namespace}")

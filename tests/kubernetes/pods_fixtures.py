"""Fixtures of tests in which real systems run in pods: nodes whose pods run, and a master outside the cluster."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from installed import Installed, installed
from lab.control_plane import ControlPlane
from lab.running import RunningNodes, running_nodes

from upcall.artifacts.cache import default_root
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import POD, WEBHOOK
from upcall.substrate.kubernetes.evictions.objects import NAME


@pytest.fixture
async def running(api: Api, tmp_path: Path) -> AsyncIterator[RunningNodes]:
    async with running_nodes(api, 3, tmp_path / "machines", UPCALL_CACHE=str(default_root())) as nodes:
        yield nodes


@pytest.fixture
async def upcall(
    tmp_path: Path, plane: ControlPlane, api: Api, namespace: str, running: RunningNodes
) -> AsyncIterator[Installed]:
    async with installed(tmp_path / "data", plane.kubeconfig(), namespace, running.hosts.before()) as one:
        yield one
    with contextlib.suppress(NotFound):
        await api.delete(WEBHOOK, NAME)
    for each in (await api.list(POD, namespace)).objects:
        with contextlib.suppress(NotFound):
            await api.merge(POD, each["metadata"]["name"], {"metadata": {"finalizers": None}}, namespace)

"""Everything here runs against a real control plane. Where it is not built, the tests say so and are left out."""

import asyncio
import contextlib
import os
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "store"))

from driving import Driven, driving
from evicting import LIMIT_S, Asked
from lab.building import Missing, built
from lab.control_plane import ControlPlane, control_plane
from lab.nodes import PlayedNodes, played_nodes

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import DEFINITION, NAMESPACE, SERVICE_ACCOUNT, WEBHOOK
from upcall.substrate.kubernetes.client.login import from_kubeconfig
from upcall.substrate.kubernetes.evictions.objects import DISRUPTION, NAME, definition
from upcall.substrate.kubernetes.evictions.serving import Webhook

HERE = Path(__file__).parent
MUST = "UPCALL_KUBERNETES"
"""Set by `make kubernetes`: what is left out there is an error."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "path(name): a way in which a task is disturbed; the report counts them")


@pytest.fixture(autouse=True)
def _way(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Which way a test is about, for the report (:mod:`benchmarks.kubernetes`)."""
    if (marker := request.node.get_closest_marker("path")) is not None:
        record_property("path", marker.args[0])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.real)


@pytest.fixture(scope="session")
def parts() -> Path:
    """The folder with the parts of Kubernetes."""
    try:
        return built()
    except Missing as missing:
        if os.environ.get(MUST):
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def plane(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One for all tests that leave it as it was; whoever breaks one starts its own."""
    with control_plane(tmp_path_factory.mktemp("control-plane")) as running:
        yield running


@pytest.fixture
async def api(plane: ControlPlane) -> AsyncIterator[Api]:
    """As the administrator."""
    async with Connection(from_kubeconfig((plane.kubeconfig(),))) as connection:
        yield Api(connection)


@pytest.fixture
async def namespace(api: Api) -> AsyncIterator[str]:
    """One of the test's own, in which pods may be made."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    await api.create(NAMESPACE, {"metadata": {"name": name}})
    async with asyncio.timeout(120):
        while True:
            try:
                await api.get(SERVICE_ACCOUNT, "default", name)
                break
            except NotFound:
                await asyncio.sleep(0.1)
    yield name
    with contextlib.suppress(NotFound):  # of a test that has deleted it itself
        await api.delete(NAMESPACE, name)


@pytest.fixture
async def nodes(api: Api) -> AsyncIterator[PlayedNodes]:
    """Three, which play until the test ends."""
    async with played_nodes(api, 3) as playing:
        yield playing


@pytest.fixture
async def disruptions(api: Api) -> None:
    """The kind is known."""
    await api.apply(DEFINITION, definition())
    async with asyncio.timeout(LIMIT_S):
        while True:
            with contextlib.suppress(NotFound):
                await api.list(DISRUPTION)
                return
            await asyncio.sleep(0.1)


@pytest.fixture
async def asked(api: Api, namespace: str, disruptions: None) -> AsyncIterator[Asked]:
    one = Asked(api, namespace, Webhook(api))
    async with one.serve():
        await one.until_heard()
        yield one
    with contextlib.suppress(NotFound):
        await api.delete(WEBHOOK, NAME)


@pytest.fixture
async def driven(api: Api, namespace: str, nodes: PlayedNodes, disruptions: None) -> AsyncIterator[Driven]:
    async with driving(Driven(api, namespace)) as one:
        yield one

"""Tests on real nodes. They are started by ``make kubernetes`` alone, and need root; where they cannot be had the tests
say why."""

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from driving import SETTINGS, Driven, driving
from installed import Installed, installed
from lab.building import Missing
from lab.control_plane import ControlPlane
from lab.hosts import seeing
from realnodes import images
from realnodes.cluster import NotThere, RealNodes, missing, programs, real_nodes
from realnodes.packaged import packaged
from test_custom_resources import Person, defined, served

from upcall.kubernetes.resources.catalog import names
from upcall.kubernetes.resources.kinds import served as served_kinds
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import CONFIG_MAP, POD, WEBHOOK
from upcall.substrate.kubernetes.evictions.objects import NAME
from upcall.substrate.kubernetes.manifest import TRUST

__all__ = ["defined"]


@pytest.fixture(scope="session")
def possible(parts: Path) -> None:
    """Real nodes can be had here."""
    if not os.environ.get("UPCALL_KUBERNETES"):
        pytest.skip("real nodes are started by `make kubernetes` alone")
    if why_not := missing():
        pytest.skip(why_not)
    try:
        programs()
    except (NotThere, Missing) as there_is_no:
        pytest.skip(f"real nodes need Debian's containerd: {there_is_no}")


@pytest.fixture(scope="session")
def real(possible: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNodes]:
    """Three, for all tests that leave them as they were."""
    with real_nodes(tmp_path_factory.mktemp("nodes")) as nodes:
        yield nodes


@pytest.fixture(scope="session")
def plane(real: RealNodes) -> ControlPlane:
    return real.plane


@pytest.fixture(scope="session")
def image(real: RealNodes) -> str:
    """Of a package; every service of ours that needs no more than a Python runs in it too. A module whose packages
    are others has its own."""
    return packaged(real, "kafka")


@pytest.fixture
async def upcall(tmp_path: Path, real: RealNodes, api: Api, namespace: str, image: str) -> AsyncIterator[Installed]:
    """A master on this machine, outside the cluster; what it starts here finds the pods by their names."""
    names = tmp_path / "resolv.conf"
    names.write_text(f"nameserver {real.network.host}\n")
    before = seeing(names, "/etc/resolv.conf")
    async with installed(
        tmp_path / "data", real.plane.kubeconfig(), namespace, before, image=image, host=real.network.host, local=True
    ) as one:
        yield one
    with contextlib.suppress(NotFound):
        await api.delete(WEBHOOK, NAME)
    for each in (await api.list(POD, namespace)).objects:
        with contextlib.suppress(NotFound):
            await api.merge(POD, each["metadata"]["name"], {"metadata": {"finalizers": None}}, namespace)


@pytest.fixture
async def person(
    defined: None, upcall: Installed, real: RealNodes, api: Api, namespace: str, tmp_path: Path
) -> AsyncIterator[Person]:
    """With files of resources, which that master carries out."""
    async with served(real.plane, api, namespace, upcall):
        yield Person(real.plane, namespace, tmp_path)
    for kind in served_kinds(names()):
        for each in (await api.list(kind, namespace)).objects:
            with contextlib.suppress(NotFound):
                await api.merge(kind, each["metadata"]["name"], {"metadata": {"finalizers": None}}, namespace)


@pytest.fixture(scope="session")
def answers(real: RealNodes) -> str:
    """The image of a container that stands in for our part, on all nodes."""
    archive = real.folder / "answers.tar"
    images.answers(real.busybox, archive)
    for name in real.names:
        real.load(name, archive)
    return images.ANSWERS


@pytest.fixture
async def driven(api: Api, namespace: str, disruptions: None, answers: str, image_of: str) -> AsyncIterator[Driven]:
    """Its pods are of that image, or of the one that the test names."""
    # Whom to trust nobody asks here; a kubelet waits for it.
    await api.create(CONFIG_MAP, {"metadata": {"name": TRUST}, "data": {"ca.crt": "nobody"}}, namespace)
    async with driving(Driven(api, namespace, msgspec.structs.replace(SETTINGS, image=image_of or answers))) as one:
        yield one


@pytest.fixture
def image_of() -> str:
    return ""

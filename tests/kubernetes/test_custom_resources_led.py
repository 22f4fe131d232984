"""The same under a control plane in the cluster, with its own service account: another one leads in the middle."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from evicting import LIMIT_S
from lab import hosts
from lab.control_plane import ControlPlane, control_plane
from lab.network import networked, way_out
from laptop import Laptop, leader
from test_custom_resources import Person, condition

from upcall.kubernetes.installing.objects import NAME
from upcall.kubernetes.resources.kinds import OTHER
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import DEPLOYMENT, POD, WEBHOOK

SMALL = Path(__file__).with_name("small.py")
WHY_NOT = hosts.missing()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


@pytest.fixture(scope="module")
def plane(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    folder = tmp_path_factory.mktemp("plane")
    with control_plane(folder, kube_apiserver=way_out(folder)) as running:
        yield running


@pytest.fixture
async def laptop(api: Api, plane: ControlPlane, namespace: str, tmp_path: Path) -> AsyncIterator[Laptop]:
    pki = plane.authority.folder
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pki / "api.crt", pki / "api.key")
    async with networked(api, 3, tmp_path / "machines", plane.folder, tls) as running:
        yield Laptop(tmp_path / "data", plane.kubeconfig(), namespace, running)
        for one in (await api.list(WEBHOOK)).objects:
            await api.delete(WEBHOOK, one["metadata"]["name"])
        with contextlib.suppress(NotFound):
            await api.delete(DEPLOYMENT, NAME, namespace)
        for kind in (POD, OTHER):
            for each in (await api.list(kind, namespace)).objects:
                with contextlib.suppress(NotFound):
                    await api.merge(kind, each["metadata"]["name"], {"metadata": {"finalizers": None}}, namespace)


async def test_a_resource_is_carried_by_whoever_leads(
    laptop: Laptop, plane: ControlPlane, api: Api, namespace: str, tmp_path: Path
) -> None:
    person = Person(plane, namespace, tmp_path)
    await laptop.up()
    await laptop.upcall("install", str(SMALL), "--name", "first", "--set", "count=1")
    await person.apply("DataService", "second", package="small", options={"count": 1})
    await person.kubectl("wait", "--for=condition=Ready", "dsvc/second", f"--timeout={LIMIT_S:.0f}s")

    # Edited in the moment in which nobody leads.
    was = await leader(api, namespace)
    await api.delete(POD, was["metadata"]["name"], namespace, grace_s=0)
    await person.apply("DataService", "second", package="small", options={"count": 2})
    await leader(api, namespace, was["metadata"]["uid"])
    grown = await person.until(
        "dsvc",
        "second",
        lambda one: condition(one, "Ready")[0] == "True" and (one.get("status") or {}).get("ready") == "2/2",
        "who leads now has taken it up",
    )
    assert (grown["status"]["revision"], grown["status"]["observedGeneration"]) == (2, 2)
    refused = await laptop.upcall("scale", "second", "1", code=1)
    assert f"second is what dataservice/second in namespace {namespace} says" in refused

    await person.kubectl("delete", "dsvc", "second", f"--timeout={LIMIT_S:.0f}s")
    assert "second" not in await laptop.upcall("service", "list")
    await laptop.upcall("down")
    assert "second" not in await person.kubectl("get", "upcall")

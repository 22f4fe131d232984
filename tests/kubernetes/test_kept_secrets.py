"""Secrets' values and grants of a master whose records are in an API server: they outlive its disk, and one that was
replaced writes none of them any more."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab.control_plane import ControlPlane

from upcall.cluster.folder import Cluster, DataFolder
from upcall.kubernetes.records.kept import NAME, keep
from upcall.kubernetes.records.store import KubernetesStore
from upcall.master.access import Access
from upcall.master.secrets import Secrets
from upcall.store.interface import Superseded
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.kinds import NAMESPACE, SECRET
from upcall.substrate.kubernetes.client.login import from_kubeconfig

CLUSTER = Cluster(cluster="c", prefix="127.0.0", url="https://127.0.0.1:1", records="kubernetes")


class Master:
    """What one has of all this, on a disk of its own."""

    def __init__(self, store: KubernetesStore, folder: Path) -> None:
        data = DataFolder(folder)
        data.make_private()
        written = keep(data, CLUSTER, store)
        self.secrets = Secrets(data.secret_values, written)
        self.access = Access(data.tokens / "access.json", keep=written)


@pytest.fixture
def namespace_of_a_thread(plane: ControlPlane) -> Iterator[str]:
    name = f"kept-{uuid.uuid4().hex[:8]}"

    async def work(call: Callable[[Api], object]) -> None:
        async with Connection(from_kubeconfig((plane.kubeconfig(),))) as connection:
            await call(Api(connection))  # type: ignore[misc]

    asyncio.run(work(lambda api: api.create(NAMESPACE, {"metadata": {"name": name}})))
    yield name
    asyncio.run(work(lambda api: api.delete(NAMESPACE, name)))


def test_they_outlive_the_disk_and_are_fenced(plane: ControlPlane, namespace_of_a_thread: str, tmp_path: Path) -> None:
    login = from_kubeconfig((plane.kubeconfig(),))

    def opened() -> KubernetesStore:
        return KubernetesStore(lambda: Connection(login), namespace_of_a_thread)

    first = opened()
    one = Master(first, tmp_path / "one")
    one.secrets.put("s3.key", "of mine")
    one.secrets.make("kafka.admin")
    one.secrets.grant("s3.key", "kafka", stands=True)
    one.access.add("anna", "operator", "digest", 3600, "root")

    async def labelled() -> None:
        """By a person: it is another version of the same."""
        async with Connection(login) as connection:
            await Api(connection).merge(SECRET, NAME, {"metadata": {"labels": {"a": "b"}}}, namespace_of_a_thread)

    asyncio.run(labelled())
    one.secrets.put("after", "the label")
    one.secrets.put("gone", "for good")
    one.secrets.remove("gone")

    second = opened()
    other = Master(second, tmp_path / "other")
    assert other.secrets.names() == ["after", "kafka.admin", "s3.key"]
    assert other.secrets.get("s3.key") == "of mine"
    assert other.secrets.get("kafka.admin") == one.secrets.get("kafka.admin")
    assert other.secrets.granted("s3.key") == ["kafka"]
    found = other.access.find("digest")
    assert found is not None
    assert found.name == "anna"

    with pytest.raises(Superseded):
        one.secrets.put("s3.key", "too late")
    assert one.secrets.get("s3.key") == "of mine", "what is not kept is in no file"
    with pytest.raises(Superseded):
        one.access.remove("anna")
    other.secrets.put("s3.key", "newer")
    third = opened()
    assert Master(third, tmp_path / "third").secrets.get("s3.key") == "newer"
    for store in (first, second, third):
        store.close()

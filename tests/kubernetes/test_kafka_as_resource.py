"""A real Kafka of three as a resource: made, changed with a restart of each broker, gone back from, and taken away."""

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from evicting import LIMIT_S
from installed import Installed, installed
from lab import hosts
from lab.control_plane import ControlPlane
from lab.running import RunningNodes, running_nodes
from test_custom_resources import Person, condition, defined, served

from upcall.artifacts.cache import default_root
from upcall.kubernetes.resources.kinds import kind_of
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import POD, WEBHOOK
from upcall.substrate.kubernetes.evictions.objects import NAME

__all__ = ["defined"]
WHY_NOT = hosts.missing()
pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]
KAFKA = kind_of("kafka")


@pytest.fixture
async def running(api: Api, tmp_path: Path) -> AsyncIterator[RunningNodes]:
    async with running_nodes(api, 3, tmp_path / "machines", UPCALL_CACHE=str(default_root())) as nodes:
        yield nodes


@pytest.fixture
async def upcall(
    tmp_path: Path, plane: ControlPlane, api: Api, namespace: str, running: RunningNodes, defined: None
) -> AsyncIterator[Installed]:
    async with installed(tmp_path / "data", plane.kubeconfig(), namespace, running.hosts.before()) as one:
        yield one
    with contextlib.suppress(NotFound):
        await api.delete(WEBHOOK, NAME)
    for kind in (POD, KAFKA):
        for each in (await api.list(kind, namespace)).objects:
            with contextlib.suppress(NotFound):
                await api.merge(kind, each["metadata"]["name"], {"metadata": {"finalizers": None}}, namespace)


async def test_kafka_is_what_its_resource_says(
    upcall: Installed, plane: ControlPlane, api: Api, namespace: str, running: RunningNodes, tmp_path: Path
) -> None:
    person = Person(plane, namespace, tmp_path)

    async def is_as_said(revision: int) -> Any:
        return await person.until(
            "kafka",
            "events",
            lambda one: condition(one, "Ready")[0] == "True" and one["status"]["revision"] == revision,
            f"revision {revision} is carried out",
        )

    options: dict[str, Any] = {"brokers": 3}
    async with served(plane, api, namespace, upcall):
        began_s = time.monotonic()
        await person.apply("Kafka", "events", options=options)
        await person.kubectl("wait", "--for=condition=Ready", "kafka/events", f"--timeout={LIMIT_S:.0f}s")
        print(f"\nready {time.monotonic() - began_s:.1f} s after kubectl apply")
        print(await person.kubectl("get", "kafkas", "-o", "wide"))
        await upcall.upcall("service", "do", "events", "create-topic", "name=orders", "partitions=6")
        before = {one.member: one.incarnation for one in upcall.client.tasks()}

        began_s = time.monotonic()
        await person.apply("Kafka", "events", options=options | {"settings": {"queued.max.requests": 600}})
        await is_as_said(2)
        print(f"a setting that needs a restart of each: {time.monotonic() - began_s:.1f} s")
        print(await person.kubectl("get", "operations"))
        after = {one.member: one.incarnation for one in upcall.client.tasks()}
        assert after == {member: number + 1 for member, number in before.items()}

        # A revert, as of a commit in Git: what is not said any more has its default again.
        await person.apply("Kafka", "events", options=options)
        reverted = await is_as_said(3)
        assert reverted["status"]["ready"] == "3/3"
        assert upcall.client.service("events").options == options

        began_s = time.monotonic()
        await person.kubectl("delete", "kafka", "events", f"--timeout={LIMIT_S:.0f}s")
        print(f"gone {time.monotonic() - began_s:.1f} s after kubectl delete")
        assert not upcall.client.status().services
    assert not running.failures

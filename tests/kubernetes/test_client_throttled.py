"""A server that has too much to do says so, and how long to wait."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from lab.control_plane import ControlPlane
from objects import settings

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.kinds import CONFIG_MAP, WEBHOOK, Kind, Object
from upcall.substrate.kubernetes.client.login import from_kubeconfig

LIMIT_S = 200.0
USER = "throttled"
FLOW = Kind("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema", "flowschemas", namespaced=False)
PRIORITY = Kind(
    "flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration", "prioritylevelconfigurations", namespaced=False
)
BINDING = Kind("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False)


def one_at_a_time() -> list[tuple[Kind, Object]]:
    """The server's own fairness takes one call of this user, and refuses all others meanwhile."""
    who = {"kind": "User", "name": USER}
    limits = {"nominalConcurrencyShares": 0, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}}
    of_all = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
    rule = {"subjects": [{"kind": "User", "user": {"name": USER}}], "resourceRules": [of_all]}
    flow = {"priorityLevelConfiguration": {"name": USER}, "matchingPrecedence": 2, "rules": [rule]}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    return [
        (PRIORITY, {"metadata": {"name": USER}, "spec": {"type": "Limited", "limited": limits}}),
        (FLOW, {"metadata": {"name": USER}, "spec": flow}),
        (BINDING, {"metadata": {"name": USER}, "roleRef": role, "subjects": [who]}),
    ]


def asks_at(port: int, namespace: str) -> Object:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    one = {
        "name": "slow.example.invalid",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": f"https://127.0.0.1:{port}/"},
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "failurePolicy": "Ignore",
        "sideEffects": "None",
        "timeoutSeconds": 30,
    }
    return {"metadata": {"name": "slow.example.invalid"}, "webhooks": [one]}


class Slow:
    """Whoever is asked before a ConfigMap is made, and does not answer until he is let."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._waiting: list[asyncio.StreamWriter] = []

    async def take(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._waiting.append(writer)
        self.asked.set()

    def let_go(self) -> None:
        for writer in self._waiting:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def slow_webhook(api: Api, namespace: str) -> AsyncIterator[Slow]:
    slow = Slow()
    async with await asyncio.start_server(slow.take, "127.0.0.1", 0) as server:
        webhook = asks_at(server.sockets[0].getsockname()[1], namespace)
        await api.apply(WEBHOOK, webhook)
        yield slow
        slow.let_go()
        await api.delete(WEBHOOK, webhook["metadata"]["name"])


async def makes_one_after_the_other(api: Api, namespace: str) -> None:
    for number in range(1_000):
        await api.create(CONFIG_MAP, settings(f"one-{number}"), namespace)
        await asyncio.sleep(0.1)


@pytest.fixture
async def limited(api: Api) -> AsyncIterator[None]:
    for kind, obj in one_at_a_time():
        await api.apply(kind, obj)
    yield
    for kind, obj in one_at_a_time():
        await api.delete(kind, obj["metadata"]["name"])


async def test_a_call_that_is_throttled_waits_as_it_is_told_and_is_then_carried_out(
    plane: ControlPlane, api: Api, namespace: str, limited: None
) -> None:
    login = from_kubeconfig((plane.user(USER, USER),))
    async with (
        asyncio.timeout(LIMIT_S),
        Connection(login) as first,
        Connection(login) as second,
        slow_webhook(api, namespace) as slow,
    ):
        making = asyncio.create_task(makes_one_after_the_other(Api(first), namespace))
        await slow.asked.wait()
        listing = asyncio.create_task(Api(second).list(CONFIG_MAP, namespace))
        while second.calls < 2:
            assert not listing.done(), "it was let in beside the other one"
            await asyncio.sleep(0.05)
        slow.let_go()
        making.cancel()
        assert (await listing).version

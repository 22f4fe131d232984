"""Rights that are missing for what is somebody else's keep nothing from what is ours."""

import asyncio
import contextlib
from typing import Any

import pytest
from driving import Driven, wanted
from lab.control_plane import ControlPlane
from lab.nodes import PlayedNodes

from upcall.substrate.interface import Guest
from upcall.substrate.kubernetes import names, speaking
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import DEPLOYMENT, POD, Kind, Object
from upcall.substrate.kubernetes.client.login import from_kubeconfig

RBAC = "rbac.authorization.k8s.io"
ROLE = Kind(RBAC, "v1", "ClusterRole", "clusterroles", namespaced=False)
BINDING = Kind(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False)
OURS = {"apiGroups": ["", "upcall.dev"], "resources": ["*"], "verbs": ["*"]}
THEIRS = {"apiGroups": ["apps", "policy"], "resources": ["*"], "verbs": ["*"]}


async def may(api: Api, name: str, *rules: dict[str, Any]) -> None:
    await api.apply(ROLE, {"metadata": {"name": name}, "rules": list(rules)}, force=True)
    role, who = {"apiGroup": RBAC, "kind": "ClusterRole", "name": name}, {"kind": "User", "name": name}
    await api.apply(BINDING, {"metadata": {"name": name}, "roleRef": role, "subjects": [who]}, force=True)


def workload() -> Object:
    labels = {"app": "web"}
    spec = {"containers": [{"name": "main", "image": "example.invalid/nothing:1"}]}
    return {
        "metadata": {"name": "web", "annotations": {names.ASK: "careful"}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


async def test_without_rights_to_others_workloads_ours_run_and_with_them_they_are_followed(
    plane: ControlPlane,
    api: Api,
    namespace: str,
    nodes: PlayedNodes,
    disruptions: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speaking, "ALLOWED_AGAIN_S", 0.5)
    await may(api, namespace, OURS)
    await api.create(DEPLOYMENT, workload(), namespace)
    async with Connection(from_kubeconfig((plane.user(namespace, namespace),))) as connection:
        driven = Driven(Api(connection), namespace)
        running = asyncio.create_task(driven.run())
        driven.take(lambda now_s: driven.core.wanted([], now_s))
        driven.take(lambda now_s: driven.core.launch(wanted(), now_s))
        await driven.until(lambda: driven.states(wanted().task)[-1:] == ["ready"], "ours is ready")
        assert "deployments" in driven.speaker.away["Deployment"]
        assert not any(isinstance(up, Guest) for up in driven.said)

        await may(api, namespace, OURS, THEIRS)
        await driven.until(lambda: any(isinstance(up, Guest) for up in driven.said), "the other one is heard of")
        assert "Deployment" not in driven.speaker.away
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    await api.delete(DEPLOYMENT, "web", namespace)
    for kind in (BINDING, ROLE):
        await api.delete(kind, namespace)
    for each in (await api.list(POD, namespace)).objects:
        with contextlib.suppress(NotFound):
            await api.merge(POD, each["metadata"]["name"], {"metadata": {"finalizers": None}}, namespace)

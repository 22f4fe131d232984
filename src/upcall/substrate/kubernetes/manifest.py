"""What we write for a task: its pod, the claims of its volumes, and the headless ``Service`` by which it is known.

The pod holds one container, in which our agent's part starts what the declaration says: it asks the master for the
launch, as an agent does on a machine of our own, and proves who it is by a token that the API server signed for this
pod alone. So no pod holds secrets, and nothing of a declaration but its size, its volumes and its ports stands in the
manifest. It is ready when our part says so, by the checks of the declaration. No probe ends it: the only one that can
end a task is an operation.

A pod never starts anew by itself (``Never``): each start is an incarnation, and the ledger's. All pods fit the
``restricted`` level of PodSecurity.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from upcall.protocol.declaration import DISK, Declaration, Resources, Volume
from upcall.substrate.interface import Wanted
from upcall.substrate.kubernetes import names
from upcall.substrate.kubernetes.placement import instead_of, placement
from upcall.substrate.kubernetes.quantities import of_cores, of_mib

CONTAINER: Final = "task"
USER: Final = 10_001
"""Nobody on any machine; volumes are given to this group."""
OURS_S: Final = 5
"""Beyond a task's grace: in it our part says how it ended."""
PORT: Final = 10_255
"""On which our part says whether the task is ready."""
TOKEN_S: Final = 3600
AUDIENCE: Final = "upcall"
TRUST: Final = "upcall-pods"
"""The ConfigMap that says whom pods may take for the master; no secret."""
SANDBOX: Final = "/upcall/sandbox"
VOLUMES: Final = "/upcall/volumes"
IDENTITY: Final = "/var/run/upcall"
"""A folder: the token by which our part shows who it is, and the authorities by which the master does."""
LAST_WORD: Final = "/dev/termination-log"
PROBED: Final = {"periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 3}
"""How often a check has to fail our part in the pod counts itself. Here it is three times, and slowly, because a
container that ends by itself is asked once more before its kubelet knows, and our part answers late on a busy node: who
is taken for ill is cured by a restart."""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """The object with which all of ours go: our own resource that stands for this installation."""

    api_version: str
    kind: str
    name: str
    uid: str


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Of one installation."""

    image: str
    """Whose entry point is our part (:mod:`upcall.kubernetes.pod`)."""
    master_url: str
    """Where pods find the master."""
    namespace: str = ""
    """Of this control plane: what it says of what is the whole cluster's is told by it from what another says."""
    domain: str = ""
    """``<namespace>.svc``: in it members have names. Empty: they are known by the addresses of their pods."""
    owner: Owner | None = None
    storage_class: str = ""
    """Of volumes of the usual kind; empty: the cluster's default."""
    storage_classes: Mapping[str, str] = {}
    """For kinds of volumes: the storage class of each. Of another kind it is the class of that name."""
    volumes_bound_to_node: bool = False
    """Whether its storage is on the nodes."""


def pod(
    wanted: Wanted,
    claims: Mapping[str, str],
    settings: Settings,
    labelled: Callable[[str], bool] = lambda label: True,
) -> dict[str, Any]:
    """``claims``: volume -> the name of its claim. ``labelled``: whether any node has this label."""
    task, declaration = wanted.task, wanted.declaration
    annotations = {
        names.TASK: str(task),
        names.GENERATION: str(wanted.generation),
        names.PLACE: str(wanted.place),
        names.GRACE: str(declaration.grace_s),
    }
    if wanted.beside:
        annotations[names.BESIDE] = "true"
    if instead := instead_of(declaration.constraints, labelled):
        annotations[names.SPREAD] = instead
    labels = _labels(task.service, task.member) | {names.HELD: "true"}
    if declaration.constraints.apart or declaration.constraints.spread:
        labels[names.APART] = names.as_label(declaration.constraints.apart)
    metadata = _metadata(names.pod_name(task.member_id, wanted.place), labels, annotations, settings)
    return {
        "metadata": {**metadata, "finalizers": [names.KEEPS]},
        "spec": {
            "hostname": names.as_label(task.member),
            "subdomain": names.as_label(task.service),
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": grace_s(declaration.grace_s),
            # A server that does not know eviction requests, or has them off, leaves it out.
            "evictionResponders": [{"name": names.RESPONDER, "priority": names.RESPONDER_PRIORITY}],
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [_container(wanted, settings)],
            "volumes": _volumes(declaration, claims),
            **placement(task.service, declaration.constraints, labelled),
        },
    }


def grace_s(seconds: float) -> int:
    """Of a pod, for a task that is given so much."""
    return math.ceil(seconds) + OURS_S


def _container(wanted: Wanted, settings: Settings) -> dict[str, Any]:
    declaration = wanted.declaration
    return {
        "name": CONTAINER,
        "image": settings.image,
        "env": [
            {"name": "UPCALL_TASK", "value": str(wanted.task)},
            {"name": "UPCALL_MASTER", "value": settings.master_url},
            {"name": "UPCALL_SANDBOX", "value": SANDBOX},
            {"name": "UPCALL_VOLUMES", "value": VOLUMES},
            {"name": "UPCALL_IDENTITY", "value": IDENTITY},
            {"name": "UPCALL_LAST_WORD", "value": LAST_WORD},
            {"name": "UPCALL_ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "UPCALL_NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        ],
        "ports": [{"containerPort": port.number} for port in declaration.ports],
        "resources": amounts(declaration.resources),
        "volumeMounts": [
            {"name": "sandbox", "mountPath": SANDBOX},
            {"name": "identity", "mountPath": IDENTITY, "readOnly": True},
            *({"name": _mount(volume), "mountPath": f"{VOLUMES}/{volume.name}"} for volume in declaration.volumes),
        ],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": PORT}, **PROBED},
        "terminationMessagePath": LAST_WORD,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def amounts(resources: Resources) -> dict[str, dict[str, str]]:
    """Requests and limits. Cores are a share: where others leave more, it may use more."""
    requests = {"cpu": of_cores(resources.cpus)}
    limits = {}
    if resources.memory_mib:
        requests["memory"] = limits["memory"] = of_mib(resources.memory_mib)
    if resources.disk_mib:
        requests["ephemeral-storage"] = limits["ephemeral-storage"] = of_mib(resources.disk_mib)
    return {"requests": requests, "limits": limits}


def _volumes(declaration: Declaration, claims: Mapping[str, str]) -> list[dict[str, Any]]:
    sandbox: dict[str, Any] = {"name": "sandbox", "emptyDir": {}}
    if declaration.resources.disk_mib:
        sandbox["emptyDir"] = {"sizeLimit": of_mib(declaration.resources.disk_mib)}
    token = {"serviceAccountToken": {"audience": AUDIENCE, "expirationSeconds": TOKEN_S, "path": "token"}}
    trust = {"configMap": {"name": TRUST, "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
    return [
        sandbox,
        {"name": "identity", "projected": {"sources": [token, trust]}},
        *(
            {"name": _mount(volume), "persistentVolumeClaim": {"claimName": claims[volume.name]}}
            for volume in declaration.volumes
        ),
    ]


def _mount(volume: Volume) -> str:
    return names.as_label(f"volume-{volume.name}")


def claim(member_id: str, volume: Volume, fence: int, place: int, settings: Settings) -> dict[str, Any]:
    """Of one volume of one set. One pod at a time has it, whatever its node."""
    service, _, member = member_id.partition(".")
    annotations = {names.FENCE: str(fence), names.PLACE: str(place), names.VOLUME: volume.name}
    name = names.claim_name(member_id, volume.name, fence)
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOncePod"],
        "resources": {"requests": {"storage": of_mib(max(volume.size_mib, 1))}},
    }
    if storage := _storage_class(volume, settings):
        spec["storageClassName"] = storage
    return {"metadata": _metadata(name, _labels(service, member), annotations, settings), "spec": spec}


def _storage_class(volume: Volume, settings: Settings) -> str:
    """A kind of which nothing is said is a class of its own name: so a service chooses one of the cluster's."""
    own = settings.storage_class if volume.kind == DISK else volume.kind
    return settings.storage_classes.get(volume.kind, own)


def headless(service: str, settings: Settings) -> dict[str, Any]:
    """By which its members have names. They have them before they are ready: they find one another by them."""
    labels = {names.MANAGED_BY: names.MANAGER, names.SERVICE: names.as_label(service)}
    return {
        "metadata": _metadata(names.as_label(service), labels, {}, settings),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {names.SERVICE: names.as_label(service)},
        },
    }


def _labels(service: str, member: str) -> dict[str, str]:
    return {
        names.MANAGED_BY: names.MANAGER,
        names.SERVICE: names.as_label(service),
        names.MEMBER: names.as_label(member),
    }


def _metadata(
    name: str, labels: Mapping[str, str], annotations: Mapping[str, str], settings: Settings
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": dict(labels)}
    if annotations:
        metadata["annotations"] = dict(annotations)
    if (owner := settings.owner) is not None:
        reference = {"apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid}
        metadata["ownerReferences"] = [{**reference, "controller": True, "blockOwnerDeletion": True}]
    return metadata

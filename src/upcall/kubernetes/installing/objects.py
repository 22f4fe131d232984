"""What a control plane consists of, as objects: one list, applied by ``upcall up`` and written down as a chart.

Of rights it has what the master does, and no more. In its namespace: pods, claims, services, its own records, the
pages of events, and services as resources. Of the whole cluster: to see nodes and close one for a maintenance, to ask
whose token it is, and to say whom to trust at one webhook, which is named. It may make no role, no kind and no
namespace.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from upcall.kubernetes import kinds_there
from upcall.kubernetes.control_plane import identity
from upcall.kubernetes.control_plane.folder import EVICTIONS_PORT, PODS_PORT, webhook_name
from upcall.kubernetes.control_plane.leading import LEADS
from upcall.kubernetes.records import kept
from upcall.kubernetes.records.objects import RECORD
from upcall.kubernetes.records.objects import definition as of_records
from upcall.kubernetes.resources.catalog import names
from upcall.kubernetes.resources.kinds import OPERATION, served
from upcall.kubernetes.resources.kinds import definitions as of_resources
from upcall.kubernetes.rights import Right, of_rules
from upcall.substrate.kubernetes.client.kinds import (
    BUDGET,
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    DEFINITION,
    DEPLOYMENT,
    NETWORK_POLICY,
    ROLE,
    ROLE_BINDING,
    SERVICE,
    SERVICE_ACCOUNT,
    STATEFUL_SET,
    WEBHOOK,
    Kind,
    Object,
)
from upcall.substrate.kubernetes.evictions.objects import (
    DISRUPTION,
    SERVICE_PORT,
    by_service,
    floor,
    of_namespace,
    webhook,
)
from upcall.substrate.kubernetes.evictions.objects import definition as of_disruptions
from upcall.substrate.kubernetes.evictions.requests import EVICTION
from upcall.substrate.kubernetes.evictions.serving import STANDS_IN
from upcall.substrate.kubernetes.manifest import PORT, TRUST, USER
from upcall.substrate.kubernetes.names import SERVICE as OF_SERVICE

NAME: Final = "upcall-master"
API_PORT: Final = 5050
RELAY_PORT: Final = 5051
"""Beside it, on the same loopback."""
REPLICAS_MAX: Final = 9
DATA: Final = "/upcall/data"
ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where every pod has it; mounted by us, so that its token is bound to this pod and short-lived whatever is usual."""
TOKEN_S: Final = 3607
LABELS: Final = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": "upcall"}
GRACE_S: Final = 30
READY_S: Final = 10
STORAGE_CLASS: Final = "UPCALL_STORAGE_CLASS"
VOLUMES_BOUND: Final = "UPCALL_VOLUMES_BOUND_TO_NODE"
READ: Final = ("get", "list", "watch")


REPLICAS: Final = 2
BOUND: Final = "true"
NOT_BOUND: Final = "false"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Of one installation. A chart has its own words in these."""

    namespace: str
    image: str
    replicas: Any = REPLICAS
    """A number."""
    storage_class: str = ""
    volumes_bound_to_node: str = NOT_BOUND


def definitions() -> list[tuple[Kind, Object]]:
    """Our kinds. They are the whole cluster's, and stay when a control plane goes: their objects would go with them."""
    # A control plane asks for its rights here, and needs nothing of its packages' code for it.
    from upcall.kubernetes.resources.offering import offered

    return [(DEFINITION, one) for one in (of_disruptions(), of_records(), *of_resources(offered()))]


def objects(wish: Wish) -> list[tuple[Kind, Object]]:
    """In an order in which each finds what it needs."""
    cluster_role = f"{NAME}-{wish.namespace}"
    ours = of_namespace(wish.namespace)
    where = {"service": by_service(wish.namespace, NAME)}
    return [
        (SERVICE_ACCOUNT, _named(NAME, automountServiceAccountToken=False)),
        (ROLE, _named(NAME, rules=list(_rules()))),
        (ROLE_BINDING, _named(NAME, **_binding("Role", NAME, wish))),
        (CLUSTER_ROLE, _named(cluster_role, rules=list(_rules_of_the_cluster(wish)))),
        (CLUSTER_ROLE_BINDING, _named(cluster_role, **_binding("ClusterRole", cluster_role, wish))),
        (SERVICE, _named(NAME, spec=_service())),
        (NETWORK_POLICY, _named(NAME, spec=_who_may_come())),
        (BUDGET, _labelled(floor())),
        (BUDGET, _named(NAME, spec={"maxUnavailable": 1, "selector": {"matchLabels": LABELS}})),
        (WEBHOOK, _labelled(webhook(where, b"", ours, webhook_name(wish.namespace)))),
        (DEPLOYMENT, _named(NAME, spec=_deployment(wish))),
    ]


def wish_of(namespace: str, deployment: Object) -> Wish:
    """What was wished for of one that stands, whoever applied it."""
    spec = deployment["spec"]
    container = spec["template"]["spec"]["containers"][0]
    said = {one["name"]: str(one.get("value", "")) for one in container.get("env") or ()}
    return Wish(
        namespace=namespace,
        image=str(container["image"]),
        replicas=spec.get("replicas") or REPLICAS,  # Of none that somebody left there nobody would ever lead.
        storage_class=said.get(STORAGE_CLASS, ""),
        volumes_bound_to_node=said.get(VOLUMES_BOUND) or NOT_BOUND,
    )


def _named(name: str, **fields: Any) -> Object:
    return {"metadata": {"name": name, "labels": dict(LABELS)}, **fields}


def _labelled(obj: Object) -> Object:
    return obj | {"metadata": obj["metadata"] | {"labels": dict(LABELS)}}


# -- rights -----------------------------------------------------------------------------------------------------------


def rule(group: str, kinds: str, verbs: Sequence[str], names: Sequence[str] = ()) -> Object:
    found: Object = {"apiGroups": [group], "resources": kinds.split(), "verbs": list(verbs)}
    return found | ({"resourceNames": list(names)} if names else {})


def _rules() -> tuple[Object, ...]:
    services = [kind.plural for kind in served(names())]
    secrets = (identity.NAME, kept.NAME, STANDS_IN, TRUST)
    return (
        rule("", "pods persistentvolumeclaims services", (*READ, "create", "patch", "delete")),
        rule("", "pods/resize", ("patch",)),
        rule("", "configmaps", (*READ, "create", "update", "patch", "delete")),
        rule("", "secrets", ("get", "update", "patch"), secrets),
        # What is created has no name that could be held to.
        rule("", "secrets", ("create",)),
        rule("coordination.k8s.io", "leases", (*READ, "create", "update")),
        rule(DISRUPTION.group, f"{DISRUPTION.plural} {RECORD.plural}", (*READ, "create", "update", "patch", "delete")),
        rule(DISRUPTION.group, f"{DISRUPTION.plural}/status", ("get", "update", "patch")),
        # Services as resources: what they say is read, and what there is is written into their status.
        rule(OPERATION.group, " ".join(services), (*READ, "patch")),
        rule(OPERATION.group, " ".join(f"{one}/status" for one in services), ("patch",)),
        rule(OPERATION.group, OPERATION.plural, ("list", "create", "patch", "delete")),
        # Workloads of others that are followed, each under a budget of its own; and evictions by the newer way.
        rule(BUDGET.group, BUDGET.plural, (*READ, "create", "patch", "delete")),
        rule(STATEFUL_SET.group, f"{STATEFUL_SET.plural} {DEPLOYMENT.plural}", READ),
        rule(EVICTION.group, EVICTION.plural, READ),
        rule(EVICTION.group, f"{EVICTION.plural}/status", ("patch",)),
        rule("", "pods/eviction", ("create",)),
    )


def _rules_of_the_cluster(wish: Wish) -> tuple[Object, ...]:
    return (
        rule("", "nodes", (*READ, "patch")),
        rule("authentication.k8s.io", "tokenreviews", ("create",)),
        # Whose kinds there are, a newer upcall's or an older one's; it makes none.
        rule(DEFINITION.group, DEFINITION.plural, READ, kinds_there.NAMES),
        rule(WEBHOOK.group, WEBHOOK.plural, ("get", "patch"), (webhook_name(wish.namespace),)),
    )


def rights(namespace: str) -> list[Right]:
    """All that a control plane does, as its roles allow it."""
    of_the_cluster = _rules_of_the_cluster(Wish(namespace=namespace, image="-"))
    return [*of_rules(_rules(), namespace), *of_rules(of_the_cluster, "")]


def _binding(kind: str, name: str, wish: Wish) -> dict[str, Any]:
    return {
        "roleRef": {"apiGroup": ROLE.group, "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": wish.namespace}],
    }


# -- how it is reached ------------------------------------------------------------------------------------------------


def _service() -> Object:
    """Of the one that leads, while it answers."""
    return {
        "type": "ClusterIP",
        "selector": {**LABELS, LEADS: "true"},
        "ports": [
            {"name": "pods", "port": PODS_PORT, "targetPort": PODS_PORT, "protocol": "TCP"},
            {"name": "evictions", "port": SERVICE_PORT, "targetPort": EVICTIONS_PORT, "protocol": "TCP"},
        ],
    }


def _who_may_come() -> Object:
    """Members' pods to their door; to the webhook anybody, for the API server may have any address; nobody else to
    anything. The operator API listens on the pod's own loopback."""
    members = {"podSelector": {"matchExpressions": [{"key": OF_SERVICE, "operator": "Exists"}]}}
    return {
        "podSelector": {"matchLabels": LABELS},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"from": [members], "ports": [{"port": PODS_PORT, "protocol": "TCP"}]},
            {"ports": [{"port": EVICTIONS_PORT, "protocol": "TCP"}]},
        ],
    }


# -- what runs --------------------------------------------------------------------------------------------------------


def _deployment(wish: Wish) -> Object:
    return {
        "replicas": wish.replicas,
        # One that ends at once, because newer ones were here, is not taken for one that stands by.
        "minReadySeconds": READY_S,
        "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": dict(LABELS)}, "spec": _pod(wish)},
    }


def _pod(wish: Wish) -> Object:
    apart = {
        "weight": 100,
        "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": LABELS}},
    }
    return {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [apart]}},
        "containers": [_container(wish)],
        "volumes": [
            {"name": "data", "emptyDir": {"sizeLimit": "2Gi"}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "account", "projected": {"sources": _account()}},
        ],
    }


def _account() -> list[Object]:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_S, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]


def _container(wish: Wish) -> Object:
    fields = {
        "UPCALL_NAMESPACE": "metadata.namespace",
        "UPCALL_POD": "metadata.name",
        "UPCALL_ADDRESS": "status.podIP",
    }
    values: Mapping[str, str] = {
        "UPCALL_IMAGE": wish.image,
        "UPCALL_SERVICE": NAME,
        "UPCALL_ACCOUNT": ACCOUNT,
        "UPCALL_DATA": DATA,
        "UPCALL_API": f"127.0.0.1:{API_PORT}",
        STORAGE_CLASS: wish.storage_class,
        VOLUMES_BOUND: wish.volumes_bound_to_node,
        "UPCALL_CACHE": f"{DATA}/cache",
        "HOME": DATA,
    }
    return {
        "name": "master",
        "image": wish.image,
        "args": ["control-plane"],
        "env": [
            *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()),
            *({"name": name, "value": value} for name, value in values.items()),
        ],
        "ports": [
            {"name": "pods", "containerPort": PODS_PORT},
            {"name": "evictions", "containerPort": EVICTIONS_PORT},
        ],
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"memory": "1Gi"},
        },
        "volumeMounts": [
            {"name": "data", "mountPath": DATA},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "account", "mountPath": ACCOUNT, "readOnly": True},
        ],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": PORT}, "periodSeconds": 2, "failureThreshold": 3},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }

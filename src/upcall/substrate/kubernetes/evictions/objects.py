"""What this part keeps in the API server: the ``Disruption``, the floor, and the webhook itself."""

import base64
from typing import Final

from upcall.substrate.kubernetes.client.kinds import Kind, Object
from upcall.substrate.kubernetes.names import GUEST, HELD, MEMBER, SERVICE

GROUP: Final = "upcall.dev"
DISRUPTION: Final = Kind(GROUP, "v1alpha1", "Disruption", "disruptions")

DEFINED: Final = f"{GROUP}/defined"
"""An annotation of a kind: the how many-th version of what it is. An older upcall leaves a newer one alone."""
PATH: Final = "/evictions"
NAME: Final = "evictions.upcall.dev"
TIMEOUT_S: Final = 10
SERVICE_PORT: Final = 443
NEVER: Final = 2_147_483_647
"""More pods than there can be. ``maxUnavailable: 0`` holds them as well, but has to be told by their owner how many he
wants; of one that the cluster's controller cannot ask it says for ever that something is broken."""


def disruption_name(pod_uid: str) -> str:
    """One for each incarnation of a pod, whoever asks and however often."""
    return f"evict-{pod_uid}"


def disruption(pod: Object, who: str, asked_wall_s: float) -> Object:
    meta = pod["metadata"]
    labels = {key: meta["labels"][key] for key in (SERVICE, MEMBER)}
    return {
        "metadata": {"name": disruption_name(meta["uid"]), "labels": labels},
        "spec": {
            "verb": "evict",
            "pod": meta["name"],
            "podUID": meta["uid"],
            "who": who,
            "reason": f"eviction{_which(meta)} from {pod['spec'].get('nodeName', 'no node')}",
            "asked": asked_wall_s,
        },
    }


def _which(meta: Object) -> str:
    """Of somebody else's workload its pods have names that its people know."""
    return f" of pod {meta['name']}" if GUEST in meta["labels"] else ""


def definition() -> Object:
    """What a ``Disruption`` is, for the API server."""
    text, seconds = {"type": "string"}, {"type": "number"}
    spec = {
        "verb": {"type": "string", "enum": ["evict", "stop", "preempt"]},
        "pod": text,
        "podUID": text,
        "who": text,
        "reason": text,
        "asked": seconds | {"description": "when it was last asked for; seconds since 1970"},
        "until": seconds | {"description": "from when on whoever disturbs goes ahead anyway; seconds since 1970"},
    }
    status = {
        "allowed": {"type": "boolean", "description": "the service agreed"},
        "message": text | {"description": "why not yet, in the service's own words"},
    }
    columns = [
        {"name": "Pod", "type": "string", "jsonPath": ".spec.pod"},
        {"name": "Who", "type": "string", "jsonPath": ".spec.who"},
        {"name": "Allowed", "type": "boolean", "jsonPath": ".status.allowed"},
        {"name": "Message", "type": "string", "jsonPath": ".status.message"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    schema = {
        "type": "object",
        "required": ["spec"],
        "properties": {
            "spec": {"type": "object", "required": ["pod"], "properties": spec},
            "status": {"type": "object", "properties": status},
        },
    }
    version = {
        "name": DISRUPTION.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
    }
    names = {"kind": DISRUPTION.name, "plural": DISRUPTION.plural, "singular": DISRUPTION.name.lower()}
    return {
        "metadata": {"name": f"{DISRUPTION.plural}.{GROUP}", "annotations": {DEFINED: "1"}},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def floor() -> Object:
    """Of one namespace: none of its held pods is evicted. Also those that are unwell, else a drain takes them first."""
    return {
        "metadata": {"name": "upcall-holds"},
        "spec": {
            "minAvailable": NEVER,
            "selector": {"matchExpressions": [{"key": HELD, "operator": "Exists"}]},
            "unhealthyPodEvictionPolicy": "IfHealthyBudget",
        },
    }


def by_service(namespace: str, name: str) -> Object:
    """Where the API server finds it, by a Service."""
    return {"namespace": namespace, "name": name, "path": PATH, "port": SERVICE_PORT}


def of_namespace(name: str) -> Object:
    """That one, and no other."""
    return {"matchLabels": {"kubernetes.io/metadata.name": name}}


def webhook(where: Object, bundle: bytes, namespaces: Object, name: str = NAME) -> Object:
    """``where``: a ``url``, or a ``service``. ``namespaces``: a selector of those that we serve; of others nobody asks
    us. No ``bundle``: whom to trust is said later. When we are away the floor answers ("not now", which a drain waits
    out), so we may be passed over."""
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["pods/eviction"],
        "scope": "Namespaced",
    }
    one = {
        "name": NAME,
        "admissionReviewVersions": ["v1"],
        "clientConfig": where | ({"caBundle": base64.b64encode(bundle).decode()} if bundle else {}),
        "rules": [rule],
        "namespaceSelector": namespaces,
        "failurePolicy": "Ignore",
        "sideEffects": "NoneOnDryRun",
        "timeoutSeconds": TIMEOUT_S,
    }
    return {"metadata": {"name": name}, "webhooks": [one]}

"""The parts of the API server's objects that we read: everything else in them is somebody else's business.

What the server sends is decoded into these; a field that is not there has its default, one that is not named here is
left out. What we write are plain dictionaries (:mod:`manifest`), which is what the server takes.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, TypeVar

import msgspec

from upcall.substrate.interface import TaskId
from upcall.substrate.kubernetes import names
from upcall.substrate.tasks import parse

Raw: TypeAlias = Mapping[str, Any]
"""An object as it is on the wire."""
Kind: TypeAlias = Literal[
    "Pod", "Node", "PersistentVolumeClaim", "Service", "Disruption", "PodDisruptionBudget", "StatefulSet", "Deployment"
]

OTHERS: Final[tuple[Kind, ...]] = ("PodDisruptionBudget", "StatefulSet", "Deployment")
"""Somebody else's, and looked at for his sake: what is ours begins without them, also where they may not be read."""
NEEDED: Final[tuple[Kind, ...]] = ("Node", "PersistentVolumeClaim", "Service", "Disruption", "Pod")
KINDS: Final[tuple[Kind, ...]] = (*OTHERS, *NEEDED)
"""All that are watched; pods last, because what is said of them is said with the others in mind."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class Owner(_Part, frozen=True, kw_only=True):
    kind: str
    name: str
    uid: str
    controller: bool = False


class Metadata(_Part, frozen=True, kw_only=True):
    name: str
    uid: str = ""
    resource_version: str = "0"
    generation: int = 0
    """Rises with each change of what is wanted of it."""
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    deletion_grace_period_seconds: float | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[Owner, ...] = ()

    @property
    def version(self) -> int:
        return int(self.resource_version)


class Condition(_Part, frozen=True, kw_only=True):
    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""
    observed_generation: int = 0


class Amounts(_Part, frozen=True, kw_only=True):
    """Of a container."""

    requests: dict[str, str] = {}
    limits: dict[str, str] = {}


class Waiting(_Part, frozen=True, kw_only=True):
    reason: str = ""
    message: str = ""


class Running(_Part, frozen=True, kw_only=True):
    started_at: str = ""


class Terminated(_Part, frozen=True, kw_only=True):
    exit_code: int
    signal: int = 0
    reason: str = ""
    message: str = ""


class ContainerState(_Part, frozen=True, kw_only=True):
    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(_Part, frozen=True, kw_only=True):
    ready: bool = False
    state: ContainerState = ContainerState()
    resources: Amounts | None = None
    """What it really has; none: its node does not say."""


class ContainerSpec(_Part, frozen=True, kw_only=True):
    name: str = ""
    resources: Amounts = Amounts()


class PodSpec(_Part, frozen=True, kw_only=True):
    node_name: str = ""
    containers: tuple[ContainerSpec, ...] = ()


class PodStatus(_Part, frozen=True, kw_only=True):
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    observed_generation: int = 0
    """Of the pod, that its node has heard of."""
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class _Object(_Part, frozen=True, kw_only=True):
    metadata: Metadata

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def uid(self) -> str:
        return self.metadata.uid

    @property
    def member_id(self) -> str:
        """Of whom it is; empty: not one of ours."""
        labels = self.metadata.labels
        service, member = labels.get(names.SERVICE, ""), labels.get(names.MEMBER, "")
        return f"{service}.{member}" if service and member else ""

    def noted(self, key: str, default: str = "") -> str:
        return self.metadata.annotations.get(key, default)

    def number(self, key: str) -> int:
        text = self.noted(key)
        return int(text) if text.isdecimal() else 0


class Pod(_Object, frozen=True, kw_only=True):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def task(self) -> TaskId | None:
        return parse(self.noted(names.TASK))

    @property
    def node(self) -> str:
        return self.spec.node_name

    @property
    def guest(self) -> bool:
        """Somebody else's, which is followed."""
        return names.GUEST in self.metadata.labels

    @property
    def leaving(self) -> bool:
        """Somebody has told it to end."""
        return bool(self.metadata.deletion_timestamp)

    @property
    def container(self) -> ContainerStatus | None:
        """There is one; before its node has looked at the pod there is none yet."""
        return next(iter(self.status.container_statuses), None)

    def condition(self, kind: str) -> Condition | None:
        return next((one for one in self.status.conditions if one.type == kind), None)


class Taint(_Part, frozen=True, kw_only=True):
    key: str
    effect: str = ""


class NodeSpec(_Part, frozen=True, kw_only=True):
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeStatus(_Part, frozen=True, kw_only=True):
    allocatable: dict[str, str] = {}
    conditions: tuple[Condition, ...] = ()


class Node(_Object, frozen=True, kw_only=True):
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def out_of_service(self) -> bool:
        """Somebody who knows has said that nothing of it runs any more."""
        return any(taint.key == names.OUT_OF_SERVICE for taint in self.spec.taints)

    @property
    def ready(self) -> Condition | None:
        return next((one for one in self.status.conditions if one.type == "Ready"), None)


class Wants(_Part, frozen=True, kw_only=True):
    requests: dict[str, str] = {}


class ClaimSpec(_Part, frozen=True, kw_only=True):
    resources: Wants = Wants()
    storage_class_name: str | None = None
    """None: nobody named one, and the cluster has no default."""
    volume_name: str = ""


class ClaimStatus(_Part, frozen=True, kw_only=True):
    phase: str = ""


class Claim(_Object, frozen=True, kw_only=True):
    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()

    @property
    def has_no_class(self) -> bool:
        """So nobody makes a volume for it, however long it waits."""
        return self.status.phase == "Pending" and self.spec.storage_class_name is None and not self.spec.volume_name


class Service(_Object, frozen=True, kw_only=True):
    pass


class DisruptionSpec(_Part, frozen=True, kw_only=True):
    verb: Literal["stop", "evict", "preempt"] = "evict"
    pod: str
    pod_uid: str = msgspec.field(default="", name="podUID")
    who: str = ""
    reason: str = ""
    asked: float | None = None
    """When it was asked for last; seconds since 1970. None: by somebody who says himself when he gives up."""
    until: float | None = None
    """Seconds since 1970, from which on whoever disturbs goes ahead anyway; none: he waits for us."""


class DisruptionStatus(_Part, frozen=True, kw_only=True):
    allowed: bool = False
    message: str = ""
    """Why not yet."""


class Disruption(_Object, frozen=True, kw_only=True):
    """Our own resource: what somebody else wants of a pod, as the webhook wrote it down."""

    spec: DisruptionSpec
    status: DisruptionStatus = DisruptionStatus()


class Requirement(_Part, frozen=True, kw_only=True):
    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case _:
                return self.key not in labels


class Selector(_Part, frozen=True, kw_only=True):
    match_labels: dict[str, str] = {}
    match_expressions: tuple[Requirement, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        return self.match_labels.items() <= labels.items() and all(one.holds(labels) for one in self.match_expressions)


class TemplateMetadata(_Part, frozen=True, kw_only=True):
    labels: dict[str, str] = {}


class Template(_Part, frozen=True, kw_only=True):
    metadata: TemplateMetadata = TemplateMetadata()


class Ordinals(_Part, frozen=True, kw_only=True):
    start: int = 0


class WorkloadSpec(_Part, frozen=True, kw_only=True):
    replicas: int = 1
    selector: Selector = Selector()
    template: Template = Template()
    ordinals: Ordinals = Ordinals()


class Workload(_Object, frozen=True, kw_only=True):
    """A ``StatefulSet`` or a ``Deployment``."""

    spec: WorkloadSpec = WorkloadSpec()


class BudgetSpec(_Part, frozen=True, kw_only=True):
    selector: Selector | None = None


class Budget(_Object, frozen=True, kw_only=True):
    spec: BudgetSpec = BudgetSpec()

    def holds(self, labels: Mapping[str, str]) -> bool:
        return self.spec.selector is not None and self.spec.selector.holds(labels)


TYPES: Final[dict[Kind, type[_Object]]] = {
    "Pod": Pod,
    "Node": Node,
    "PersistentVolumeClaim": Claim,
    "Service": Service,
    "Disruption": Disruption,
    "PodDisruptionBudget": Budget,
    "StatefulSet": Workload,
    "Deployment": Workload,
}
Object: TypeAlias = _Object
T = TypeVar("T", bound=_Object)


def read(kind: Kind, raw: Raw) -> _Object:
    return msgspec.convert(raw, TYPES[kind])

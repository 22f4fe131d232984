"""What the manifest gives to a control plane (:mod:`upcall.kubernetes.installing.objects`): names, folders, addresses.
No secret is among it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from upcall.kubernetes.environment import word as environment_word


@dataclass(frozen=True)
class Given:
    namespace: str
    pod: str
    address: str
    """Of the pod."""
    image: str
    """Of members' pods."""
    service: str
    """By whose name the one that leads is reached."""
    account: Path
    """Of the service account: token, authorities, namespace."""
    data: Path
    api: str
    """Where the operator API listens: reached from nowhere but this pod, and so through a forwarded port."""
    storage_class: str
    volumes_bound_to_node: bool

    @property
    def host(self) -> str:
        return f"{self.service}.{self.namespace}.svc"

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Given":
        word = partial(environment_word, environment)
        return cls(
            namespace=word("UPCALL_NAMESPACE"),
            pod=word("UPCALL_POD"),
            address=word("UPCALL_ADDRESS"),
            image=word("UPCALL_IMAGE"),
            service=word("UPCALL_SERVICE"),
            account=Path(word("UPCALL_ACCOUNT")),
            data=Path(word("UPCALL_DATA")),
            api=word("UPCALL_API"),
            storage_class=environment.get("UPCALL_STORAGE_CLASS", ""),
            volumes_bound_to_node=environment.get("UPCALL_VOLUMES_BOUND_TO_NODE", "") == "true",
        )

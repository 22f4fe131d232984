"""``kubernetes.json`` in the data folder: which Kubernetes, and what of it is ours."""

import os
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from upcall.cluster.folder import Cluster, DataFolder
from upcall.protocol.errors import Invalid
from upcall.substrate.kubernetes import manifest
from upcall.substrate.kubernetes.client.login import Login, LoginError, find, from_kubeconfig, in_cluster
from upcall.substrate.kubernetes.evictions.objects import NAME

FILE: Final = "kubernetes.json"


class Evictions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the API server reaches the webhook, which is served by the master."""

    host: str = "127.0.0.1"
    """The name, or the address, to which its certificate is made out."""
    port: Annotated[int, Meta(ge=1, le=65535)]
    listen: str = ""
    """The address that is listened on; empty: ``host``."""
    service: str = ""
    """By which the API server finds it; empty: by ``host`` and ``port``."""
    name: str = NAME
    """Of the webhook's configuration: one for each control plane."""


class Pods(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where pods reach the master, which serves them there."""

    host: str = "127.0.0.1"
    """The name, or the address, by which they call it."""
    port: Annotated[int, Meta(ge=1, le=65535)]
    listen: str = ""
    """The address that is listened on; empty: ``host``."""

    @property
    def url(self) -> str:
        return f"https://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kubeconfig: str = ""
    """One file or several, as ``KUBECONFIG`` has them. Empty: as ``kubectl`` finds it."""
    context: str = ""
    """Empty: the current one."""
    account: str = ""
    """In a pod: the folder of the service account as which we speak; then no kubeconfig is asked."""
    namespace: Annotated[str, Meta(min_length=1)]
    """Which is there already, and in which all that is ours is made."""
    image: Annotated[str, Meta(min_length=1)]
    """What each pod runs: its entry point is our part (``upcall image build``)."""
    storage_class: str = ""
    """Empty: the cluster's default."""
    volumes_bound_to_node: bool = False
    """Whether its storage is on the nodes."""
    defined: bool = False
    """Whether our kinds, the floor below evictions and the webhook are there already: who installed us made them, and
    we need not be allowed to."""
    evictions: Evictions | None = None
    """None: nobody is asked about an eviction, and the floor holds it."""
    pods: Pods | None = None
    """None: no pod is answered, and nothing runs in any."""

    def login(self) -> Login:
        """Raises :class:`Invalid` where it cannot be said who we are."""
        try:
            if self.account:
                return in_cluster(Path(self.account))
            if self.kubeconfig:
                return from_kubeconfig(tuple(map(Path, self.kubeconfig.split(os.pathsep))), self.context)
            return find(self.context)
        except LoginError as error:
            raise Invalid(str(error), where=FILE, expected="a kubeconfig with a context that can be used") from None

    def of_pods(self, cluster: Cluster) -> manifest.Settings:
        return manifest.Settings(
            image=self.image,
            namespace=self.namespace,
            master_url=self.pods.url if self.pods is not None else cluster.url,
            domain=f"{self.namespace}.svc",
            storage_class=self.storage_class,
            volumes_bound_to_node=self.volumes_bound_to_node,
        )


def load(folder: DataFolder) -> Settings:
    path = folder.root / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Settings)
    except FileNotFoundError:
        raise Invalid(
            "it is not said which Kubernetes", where=str(path), expected='{"namespace": "...", "image": "..."}'
        ) from None
    except (msgspec.DecodeError, OSError) as error:
        raise Invalid(f"cannot be read: {error}", where=str(path)) from error

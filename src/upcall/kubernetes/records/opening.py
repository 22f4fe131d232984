"""The store that a data folder names: which API server and which namespace stands in ``kubernetes.json``."""

import os
import socket
import uuid

from upcall.cluster.folder import Cluster, DataFolder
from upcall.kubernetes.records.store import KubernetesStore
from upcall.kubernetes.settings import load
from upcall.substrate.kubernetes.client.connection import Connection


def open_store(folder: DataFolder, cluster: Cluster) -> KubernetesStore:
    """Waits until this process leads. Its name is that of the pod, where it is one, and never that of a process before
    it: what a Lease says of that one is not said of this one."""
    settings = load(folder)
    login = settings.login()
    identity = f"{socket.gethostname()}_{os.getpid()}_{uuid.uuid4().hex[:8]}"
    return KubernetesStore(lambda: Connection(login), settings.namespace, identity=identity)

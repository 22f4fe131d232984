"""Provides volumes as a cluster whose storage is on its nodes: a folder for each claim, on the node that the scheduler
has chosen for the first pod that wants it."""

import contextlib
import shutil
from pathlib import Path
from typing import Final

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import AlreadyExists, NotFound
from upcall.substrate.kubernetes.client.kinds import VOLUME, Kind, Object

CLASS: Final = Kind("storage.k8s.io", "v1", "StorageClass", "storageclasses", namespaced=False)
CHOSEN: Final = "volume.kubernetes.io/selected-node"
NAME: Final = "folders"


class Volumes:
    def __init__(self, api: Api, folder: Path) -> None:
        self._api, self._folder = api, folder

    async def begin(self) -> None:
        """As the cluster's default."""
        default = {"storageclass.kubernetes.io/is-default-class": "true"}
        await self._api.apply(
            CLASS,
            {
                "metadata": {"name": NAME, "annotations": default},
                "provisioner": "lab.invalid/folders",
                "volumeBindingMode": "WaitForFirstConsumer",
            },
        )

    async def take(self, claim: Object) -> None:
        meta, spec = claim["metadata"], claim["spec"]
        node = meta.get("annotations", {}).get(CHOSEN)
        if not node or spec.get("volumeName") or meta.get("deletionTimestamp"):
            return
        folder = folder_of(self._folder, node, claim)
        folder.mkdir(parents=True, exist_ok=True)
        is_it = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
        made = {
            "metadata": {"name": _name(claim)},
            "spec": {
                "capacity": {"storage": spec["resources"]["requests"]["storage"]},
                "accessModes": spec["accessModes"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": NAME,
                "claimRef": {
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                    "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"],
                },
                "local": {"path": str(folder)},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [is_it]}]}},
            },
        }  # fmt: skip
        with contextlib.suppress(AlreadyExists):
            await self._api.create(VOLUME, made)

    async def gone(self, claim: Object) -> None:
        with contextlib.suppress(NotFound):
            await self._api.delete(VOLUME, _name(claim))
        for folder in self._folder.glob(f"*/volumes/{claim['metadata']['uid']}"):
            shutil.rmtree(folder, ignore_errors=True)


def folder_of(root: Path, node: str, claim: Object) -> Path:
    return root / node / "volumes" / str(claim["metadata"]["uid"])


def _name(claim: Object) -> str:
    return f"folder-{claim['metadata']['uid']}"

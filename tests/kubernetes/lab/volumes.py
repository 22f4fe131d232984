"""Whoever provides volumes, played: each claim gets one, which is a folder of this machine."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import AlreadyExists
from upcall.substrate.kubernetes.client.kinds import CLAIM, VOLUME, Object
from upcall.substrate.kubernetes.client.watching import Changed, Listed, watch

Where = Callable[[str, str], Path]
"""The folder of a claim, by namespace and name."""


async def provide(api: Api, where: Where) -> None:
    """Until cancelled."""
    async with contextlib.aclosing(watch(api, CLAIM)) as events:
        async for event in events:
            match event:
                case Listed(objects=objects):
                    claims = objects
                case Changed(claim):
                    claims = (claim,)
                case _:
                    claims = ()
            for claim in claims:
                if not claim["spec"].get("volumeName") and not claim["metadata"].get("deletionTimestamp"):
                    with contextlib.suppress(AlreadyExists):
                        await api.create(VOLUME, volume_for(claim, where))


def volume_for(claim: Object, where: Where) -> Object:
    meta, spec = claim["metadata"], claim["spec"]
    return {
        "metadata": {"name": f"lab-{meta['uid']}"},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": spec.get("storageClassName", ""),
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"],
            },
            "hostPath": {"path": str(where(meta["namespace"], meta["name"]))},
        },
    }  # fmt: skip

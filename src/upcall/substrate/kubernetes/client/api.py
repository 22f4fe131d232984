"""The verbs of the API server, each one call (a list: one a page)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from upcall.substrate.kubernetes.client.connection import APPLY, MERGE, Connection
from upcall.substrate.kubernetes.client.errors import Gone
from upcall.substrate.kubernetes.client.kinds import POD, Kind, Object

MANAGER: Final = "upcall"
"""As whom we own the fields that we apply."""
PAGE: Final = 500
LIST_TRIES_MAX: Final = 5

Cascade = Literal["Orphan", "Background", "Foreground"]


@dataclass(frozen=True)
class Listing:
    """All that was there, and the version of it: a watch goes on from there."""

    objects: tuple[Object, ...]
    version: str


class Api:
    def __init__(self, connection: Connection, *, manager: str = MANAGER) -> None:
        self.connection = connection
        self._manager = manager

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object:
        return bare(await self.connection.call("GET", kind.path(namespace, name)))

    async def list(self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "") -> Listing:
        """In pages; one that took so long that the server forgot its version begins again."""
        for _ in range(LIST_TRIES_MAX - 1):
            try:
                return await self._list(kind, namespace, labels, fields)
            except Gone:
                continue
        return await self._list(kind, namespace, labels, fields)

    async def _list(self, kind: Kind, namespace: str, labels: str, fields: str) -> Listing:
        objects: list[Object] = []
        query = selection(labels, fields) | {"limit": str(PAGE)}
        while True:
            said = await self.connection.call("GET", kind.path(namespace), query=query)
            # The members of a list do not say what they are.
            objects += [bare(kind.of(each)) for each in said.get("items") or ()]
            if not (more := said["metadata"].get("continue")):
                return Listing(tuple(objects), said["metadata"].get("resourceVersion", ""))
            query["continue"] = more

    async def create(
        self, kind: Kind, obj: Object, namespace: str = "", *, name: str = "", part: str = "", dry_run: bool = False
    ) -> Object:
        """``part`` of ``name``: what is created at a subresource (a binding, a token)."""
        return bare(
            await self.connection.call(
                "POST",
                kind.path(namespace, name, part),
                query=self._query(dry_run),
                body=kind.of(obj) if not part else obj,
            )
        )

    async def apply(
        self,
        kind: Kind,
        obj: Object,
        namespace: str = "",
        *,
        part: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> Object:
        """Server-side apply: these fields are to be so, and are ours; those that we applied before and are not in it
        go. Made where it is not there. A field that is somebody else's is a :class:`Conflict`, unless ``force``. With
        a ``resourceVersion`` in it, only while it is still of that version."""
        query = self._query(dry_run) | {"force": "true" if force else "false"}
        path = kind.path(namespace, obj["metadata"]["name"], part)
        return bare(await self.connection.call("PATCH", path, query=query, body=kind.of(obj), form=APPLY))

    async def replace(
        self, kind: Kind, obj: Object, namespace: str = "", *, part: str = "", dry_run: bool = False
    ) -> Object:
        """All of it; with the ``resourceVersion`` that it was read with, this is compare-and-swap."""
        path = kind.path(namespace, obj["metadata"]["name"], part)
        return bare(await self.connection.call("PUT", path, query=self._query(dry_run), body=kind.of(obj)))

    async def merge(
        self, kind: Kind, name: str, change: Mapping[str, Any], namespace: str = "", *, part: str = ""
    ) -> Object:
        """Changes fields whoever owns them, ``None`` removes one; for what is not ours, such as a node's taints."""
        path = kind.path(namespace, name, part)
        return bare(await self.connection.call("PATCH", path, query=self._query(False), body=change, form=MERGE))

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        version: str = "",
        grace_s: float | None = None,
        cascade: Cascade | None = None,
        dry_run: bool = False,
    ) -> None:
        """``uid`` and ``version``: only this very object, and only as it was seen then; else a :class:`Conflict`."""
        options = delete_options(uid, version, grace_s, cascade, dry_run)
        await self.connection.call("DELETE", kind.path(namespace, name), body=options)

    async def evict(
        self, pod: str, namespace: str, *, uid: str = "", grace_s: float | None = None, dry_run: bool = False
    ) -> None:
        """Asks for the pod to go. :class:`TooMany` with the reason, when a budget or a webhook holds it: whoever evicts
        asks again, so a throttled one is not told from it."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": namespace},
            "deleteOptions": delete_options(uid, "", grace_s, None, dry_run),
        }
        await self.connection.call("POST", POD.path(namespace, pod, "eviction"), body=body, throttled=True)

    def _query(self, dry_run: bool) -> dict[str, str]:
        return {"fieldManager": self._manager} | ({"dryRun": "All"} if dry_run else {})


def delete_options(
    uid: str, version: str, grace_s: float | None, cascade: Cascade | None, dry_run: bool
) -> dict[str, Any]:
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
    if wanted := {name: value for name, value in (("uid", uid), ("resourceVersion", version)) if value}:
        options["preconditions"] = wanted
    if grace_s is not None:
        # Whole seconds; 0 would be "at once, and unasked".
        options["gracePeriodSeconds"] = max(int(grace_s), 1) if grace_s > 0 else 0
    if cascade is not None:
        options["propagationPolicy"] = cascade
    if dry_run:
        options["dryRun"] = ["All"]
    return options


def selection(labels: str, fields: str) -> dict[str, str]:
    return {name: value for name, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}


def bare(obj: Any) -> Object:
    """Without the record of who owns which field, which is a third of most objects and the server's own business."""
    if isinstance(obj, dict) and isinstance(meta := obj.get("metadata"), dict):
        meta.pop("managedFields", None)
    return obj if isinstance(obj, dict) else {}

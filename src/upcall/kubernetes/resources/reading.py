"""A resource as it was read, and what of a service and an operation is looked at here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from upcall.substrate.kubernetes.client.kinds import Kind, Object
from upcall.substrate.kubernetes.names import PREFIX

FINALIZER: Final = PREFIX + "uninstall"
"""The service is asked before its resource goes."""
ADOPT: Final = PREFIX + "adopt"
"""An annotation, ``true``: the service of this name that was installed otherwise is taken over."""

Key = tuple[str, str]
"""Of a resource: the name of its kind, and its own."""


@dataclass(frozen=True)
class Resource:
    kind: Kind
    name: str
    """Of its service, too."""
    namespace: str
    uid: str
    version: str
    """``resourceVersion``."""
    generation: int
    package: str
    wanted: Mapping[str, Any]
    """``version``, ``options``, ``bindings``, ``secrets``, ``finalize``: as the operator API has them."""
    status: Mapping[str, Any]
    finalizers: tuple[str, ...]
    deleting: bool
    adopts: bool

    @property
    def key(self) -> Key:
        return self.kind.name, self.name

    @property
    def what(self) -> str:
        """By which the service knows it: the same for one that is made anew under this name."""
        return f"{self.kind.name.lower()}/{self.name} in namespace {self.namespace}"

    def command(self, verb: str) -> str:
        return f"kubectl -n {self.namespace} {verb} {self.kind.plural}.{self.kind.group} {self.name}"

    @property
    def keeper(self) -> Mapping[str, Any]:
        ways = {"how": self.command("edit"), "end": self.command("delete")}
        return {"what": self.what, **ways, "uid": self.uid, "generation": self.generation}


def read(kind: Kind, package: str, obj: Object) -> Resource:
    """``package``: of the kind; empty: its spec says which."""
    meta, spec = obj["metadata"], obj.get("spec") or {}
    wanted = {
        "version": spec.get("version") or "",
        "options": spec.get("options") or {},
        "bindings": spec.get("bindings") or {},
        "secrets": list(spec.get("secrets") or ()),
    }
    return Resource(
        kind=kind,
        name=meta["name"],
        namespace=meta.get("namespace", ""),
        uid=meta["uid"],
        version=meta["resourceVersion"],
        generation=int(meta.get("generation", 1)),
        package=package or str(spec.get("package") or ""),
        wanted=wanted | ({"finalize": True} if spec.get("finalize") else {}),
        status=obj.get("status") or {},
        finalizers=tuple(meta.get("finalizers") or ()),
        deleting=bool(meta.get("deletionTimestamp")),
        adopts=(meta.get("annotations") or {}).get(ADOPT) == "true",
    )


@dataclass(frozen=True)
class Picture:
    """What the master says, of one moment: the JSON of its operator API."""

    services: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    operations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The live ones, by their ids."""

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> "Picture":
        return cls(
            services={one["name"]: one for one in status.get("services") or ()},
            operations={one["id"]: one for one in status.get("operations") or ()},
        )

    def kept_by(self, name: str) -> str:
        """The document that keeps it (``what``); empty: none does, or there is no such service."""
        keeper = (self.services.get(name) or {}).get("keeper") or {}
        return str(keeper.get("what") or "")

    def of_service(self, name: str, *kinds: str) -> Mapping[str, Any] | None:
        """The newest live operation on the service as a whole."""
        found = [
            one
            for one in self.operations.values()
            if one["service"] == name and not one.get("parent") and (not kinds or one["kind"] in kinds)
        ]
        return max(found, key=lambda one: float(one.get("since") or 0)) if found else None

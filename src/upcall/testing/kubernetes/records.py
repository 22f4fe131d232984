"""An API server in memory, for what stands on compare-and-swap alone: one object at a time, versions, selection by
label, pages. Calls go wrong as a test says: refused, throttled, carried out and not answered, lost before, held up.

It plays no cluster (that is :mod:`upcall.testing.kubernetes.cluster`); many clients, in loops of their own, may call.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Self
from urllib.parse import unquote

import msgspec

from upcall.substrate.kubernetes.client.connection import APPLY, JSON, Connection
from upcall.substrate.kubernetes.client.errors import ApiError, TooMany, Unreachable, from_status
from upcall.substrate.kubernetes.client.login import Login
from upcall.substrate.kubernetes.client.tokens import NoToken

Trouble = Literal["", "unreachable", "unanswered", "conflict", "throttled", "fault", "full", "refused"]
"""What becomes of a call: it never arrives; it is carried out, and nobody hears; it is refused though nothing changed;
too many; a fault of the server's, after it was carried out, or before, as when its store is full; a rule forbids it."""


Meets = Callable[[str, str], Awaitable[Trouble]]
"""What a call of one client meets, by its method and path. It may let it wait, and it may raise."""


class KeptObjects:
    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        """Path -> object."""
        self.version = 100
        self.written: list[tuple[str, str]] = []
        """Method and path of each call that changed something."""
        self._lock = threading.Lock()

    def connect(self, trouble: "Meets | None" = None) -> "KeptConnection":
        return KeptConnection(self, trouble)

    def carry_out(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Any:
        with self._lock:
            if method == "GET":
                return self._list(path, query) if path.rpartition("/")[2] in _PLURALS else self._known(path)
            if method == "POST":
                path = f"{path}/{body['metadata']['name']}"
                if path in self.objects:
                    raise _refusal(409, "AlreadyExists", f"{path} already exists")
                self.version += 1
                meta = {"uid": f"uid-{self.version}"}
                return self._put(method, path, body, meta)
            if method == "PATCH":
                return self._put(method, path, body, {"uid": "uid-0"})
            known = self._known(path)
            meant = body["metadata"] if method == "PUT" else (body or {}).get("preconditions", {})
            for each in ("resourceVersion", "uid"):
                if meant.get(each) and meant[each] != known["metadata"][each]:
                    raise _refusal(409, "Conflict", f"{path}: the object has been modified")
            if method == "PUT":
                return self._put(method, path, body, {"uid": known["metadata"]["uid"]})
            del self.objects[path]
            self.written.append((method, path))
            self.version += 1
            return {"kind": "Status", "status": "Success"}

    def _put(self, method: str, path: str, body: Any, meta: dict[str, str]) -> dict[str, Any]:
        self.version += 1
        self.written.append((method, path))
        version = {"resourceVersion": str(self.version)}
        self.objects[path] = body | {"metadata": body["metadata"] | meta | version}
        return self.objects[path]

    def _known(self, path: str) -> dict[str, Any]:
        if path not in self.objects:
            raise _refusal(404, "NotFound", f"{path} not found")
        return self.objects[path]

    def _list(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        wanted = [part.partition("=") for part in query.get("labelSelector", "").split(",") if part]
        found = [
            one
            for name, one in sorted(self.objects.items())
            if name.startswith(f"{path}/")
            and all(
                key in (labels := one["metadata"].get("labels", {})) and (not equals or labels[key] == value)
                for key, equals, value in wanted
            )
        ]
        first, limit = int(query.get("continue", 0)), int(query.get("limit", 500))
        meta = {"resourceVersion": str(self.version)}
        if first + limit < len(found):
            meta["continue"] = str(first + limit)
        return {"items": found[first : first + limit], "metadata": meta}


_PLURALS = ("records", "configmaps", "leases", "customresourcedefinitions")


def _refusal(status: int, reason: str, message: str) -> ApiError:
    return from_status(status, {"kind": "Status", "code": status, "reason": reason, "message": message})


class KeptConnection(Connection):
    def __init__(self, server: KeptObjects, trouble: Meets | None) -> None:
        super().__init__(Login("http://played", None, NoToken()))
        self._server, self._trouble = server, trouble

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        form: str = JSON,
        throttled: bool = False,
    ) -> Any:
        assert form in (JSON, APPLY)
        self.calls += 1
        path = unquote(path)
        # As over a wire: nobody shares an object with the server.
        sent = msgspec.json.encode(body)
        trouble: Trouble = await self._trouble(method, path) if self._trouble is not None else ""
        await asyncio.sleep(0)
        if trouble == "unreachable":
            raise Unreachable("http://played does not answer: the connection is refused")
        if trouble == "throttled":
            raise TooMany("too many requests", status=429, wait_s=0.01)
        if trouble == "conflict":
            raise _refusal(409, "Conflict", "somebody else was faster")
        if trouble == "full":
            raise _refusal(500, "InternalError", "etcdserver: mvcc: database space exceeded")
        if trouble == "refused":
            raise _refusal(403, "Forbidden", "a quota is used up")
        said = self._server.carry_out(method, path, query or {}, msgspec.json.decode(sent))
        if trouble == "unanswered":
            raise Unreachable("http://played does not answer: the connection broke")
        if trouble == "fault":
            raise _refusal(500, "InternalError", "etcdserver: request timed out")
        return msgspec.json.decode(msgspec.json.encode(said))

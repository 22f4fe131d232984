"""The operator API, called from a program that waits: standard library only, one connection a call.

A master that restarts answers nothing, or "not now", for a moment; calls that change nothing are repeated until their
patience is over. Errors are the API's own (:mod:`upcall.protocol.errors`), raised again here word by word.
"""

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import msgspec
from pydantic import BaseModel, TypeAdapter

from upcall.client import paths
from upcall.client.folder import cluster_of, token_of
from upcall.cluster.folder import DataFolder
from upcall.protocol import operator as api
from upcall.protocol.errors import NotNow, Problem, UpcallError, from_problem
from upcall.transport import unix

T = TypeVar("T")

CALL_TIMEOUT_S: Final = 60.0
STREAM_SILENCE_S: Final = 45.0
"""Longer than the stream's heartbeat: a stream that says nothing for so long is opened again."""
PATIENCE_S: Final = 10.0
KEPT_PATIENCE_S: Final = 60.0
"""Where it is known that somebody keeps the cluster: its master comes back, on a machine without time later."""
TOLD_AFTER_S: Final = 5.0
RETRY_S: Final = 0.3


class Unreachable(NotNow):
    """Nobody of ours answers at the master's socket."""

    code = "unreachable"


class Client:
    """Typed calls of the operator API."""

    call_timeout_s: float = CALL_TIMEOUT_S

    gone: Callable[[], str] = staticmethod(lambda: "")
    """Why nobody will answer however long one waits: the cluster is down, or nothing keeps it. Empty: somebody will."""

    waits: Callable[[str], None] = staticmethod(lambda _: None)
    """Is told, once, that the master has not answered for a while, and is waited for."""
    _told = False

    def __init__(self, master: Path, token: str, *, patience_s: float = PATIENCE_S, root: Path | None = None) -> None:
        self.master = master
        self.root = root or master.parent
        """The data folder, for words."""
        self._token = token
        self.patience_s = patience_s

    @classmethod
    def of(cls, folder: DataFolder) -> "Client":
        cluster_of(folder)
        return cls(folder.master_socket, token_of(folder), root=folder.root)

    # -- what is ----------------------------------------------------------------------------------------------------

    def status(self) -> api.Status:
        return api.Status.model_validate(self.get("/v1/status"))

    def packages(self) -> list[api.PackageView]:
        return _list(api.PackageView, self.get("/v1/packages"))

    def services(self) -> list[api.ServiceView]:
        return _list(api.ServiceView, self.get("/v1/services"))

    def service(self, name: str) -> api.ServiceView:
        return api.ServiceView.model_validate(self.get(paths.of("services", name)))

    def nodes(self) -> list[api.NodeView]:
        return _list(api.NodeView, self.get("/v1/nodes"))

    def tasks(self) -> list[api.TaskView]:
        return _list(api.TaskView, self.get("/v1/tasks"))

    def volumes(self) -> list[api.VolumesView]:
        return _list(api.VolumesView, self.get("/v1/volumes"))

    def task(self, name: str) -> api.TaskView:
        """By member or by task; for a while also one that has left."""
        return api.TaskView.model_validate(self.get(paths.of("tasks", name)))

    def endpoints(self) -> list[api.EndpointView]:
        return _list(api.EndpointView, self.get("/v1/endpoints"))

    def credentials(self, service: str, endpoint: str) -> api.CredentialsView:
        """How a client logs in to an endpoint; empty where nobody is asked who he is."""
        path = paths.of("endpoints", service, endpoint, "credentials")
        return api.CredentialsView.model_validate(self.get(path))

    def secrets(self) -> list[api.SecretView]:
        return _list(api.SecretView, self.get("/v1/secrets"))

    def operations(self, *, ended: bool = False) -> list[api.OperationView]:
        return _list(api.OperationView, self.get("/v1/operations" + ("?all=true" if ended else "")))

    def operation(self, name: str) -> api.OperationView:
        return api.OperationView.model_validate(self.get(paths.of("operations", name)))

    def why(self, name: str) -> api.Why:
        return api.Why.model_validate(self.get(paths.of("operations", name, "why")))

    def events(self, since: int | None = None, limit: int = 500, *, detail: bool = False) -> list[api.Event]:
        """After ``since``, oldest first; without it the newest ones. ``detail``: each step on the way too."""
        after = "" if since is None else f"since={since}&"
        return _list(api.Event, self.get(f"/v1/events?{after}limit={limit}" + ("&detail=true" if detail else "")))

    # -- what is asked ----------------------------------------------------------------------------------------------

    def post(self, path: str, body: BaseModel | dict[str, Any] | None = None) -> Any:
        """It changes something, so it is said once. While nobody listens, because the master is being started again,
        nothing was said yet: that is waited for."""
        return self.call("POST", path, body, patience_s=self.patience_s)

    def operation_of(self, path: str, body: BaseModel) -> api.OperationView:
        """A call that answers with the operation that it began."""
        return api.OperationView.model_validate(self.post(path, body))

    def get(self, path: str) -> Any:
        """Changes nothing, so it is repeated while the master is away."""
        return self.patient(lambda: self.call("GET", path))

    def patient(self, attempt: Callable[[], T], patience_s: float | None = None) -> T:
        """What ``attempt`` answers, repeated while the answer is "not now"."""
        began_s, patience_s = time.monotonic(), self.patience_s if patience_s is None else patience_s
        while True:
            try:
                return attempt()
            except NotNow as error:
                self._go_on(error, began_s, patience_s)

    def call(
        self,
        method: str,
        path: str,
        body: BaseModel | dict[str, Any] | bytes | None = None,
        *,
        patience_s: float = 0.0,
    ) -> Any:
        """One request; the decoded JSON, or the error that the API named. ``patience_s``: how long somebody who
        listens is waited for."""
        with_body = body.model_dump() if isinstance(body, BaseModel) else body
        connection = self._connected(patience_s)
        try:
            response = self._send(connection, method, path, with_body)
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._away(error) from None
        finally:
            connection.close()
        return json.loads(text) if text else None

    def lines(
        self,
        path: str,
        accept: str = "text/plain",
        opened: Callable[[socket.socket], None] = lambda _: None,
        unfinished: Callable[[str], None] | None = None,
    ) -> Iterator[str]:
        """A streamed answer, a line at a time, until the server ends it or is silent for too long. ``opened`` gets the
        connection's socket: who shuts it down from another thread ends the answer. ``unfinished`` gets a last line
        that lacks its end, as it does where the answer broke off; without it, it comes as any other."""
        connection = _ToMaster(self.master, STREAM_SILENCE_S)
        try:
            connection.connect()
            opened(connection.sock)
            response = self._send(connection, "GET", path, None, accept)
            while line := response.readline():
                text = line.decode("utf-8", "replace")
                if unfinished is not None and not text.endswith("\n"):
                    unfinished(text)
                else:
                    yield text.rstrip("\r\n")
        except TimeoutError:
            return
        except (OSError, http.client.HTTPException) as error:
            raise self._away(error) from None
        finally:
            connection.close()

    def follow(self, since: int, *, detail: bool = False) -> Iterator[api.Event]:
        """The event stream from ``since`` on, opened again whenever it breaks; a gap comes as an event of that kind.

        Raises :class:`NotNow` only when the master stays away longer than the client's patience.
        """
        last = since
        while True:
            heard_s = time.monotonic()
            while True:
                try:
                    for event in self._stream(last, detail=detail):
                        last = event.sequence
                        heard_s = time.monotonic()
                        yield event
                    break
                except NotNow as error:
                    self._go_on(error, heard_s, self.patience_s)

    def _stream(self, since: int, *, detail: bool) -> Iterator[api.Event]:
        data: list[str] = []
        query = urlencode({"since": since, "follow": "true", **({"detail": "true"} if detail else {})})
        for line in self.lines(f"/v1/events?{query}", "text/event-stream"):
            if line.startswith("data:"):
                data.append(line[5:].lstrip())
            elif not line and data:
                yield api.Event.model_validate_json("\n".join(data))
                data = []

    # -- wire -------------------------------------------------------------------------------------------------------

    def _connected(self, patience_s: float) -> "_ToMaster":
        began_s = time.monotonic()
        while True:
            connection = _ToMaster(self.master, self.call_timeout_s)
            try:
                connection.connect()
            except (FileNotFoundError, ConnectionRefusedError) as error:
                self._go_on(self._away(error), began_s, patience_s)
            except OSError as error:
                raise self._away(error) from None
            else:
                return connection

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: dict[str, Any] | bytes | None,
        accept: str = "application/json",
    ) -> http.client.HTTPResponse:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": accept}
        payload = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if payload is not None:
            headers["Content-Type"] = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        connection.request(method, path, payload, headers)
        response = connection.getresponse()
        if response.status >= http.client.BAD_REQUEST:
            raise _error(response.status, response.read(), f"{method} {path}")
        return response

    def _go_on(self, error: NotNow, since_s: float, patience_s: float) -> None:
        """A pause before the next attempt; or the error, where another one is of no use. ``since_s``: when the wait
        began, of :func:`time.monotonic`."""
        if isinstance(error, Unreachable) and (why := self.gone()):
            raise Unreachable(why) from None
        waited_s = time.monotonic() - since_s
        if waited_s >= patience_s:
            raise error
        if not self._told and waited_s > TOLD_AFTER_S:
            self._told = True
            self.waits(error.problem.message)
        time.sleep(RETRY_S)

    def _away(self, error: Exception) -> Unreachable:
        """Why there is no answer: nothing keeps the cluster, or its master alone is away (it is started again)."""
        unheard = isinstance(error, FileNotFoundError | ConnectionRefusedError)
        if unheard and (why := self.gone()):
            return Unreachable(why)
        words = "nobody listens" if unheard else _words(error)
        return Unreachable(
            f"the master does not answer: {words}",
            where=str(self.master),
            expected="a cluster that is up; `upcall up` starts it",
        )


class _ToMaster(http.client.HTTPConnection):
    """HTTP over the master's socket, to a process of this user or of nobody's."""

    def __init__(self, master: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._master = master

    def connect(self) -> None:
        self.sock = unix.connect(self._master, self.timeout)


def _words(error: Exception) -> str:
    """Without the machine's number for it."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return said or type(error).__name__


def _list(kind: type[T], found: Any) -> list[T]:
    return TypeAdapter(list[kind]).validate_python(found)  # type: ignore[valid-type]


def _error(status: int, body: bytes, request: str) -> UpcallError:
    """The problem as the API named it; for an answer that is none, what can be said of it."""
    try:
        return from_problem(msgspec.json.decode(body, type=Problem))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        words = body[:200].decode("utf-8", "replace").strip() or "no words"
        kind = NotNow if status == NotNow.status else UpcallError
        return kind(f"the master answered {status}: {words}", where=request)

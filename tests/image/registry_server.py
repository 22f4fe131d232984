"""A registry on loopback that holds to what the specification of distribution says a registry checks."""

import base64
import hashlib
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

NAME, PASSWORD = "pusher", "password-of-the-test"
TOKEN = "token-of-the-test"


class RegistryServer:
    """What it holds, what it was asked, and how it behaves."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.asked: list[tuple[str, str]] = []
        self.wants = ""
        """``basic`` or ``bearer``: who asks has to say who he is."""
        self.may = True
        self.realm = ""
        self.before: Callable[[str, str], int] = lambda method, path: 0
        """A status to answer instead."""
        self.address = ""
        self._uploads: set[str] = set()

    def calls(self, method: str) -> list[str]:
        return [path for asked, path in self.asked if asked == method]

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.asked.append((method, parts.path))
        if status := self.before(method, parts.path):
            return (
                status,
                {"Retry-After": "0", "WWW-Authenticate": self._challenge()},
                _error("TOOMANYREQUESTS" if status == 429 else "UNKNOWN"),
            )
        if parts.path == "/token":
            return self._token(headers.get("Authorization", ""))
        if not self._known(headers.get("Authorization", "")):
            return 401, {"WWW-Authenticate": self._challenge()}, _error("UNAUTHORIZED")
        if not self.may:
            return 403, {}, _error("DENIED", "requested access to the resource is denied")
        if found := re.fullmatch(r"/v2/(.+)/blobs/uploads/(.*)", parts.path):
            return self._upload(method, found[1], found[2], query, headers, body)
        if found := re.fullmatch(r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})", parts.path):
            if found[2] not in self.blobs:
                return 404, {}, _error("BLOB_UNKNOWN")
            return 200, {}, self.blobs[found[2]]
        if found := re.fullmatch(r"/v2/(.+)/manifests/(.+)", parts.path):
            return self._manifest(method, found[2], headers, body)
        return 404, {}, _error("NAME_UNKNOWN")

    def _upload(
        self, method: str, path: str, session: str, query: dict[str, str], headers: Any, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if method == "POST":
            self._uploads.add(session := uuid.uuid4().hex)
            return 202, {"Location": f"/v2/{path}/blobs/uploads/{session}?state=kept"}, b""
        if method != "PUT" or session not in self._uploads or query.get("state") != "kept":
            return 404, {}, _error("BLOB_UPLOAD_UNKNOWN")
        if int(headers.get("Content-Length", "-1")) != len(body):
            return 400, {}, _error("SIZE_INVALID")
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if query.get("digest") != digest:
            return 400, {}, _error("DIGEST_INVALID")
        self._uploads.remove(session)
        self.blobs[digest] = body
        return 201, {"Location": f"/v2/{path}/blobs/{digest}", "Docker-Content-Digest": digest}, b""

    def _manifest(self, method: str, at: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if method == "GET":
            if at not in self.manifests:
                return 404, {}, _error("MANIFEST_UNKNOWN")
            kind, data = self.manifests[at]
            return 200, {"Content-Type": kind}, data
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if at.startswith("sha256:") and at != digest:
            return 400, {}, _error("DIGEST_INVALID")
        told = json.loads(body)
        if told["mediaType"] != headers["Content-Type"]:
            return 400, {}, _error("MANIFEST_INVALID", "another media type than its own")
        for one in [told.get("config"), *told.get("layers", [])]:
            if one and (one["digest"] not in self.blobs or len(self.blobs[one["digest"]]) != one["size"]):
                return 400, {}, _error("MANIFEST_BLOB_UNKNOWN", one["digest"])
        for one in told.get("manifests", []):
            if one["digest"] not in self.manifests:
                return 400, {}, _error("MANIFEST_UNKNOWN", one["digest"])
        self.manifests[at] = self.manifests[digest] = (headers["Content-Type"], body)
        return 201, {"Docker-Content-Digest": digest}, b""

    def _known(self, said: str) -> bool:
        if self.wants == "basic":
            return said == _basic()
        return not self.wants or said == f"Bearer {TOKEN}"

    def _challenge(self) -> str:
        if self.wants == "basic":
            return 'Basic realm="test"'
        realm = self.realm or f"http://{self.address}/token"
        return f'Bearer realm="{realm}",service="test",scope="repository:data/log:pull,push"'

    def _token(self, said: str) -> tuple[int, dict[str, str], bytes]:
        if said != _basic():
            return 401, {}, _error("UNAUTHORIZED")
        return 200, {}, json.dumps({"token": TOKEN}).encode()


def _basic() -> str:
    return "Basic " + base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()


def _error(code: str, message: str = "") -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message or code.lower()}]}).encode()


@contextmanager
def serving() -> Iterator[RegistryServer]:
    registry = RegistryServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            status, headers, data = registry.answer(self.command, self.path, self.headers, self._body())
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        do_GET = do_HEAD = do_POST = do_PUT = _do

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
